// SPDX-License-Identifier: MIT
//! A caller's idea of the Testbed that has arguments wrong. Types are not part of a method's id, so its calls reach the
//! real methods.

#[vox::service]
pub trait Testbed {
    async fn echo(&self, message: u64) -> String;
    async fn divide(&self, dividend: String, divisor: i64) -> Result<i64, MathError>;
    /// As the real one.
    async fn reverse(&self, message: String) -> String;
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum MathError {
    DivisionByZero,
    Overflow,
}
