// SPDX-License-Identifier: MIT
//! A caller's idea of the Testbed that is newer than the server's: it knows methods the server does not have.

#[vox::service]
pub trait Testbed {
    async fn not_there(&self, message: String) -> String;
    async fn not_there_unit(&self, message: String);
    async fn not_there_fallible(&self, message: String) -> Result<u32, MathError>;
    /// As the real one.
    async fn echo(&self, message: String) -> String;
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum MathError {
    DivisionByZero,
    Overflow,
}
