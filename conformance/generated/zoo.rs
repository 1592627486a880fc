// SPDX-License-Identifier: MIT
//! Every kind of type once, and names that are not names in C.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub mod other {
    /// The same name as a type outside.
    pub struct Cage {
        pub bars: u8,
    }
}

/// Numbers of every size.
///
/// Docs with */ in them, and /* too.
pub struct Numbers {
    pub a: u8,
    pub b: u16,
    pub c: u32,
    pub d: u64,
    pub e: u128,
    pub f: i8,
    pub g: i16,
    pub h: i32,
    pub i: i64,
    pub j: i128,
    pub k: f32,
    pub l: f64,
    pub m: char,
    pub n: bool,
    pub o: usize,
    pub p: isize,
}

pub struct Cage {
    /// Words of C and C++, and names that are reserved there.
    pub int: u32,
    pub class: bool,
    pub r#fn: u8,
    pub _Bool: u8,
    pub __hidden: u16,
    pub errno: i32,
    pub nothing: (),
    #[facet(sensitive)]
    pub secret: String,
    #[facet(default)]
    pub later: Option<u32>,
}

pub struct Marker;
pub struct Hollow {}
pub struct Hollower(pub Marker, pub Hollow);
pub struct Pair<A, B> {
    pub first: A,
    pub second: B,
}
pub struct Buffer<const N: usize> {
    pub data: [u8; N],
}
pub struct Wrapper(pub u32);
#[facet(transparent)]
pub struct Meters(pub f64);
pub struct Two(pub u8, pub Meters);
pub type Names = Vec<String>;

#[repr(u8)]
pub enum Animal {
    /// Has nothing to say.
    Fish,
    Bird(String) = 7,
    Cat(u8, Option<Box<Animal>>),
    Dog { name: String, double: f64, nothing: () },
    EmptyTuple(),
    EmptyStruct {},
    Ghost(Marker),
    /// Its member would be the tag.
    Tag(Vec<Vec<u32>>),
}

pub struct Node {
    pub value: u32,
    pub next: Option<Box<Node>>,
    pub children: Vec<Node>,
}

pub struct Containers {
    pub bytes: Vec<u8>,
    pub names: Names,
    pub nested: Vec<Vec<Option<u16>>>,
    pub slice: Box<[u32]>,
    pub text: std::borrow::Cow<'static, str>,
    pub map: HashMap<String, u32>,
    pub ordered: BTreeMap<u32, Vec<u8>>,
    pub set: HashSet<u32>,
    pub ordered_set: BTreeSet<String>,
    pub units: Vec<()>,
    pub grid: [[u8; 2]; 3],
    pub boxed: Box<u64>,
    pub boxed_array: Box<[u16; 4]>,
    pub span: std::time::Duration,
    pub maybe: Option<Option<()>>,
    pub result: Result<u32, String>,
    pub results: Vec<Result<(), ()>>,
    pub cage: other::Cage,
    pub buffers: (Buffer<2>, Buffer<3>),
    pub pairs: (Pair<u8, String>, Pair<u32, u32>),
}

#[vox::service]
pub trait Zoo {
    /// Has no arguments and no result.
    async fn open(&self);
    async fn numbers(&self, numbers: Numbers) -> Numbers;
    async fn cage(&self, cage: Cage) -> Cage;
    #[vox(idem)]
    async fn animal(&self, animal: Animal) -> Animal;
    #[vox(persist)]
    async fn node(&self, node: Node) -> Node;
    async fn containers(&self, containers: Containers) -> Containers;
    async fn hollow(&self, hollow: Hollower) -> Hollower;
    async fn two(&self, two: Two, wrapper: Wrapper) -> (Two, Wrapper);
    async fn array(&self, array: [u32; 3]) -> [u32; 3];
    async fn bytes(&self, bytes: Vec<u8>) -> Vec<u8>;
    async fn boxed(&self, boxes: [Box<u8>; 2]) -> Box<u8>;
    async fn boxes(&self, boxed: Box<Animal>) -> [Box<()>; 2];
    async fn fails(&self, why: String) -> Result<(), String>;
    /// Names of arguments that are those of the generated functions.
    async fn delete(&self, client: u8, options: u16, done: bool) -> Option<u8>;
    async fn size(&self, args: u32, ctx: u32) -> u32;
}
