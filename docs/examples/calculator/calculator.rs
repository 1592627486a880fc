// SPDX-License-Identifier: MIT
//! A service: both ends are made from this file.

/// Why there is no quotient.
#[repr(u8)]
pub enum DivideError {
    ByZero,
    Overflow,
}

#[vox::service]
pub trait Calculator {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, DivideError>;
    /// Waits for the next sum that somebody asks for.
    async fn next_sum(&self) -> i64;
}
