// SPDX-License-Identifier: MIT
//! The evolved `Testbed`: the same names as in `testbed.rs`, other layouts.

use facet::Facet;

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

#[vox::service]
pub trait Testbed {
    async fn echo_profile(&self, profile: Profile) -> Profile;
    async fn echo_record(&self, record: Record) -> Record;
    async fn echo_status(&self, status: Status) -> Status;
    async fn echo_tag(&self, tag: Tag) -> Tag;
    async fn echo_measurement(&self, m: Measurement) -> Measurement;
    async fn echo_config(&self, c: Config) -> Config;
}

#[derive(Clone)]
pub struct Service;

impl Testbed for Service {
    async fn echo_profile(&self, profile: Profile) -> Profile {
        profile
    }

    async fn echo_record(&self, record: Record) -> Record {
        record
    }

    async fn echo_status(&self, status: Status) -> Status {
        status
    }

    async fn echo_tag(&self, tag: Tag) -> Tag {
        tag
    }

    async fn echo_measurement(&self, m: Measurement) -> Measurement {
        m
    }

    async fn echo_config(&self, c: Config) -> Config {
        c
    }
}
