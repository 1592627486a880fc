// SPDX-License-Identifier: MIT
//! The service of the recordings `extra_types` and `wrong_binding`: types that the Testbed does not have. Made from
//! what its peers announced and what its values were.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

#[vox::service]
pub trait Extra {
    /// The sum of the values.
    async fn hash_map(&self, map: HashMap<String, u32>) -> u32;
    /// Returns its argument.
    async fn btree_map(&self, map: BTreeMap<String, u32>) -> BTreeMap<String, u32>;
    /// How many elements both have.
    async fn sets(&self, hash: HashSet<u32>, btree: BTreeSet<u32>) -> u32;
    /// The first.
    async fn arrays(&self, three: [u32; 3], two: [u32; 2], bytes: [u8; 4]) -> [u32; 3];
    /// The last.
    async fn character(&self, a: char, b: char) -> char;
    /// The last.
    async fn wide(&self, a: u128, b: i128) -> i128;
    /// The first.
    async fn ints(&self, a: i8, b: i16, c: u16, d: f32) -> i8;
    /// The last.
    async fn sizes(&self, a: usize, b: isize) -> isize;
    /// The first number.
    async fn generics(&self, a: Pair<u32>, b: Pair<String>, c: Pair<Vec<u32>>) -> u32;
    /// How many items both have.
    async fn generic_nested(&self, a: Wrap<u32>, b: Wrap<String>) -> u32;
    /// The number of Thin.
    async fn tuples(&self, a: Tup, b: One, c: Thin, d: Nothing) -> u32;
    /// Returns its argument.
    async fn empty(&self, a: Empty) -> Empty;
    /// The first.
    async fn pointers(&self, a: Box<Point>, b: Arc<Point>) -> Point;
    /// Returns its argument.
    async fn defaulted(&self, a: Defaulted) -> Defaulted;
    /// The last.
    async fn numbered(&self, a: Numbered, b: Numbered) -> Numbered;
    /// How many elements the list has.
    async fn opt_opt(&self, a: Option<Option<u32>>, b: Vec<Option<bool>>) -> u32;
    /// The number, unless it is 0.
    async fn check(&self, old: Old, number: u32) -> Result<u32, CheckError>;
}

#[derive(facet::Facet)]
pub struct Pair<T> {
    pub a: T,
    pub b: T,
}

#[derive(facet::Facet)]
pub struct Wrap<T> {
    pub items: Vec<T>,
    pub one: T,
}

#[derive(facet::Facet)]
pub struct Tup(pub u32, pub String);

#[derive(facet::Facet)]
pub struct One(pub u32);

#[derive(facet::Facet)]
#[facet(transparent)]
pub struct Thin(pub u32);

#[derive(facet::Facet)]
pub struct Nothing;

#[derive(facet::Facet)]
pub struct Empty {}

#[derive(facet::Facet)]
pub struct Point {
    pub x: i32,
    pub y: i32,
}

#[derive(facet::Facet)]
pub struct Defaulted {
    pub must: u32,
    #[facet(default)]
    pub may: u32,
    #[facet(default)]
    pub opt: Option<String>,
    pub renamed: bool,
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum Numbered {
    A = 5,
    B = 9,
    C(u32, u8) = 200,
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum Old {
    Active,
    Inactive,
}

#[derive(facet::Facet)]
#[repr(u8)]
pub enum CheckError {
    Zero,
}
