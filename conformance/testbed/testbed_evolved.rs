// SPDX-License-Identifier: MIT
//! The evolved Testbed: the same names, other layouts. Shows which changes peers of both versions bear.

use facet::Facet;

#[vox::service]
pub trait Testbed {
    /// Returns its argument.
    async fn echo_profile(&self, profile: Profile) -> Profile;
    /// Returns its argument.
    async fn echo_record(&self, record: Record) -> Record;
    /// Returns its argument.
    async fn echo_status(&self, status: Status) -> Status;
    /// Returns its argument.
    async fn echo_tag(&self, tag: Tag) -> Tag;
    /// Returns its argument.
    async fn echo_measurement(&self, m: Measurement) -> Measurement;
    /// Returns its argument.
    async fn echo_config(&self, c: Config) -> Config;
}

#[derive(Facet, Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub bio: String,
    pub avatar: Option<String>,
}

#[derive(Facet, Clone, Debug)]
pub struct Record {
    pub gamma: f64,
    pub alpha: i32,
    pub beta: String,
}

/// Changes in the evolved service, as do the following types.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum Status {
    Active,
    Inactive,
    Suspended,
}

#[derive(Facet, Clone, Debug)]
pub struct Tag {
    pub label: String,
    pub priority: u32,
}

#[derive(Facet, Clone, Debug)]
pub struct Measurement {
    pub unit: String,
    pub value: String,
}

#[derive(Facet, Clone, Debug)]
pub struct Config {
    pub key: String,
    pub value: String,
    pub owner: String,
}
