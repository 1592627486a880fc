// SPDX-License-Identifier: MIT
//! The `Testbed` service: the trait, its types and the implementation that
//! `vox-peer serve` offers.
//!
//! Names, field order and variant order are part of the wire format. Method ids
//! are hashes of the names, and a peer compares type and field names before it
//! decodes anything, so nothing here may be renamed or reordered.

use std::f64::consts::PI;
use std::time::Duration;

use facet::Facet;
use vox::{Rx, Tx};

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
#[expect(dead_code, reason = "read by way of Facet only")]
pub enum GnarlyKind {
    File {
        mime: String,
        tags: Vec<String>,
    },
    Directory {
        child_count: u32,
        children: Vec<String>,
    },
    Symlink {
        target: String,
        hops: Vec<u32>,
    },
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

#[derive(Facet, Clone, Debug)]
#[repr(u8)]
pub enum MathError {
    DivisionByZero,
    Overflow,
}

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

#[vox::service]
pub trait Testbed {
    async fn echo(&self, message: String) -> String;
    async fn reverse(&self, message: String) -> String;
    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, MathError>;
    async fn lookup(&self, id: u32) -> Result<Person, LookupError>;
    async fn sum(&self, numbers: Rx<i32>) -> i64;
    async fn generate(&self, count: u32, output: Tx<i32>);
    async fn generate_retry_non_idem(&self, count: u32, output: Tx<i32>);
    #[vox(idem)]
    async fn generate_retry_idem(&self, count: u32, output: Tx<i32>);
    async fn transform(&self, input: Rx<String>, output: Tx<String>);
    async fn echo_point(&self, point: Point) -> Point;
    async fn create_person(&self, name: String, age: u8, email: Option<String>) -> Person;
    async fn rectangle_area(&self, rect: Rectangle) -> f64;
    async fn parse_color(&self, name: String) -> Option<Color>;
    async fn shape_area(&self, shape: Shape) -> f64;
    async fn create_canvas(&self, name: String, shapes: Vec<Shape>, background: Color) -> Canvas;
    async fn echo_gnarly(&self, payload: GnarlyPayload) -> GnarlyPayload;
    async fn process_message(&self, msg: Message) -> Message;
    async fn get_points(&self, count: u32) -> Vec<Point>;
    async fn swap_pair(&self, pair: (i32, String)) -> (String, i32);
    async fn echo_bytes(&self, data: Vec<u8>) -> Vec<u8>;
    async fn echo_bool(&self, b: bool) -> bool;
    async fn echo_u64(&self, n: u64) -> u64;
    async fn echo_option_string(&self, s: Option<String>) -> Option<String>;
    async fn sum_large(&self, numbers: Rx<i32>) -> i64;
    async fn generate_large(&self, count: u32, output: Tx<i32>);
    async fn all_colors(&self) -> Vec<Color>;
    async fn describe_point(&self, label: String, x: i32, y: i32, active: bool) -> TaggedPoint;
    async fn echo_shape(&self, shape: Shape) -> Shape;
    async fn echo_status_v1(&self, status: Status) -> Status;
    async fn echo_tag_v1(&self, tag: Tag) -> Tag;
    async fn echo_profile(&self, profile: Profile) -> Profile;
    async fn echo_record(&self, record: Record) -> Record;
    async fn echo_status(&self, status: Status) -> Status;
    async fn echo_tag(&self, tag: Tag) -> Tag;
    async fn echo_measurement(&self, m: Measurement) -> Measurement;
    async fn echo_config(&self, c: Config) -> Config;
}

/// The service itself. It keeps no state, so all connections share one value.
#[derive(Clone)]
pub struct Service;

/// Reacts to the `echo` arguments that ask the server to misbehave:
/// `panic`, `exit` and `slow:<milliseconds>:<anything>`.
async fn obey_test_hook(message: &str) {
    match message {
        // vox runs every handler in a task of its own: this ends the call, not
        // the server.
        "panic" => panic!("asked to panic"),
        // No unwinding and no goodbye, as if the process had been killed.
        "exit" => std::process::exit(3),
        _ => {}
    }
    let delay = message
        .strip_prefix("slow:")
        .and_then(|rest| rest.split_once(':'))
        .and_then(|(milliseconds, _)| milliseconds.parse().ok());
    if let Some(milliseconds) = delay {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// Adds up a stream. A close, a reset and an error all just end it.
async fn sum_stream(mut numbers: Rx<i32>) -> i64 {
    let mut total = 0;
    while let Ok(Some(number)) = numbers.recv().await {
        total += i64::from(*number.get());
    }
    total
}

/// Sends 0, 1, .. count-1 and closes the stream.
async fn count_up(count: u32, output: Tx<i32>) {
    for number in 0..count {
        if output.send(number as i32).await.is_err() {
            break;
        }
    }
    // A failure means that the reader has gone; nobody is left to tell.
    let _ = output.close(Default::default()).await;
}

impl Testbed for Service {
    async fn echo(&self, message: String) -> String {
        obey_test_hook(&message).await;
        message
    }

    async fn reverse(&self, message: String) -> String {
        message.chars().rev().collect()
    }

    async fn divide(&self, dividend: i64, divisor: i64) -> Result<i64, MathError> {
        if divisor == 0 {
            return Err(MathError::DivisionByZero);
        }
        dividend.checked_div(divisor).ok_or(MathError::Overflow)
    }

    async fn lookup(&self, id: u32) -> Result<Person, LookupError> {
        let (name, age, email) = match id {
            1 => ("Alice", 30, Some("alice@example.com")),
            2 => ("Bob", 25, None),
            3 => ("Charlie", 35, Some("charlie@example.com")),
            100..=199 => return Err(LookupError::AccessDenied),
            _ => return Err(LookupError::NotFound),
        };
        Ok(Person {
            name: name.to_string(),
            age,
            email: email.map(str::to_string),
        })
    }

    async fn sum(&self, numbers: Rx<i32>) -> i64 {
        sum_stream(numbers).await
    }

    async fn generate(&self, count: u32, output: Tx<i32>) {
        count_up(count, output).await
    }

    async fn generate_retry_non_idem(&self, count: u32, output: Tx<i32>) {
        count_up(count, output).await
    }

    async fn generate_retry_idem(&self, count: u32, output: Tx<i32>) {
        count_up(count, output).await
    }

    async fn transform(&self, mut input: Rx<String>, output: Tx<String>) {
        while let Ok(Some(text)) = input.recv().await {
            if output.send(text.get().clone()).await.is_err() {
                break;
            }
        }
        let _ = output.close(Default::default()).await;
    }

    async fn echo_point(&self, point: Point) -> Point {
        point
    }

    async fn create_person(&self, name: String, age: u8, email: Option<String>) -> Person {
        Person { name, age, email }
    }

    async fn rectangle_area(&self, rect: Rectangle) -> f64 {
        // The service is defined on i32 arithmetic. Wrapping keeps corners that
        // are too far apart from meaning different things in debug and release.
        let width = rect.bottom_right.x.wrapping_sub(rect.top_left.x);
        let height = rect.bottom_right.y.wrapping_sub(rect.top_left.y);
        f64::from(width.wrapping_abs()) * f64::from(height.wrapping_abs())
    }

    async fn parse_color(&self, name: String) -> Option<Color> {
        match name.to_lowercase().as_str() {
            "red" => Some(Color::Red),
            "green" => Some(Color::Green),
            "blue" => Some(Color::Blue),
            _ => None,
        }
    }

    async fn shape_area(&self, shape: Shape) -> f64 {
        match shape {
            Shape::Circle { radius } => PI * radius * radius,
            Shape::Rectangle { width, height } => width * height,
            Shape::Point => 0.0,
        }
    }

    async fn create_canvas(&self, name: String, shapes: Vec<Shape>, background: Color) -> Canvas {
        Canvas {
            name,
            shapes,
            background,
        }
    }

    async fn echo_gnarly(&self, payload: GnarlyPayload) -> GnarlyPayload {
        payload
    }

    async fn process_message(&self, msg: Message) -> Message {
        match msg {
            Message::Text(text) => Message::Text(format!("processed: {text}")),
            Message::Number(number) => Message::Number(number.wrapping_mul(2)),
            Message::Data(mut data) => {
                data.reverse();
                Message::Data(data)
            }
        }
    }

    async fn get_points(&self, count: u32) -> Vec<Point> {
        (0..count as i32).map(|x| Point { x, y: x * 2 }).collect()
    }

    async fn swap_pair(&self, pair: (i32, String)) -> (String, i32) {
        (pair.1, pair.0)
    }

    async fn echo_bytes(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }

    async fn echo_bool(&self, b: bool) -> bool {
        b
    }

    async fn echo_u64(&self, n: u64) -> u64 {
        n
    }

    async fn echo_option_string(&self, s: Option<String>) -> Option<String> {
        s
    }

    async fn sum_large(&self, numbers: Rx<i32>) -> i64 {
        sum_stream(numbers).await
    }

    async fn generate_large(&self, count: u32, output: Tx<i32>) {
        count_up(count, output).await
    }

    async fn all_colors(&self) -> Vec<Color> {
        vec![Color::Red, Color::Green, Color::Blue]
    }

    async fn describe_point(&self, label: String, x: i32, y: i32, active: bool) -> TaggedPoint {
        TaggedPoint {
            label,
            x,
            y,
            active,
        }
    }

    async fn echo_shape(&self, shape: Shape) -> Shape {
        shape
    }

    async fn echo_status_v1(&self, status: Status) -> Status {
        status
    }

    async fn echo_tag_v1(&self, tag: Tag) -> Tag {
        tag
    }

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
