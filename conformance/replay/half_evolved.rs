// SPDX-License-Identifier: MIT
//! The caller's side of the recording `schema_message`: the plain Testbed but for Record, which is the evolved one.

#[vox::service]
pub trait Testbed {
    async fn echo(&self, message: String) -> String;
    async fn echo_record(&self, record: Record) -> Record;
}

#[derive(facet::Facet)]
pub struct Record {
    pub gamma: f64,
    pub alpha: i32,
    pub beta: String,
}
