// SPDX-License-Identifier: MIT
//! The service of the recording `extra_job`, as far as it was called: ends of channels inside a struct and an Option.

#[vox::service]
pub trait Extra {
    async fn job(&self, job: Job) -> u32;
}

#[derive(facet::Facet)]
pub struct Job {
    pub name: String,
    pub input: Rx<u32>,
    pub output: Option<Tx<u32>>,
}
