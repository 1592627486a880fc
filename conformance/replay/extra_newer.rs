// SPDX-License-Identifier: MIT
//! The caller's side of the recording `wrong_binding`: it knows a variant that the server does not.

#[vox::service]
pub trait Extra {
    async fn check(&self, old: Old, number: u32) -> Result<u32, CheckError>;
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum Old {
    Active,
    Inactive,
    Suspended,
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum CheckError {
    Zero,
}
