// SPDX-License-Identifier: MIT
//! `GnarlyPayload` with the fields of every struct the other way round: what a translation plan has most to do with.

use facet::Facet;

#[vox::service]
pub trait Testbed {
    async fn echo_gnarly(&self, payload: GnarlyPayload) -> GnarlyPayload;
}

#[derive(Facet, Clone, Debug)]
pub struct GnarlyAttr {
    pub value: String,
    pub key: String,
}

#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum GnarlyKind {
    File { tags: Vec<String>, mime: String },
    Directory { children: Vec<String>, child_count: u32 },
    Symlink { hops: Vec<u32>, target: String },
}

#[derive(Facet, Clone, Debug)]
pub struct GnarlyEntry {
    pub kind: GnarlyKind,
    pub chunks: Vec<Vec<u8>>,
    pub attrs: Vec<GnarlyAttr>,
    pub path: String,
    pub name: String,
    pub parent: Option<u64>,
    pub id: u64,
}

#[derive(Facet, Clone, Debug)]
pub struct GnarlyPayload {
    pub digest: Vec<u8>,
    pub footer: Option<String>,
    pub entries: Vec<GnarlyEntry>,
    pub mount: String,
    pub revision: u64,
}
