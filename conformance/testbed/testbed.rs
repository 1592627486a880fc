// SPDX-License-Identifier: MIT
//! The Testbed service of the vox project: what vox peers are tested with.
//!
//! Names and their order are part of the wire format.

use facet::Facet;
use vox::{Rx, Tx};

#[vox::service]
pub trait Testbed {
    /// Returns its argument.
    async fn echo(&self, message: String) -> String;
    /// The characters in reverse order.
    async fn reverse(&self, message: String) -> String;
    /// Divides and truncates.
    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, MathError>;
    /// Finds one of a few people.
    async fn lookup(&self, id: u32) -> Result<Person, LookupError>;
    /// The sum of everything that arrives until the channel ends.
    async fn sum(&self, numbers: Rx<i32>) -> i64;
    /// Sends 0, 1, .. `count` - 1, and closes the channel.
    async fn generate(&self, count: u32, output: Tx<i32>);
    /// As `generate`.
    async fn generate_retry_non_idem(&self, count: u32, output: Tx<i32>);
    /// As `generate`, and may run again.
    #[vox(idem)]
    async fn generate_retry_idem(&self, count: u32, output: Tx<i32>);
    /// Sends back every string that arrives, and closes the channel after the last.
    async fn transform(&self, input: Rx<String>, output: Tx<String>);
    /// Returns its argument.
    async fn echo_point(&self, point: Point) -> Point;
    /// Puts a person together.
    async fn create_person(&self, name: String, age: u8, email: Option<String>) -> Person;
    /// Width times height.
    async fn rectangle_area(&self, rect: Rectangle) -> f64;
    /// The color of this name, in whatever case.
    async fn parse_color(&self, name: String) -> Option<Color>;
    /// The area; 0 for a point.
    async fn shape_area(&self, shape: Shape) -> f64;
    /// Puts a canvas together.
    async fn create_canvas(&self, name: String, shapes: Vec<Shape>, background: Color) -> Canvas;
    /// Returns its argument.
    async fn echo_gnarly(&self, payload: GnarlyPayload) -> GnarlyPayload;
    /// A text with "processed: " in front, a number doubled, data reversed.
    async fn process_message(&self, msg: Message) -> Message;
    /// The points (i, 2i).
    async fn get_points(&self, count: u32) -> Vec<Point>;
    /// The other way round.
    async fn swap_pair(&self, pair: (i32, String)) -> (String, i32);
    /// Returns its argument.
    async fn echo_bytes(&self, data: Vec<u8>) -> Vec<u8>;
    /// Returns its argument.
    async fn echo_bool(&self, b: bool) -> bool;
    /// Returns its argument.
    async fn echo_u64(&self, n: u64) -> u64;
    /// Returns its argument.
    async fn echo_option_string(&self, s: Option<String>) -> Option<String>;
    /// As `sum`.
    async fn sum_large(&self, numbers: Rx<i32>) -> i64;
    /// As `generate`.
    async fn generate_large(&self, count: u32, output: Tx<i32>);
    /// All of them.
    async fn all_colors(&self) -> Vec<Color>;
    /// Puts a point together.
    async fn describe_point(&self, label: String, x: i32, y: i32, active: bool) -> TaggedPoint;
    /// Returns its argument.
    async fn echo_shape(&self, shape: Shape) -> Shape;
    /// Returns its argument.
    async fn echo_status_v1(&self, status: Status) -> Status;
    /// Returns its argument.
    async fn echo_tag_v1(&self, tag: Tag) -> Tag;
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
pub struct Point {
    pub x: i32,
    pub y: i32,
}

#[derive(Facet, Clone, Debug)]
pub struct TaggedPoint {
    pub label: String,
    pub x: i32,
    pub y: i32,
    pub active: bool,
}

#[derive(Facet, Clone, Debug)]
pub struct Person {
    pub name: String,
    pub age: u8,
    pub email: Option<String>,
}

#[derive(Facet, Clone, Debug)]
pub struct Rectangle {
    pub top_left: Point,
    pub bottom_right: Point,
    pub label: Option<String>,
}

#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum Color {
    Red,
    Green,
    Blue,
}

/// Something with an area.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
    Point,
}

#[derive(Facet, Clone, Debug)]
pub struct Canvas {
    pub name: String,
    pub shapes: Vec<Shape>,
    pub background: Color,
}

#[derive(Facet, Clone, Debug)]
pub struct GnarlyAttr {
    pub key: String,
    pub value: String,
}

#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum GnarlyKind {
    File { mime: String, tags: Vec<String> },
    Directory { child_count: u32, children: Vec<String> },
    Symlink { target: String, hops: Vec<u32> },
}

#[derive(Facet, Clone, Debug)]
pub struct GnarlyEntry {
    pub id: u64,
    pub parent: Option<u64>,
    pub name: String,
    pub path: String,
    pub attrs: Vec<GnarlyAttr>,
    pub chunks: Vec<Vec<u8>>,
    pub kind: GnarlyKind,
}

/// Nested as deep as real data is.
#[derive(Facet, Clone, Debug)]
pub struct GnarlyPayload {
    pub revision: u64,
    pub mount: String,
    pub entries: Vec<GnarlyEntry>,
    pub footer: Option<String>,
    pub digest: Vec<u8>,
}

/// A value of the service, unrelated to the protocol's own `Message`.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum Message {
    Text(String),
    Number(i64),
    Data(Vec<u8>),
}

/// Why `divide` has no result.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum MathError {
    DivisionByZero,
    Overflow,
}

/// Why `lookup` found nobody.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum LookupError {
    NotFound,
    AccessDenied,
}

#[derive(Facet, Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub bio: String,
}

#[derive(Facet, Clone, Debug)]
pub struct Record {
    pub alpha: i32,
    pub beta: String,
    pub gamma: f64,
}

/// Changes in the evolved service, as do the following types.
#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum Status {
    Active,
    Inactive,
}

#[derive(Facet, Clone, Debug)]
pub struct Tag {
    pub label: String,
    pub priority: u32,
    pub note: String,
}

#[derive(Facet, Clone, Debug)]
pub struct Measurement {
    pub unit: String,
    pub value: f64,
}

#[derive(Facet, Clone, Debug)]
pub struct Config {
    pub key: String,
    pub value: String,
}
