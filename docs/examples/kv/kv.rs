// SPDX-License-Identifier: MIT
use facet::Facet;

/// A value and its version. Versions only grow, and no two changes have the same.
#[derive(Facet, Clone, Debug)]
pub struct Entry {
    pub version: u64,
    pub value: Vec<u8>,
}

/// A line of the list.
#[derive(Facet, Clone, Debug)]
pub struct KeyInfo {
    pub key: String,
    pub version: u64,
    pub size: u64,
}

/// Why the server did not do it.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum Refusal {
    NotFound,
    /// The value is larger than the server keeps.
    TooLarge {
        size: u64,
        limit: u64,
    },
    /// The key has another version than the caller expected; 0 if it is not there.
    Conflict {
        have: u64,
    },
    /// There are as many keys as the server keeps.
    Full {
        limit: u64,
    },
}

#[vox::service]
pub trait Kv {
    async fn get(&self, key: String) -> Result<Entry, Refusal>;
    /// Returns the new version. With `expect`, only if that is the key's version; 0 is a key that is not there.
    async fn put(&self, key: String, value: Vec<u8>, expect: Option<u64>) -> Result<u64, Refusal>;
    async fn delete(&self, key: String) -> Result<(), Refusal>;
    /// The keys that begin with `prefix`, in order.
    async fn list(&self, prefix: String) -> Vec<KeyInfo>;
    /// Answers once the key has another version than `since`: at once, or when somebody changes it. NotFound
    /// tells that it was deleted.
    async fn wait_change(&self, key: String, since: u64) -> Result<Entry, Refusal>;
}
