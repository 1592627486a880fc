// SPDX-License-Identifier: MIT
//! Every method without channels, called with values at the edges of its types.

use std::f64::consts::PI;

use crate::scenarios::{Report, long_text};
use crate::testbed::*;

/// A 64 KiB string: longer than what fits into one read of a socket.
const LONG: usize = 1 << 16;

/// Checks `METHOD/CASE`: the answer is the argument.
macro_rules! echoes {
    ($report:ident, $client:ident.$method:ident: $($case:literal $value:expr;)+) => {
        $({
            let value = $value;
            let answer = $client.$method(value.clone()).await;
            $report.value(concat!(stringify!($method), "/", $case), answer, value);
        })+
    };
}

/// Checks `METHOD/CASE`: the answer to these arguments is this value.
macro_rules! answers {
    ($report:ident, $client:ident.$method:ident:
     $($case:literal ($($argument:expr),*) => $expected:expr;)+) => {
        $({
            let answer = $client.$method($($argument),*).await;
            $report.value(concat!(stringify!($method), "/", $case), answer, $expected);
        })+
    };
}

/// The same for an error.
macro_rules! fails {
    ($report:ident, $client:ident.$method:ident:
     $($case:literal ($($argument:expr),*) => $expected:expr;)+) => {
        $({
            let answer = $client.$method($($argument),*).await;
            $report.error(concat!(stringify!($method), "/", $case), answer, $expected);
        })+
    };
}

async fn texts(report: &Report, client: &TestbedClient) {
    let long = long_text(LONG);
    // The lengths at which the length itself gets longer, the ends of each
    // length of a scalar, and characters that have to be escaped when shown.
    echoes! { report, client.echo:
        "127-bytes" long_text(127);
        "128-bytes" long_text(128);
        "16383-bytes" long_text(16383);
        "16384-bytes" long_text(16384);
        "scalars" "\u{7f}\u{80}\u{7ff}\u{800}\u{fffd}\u{10000}\u{10ffff}".to_string();
        "escapes" "\"\\\t\r\n'\u{1}\0".to_string();
    }
    answers! { report, client.reverse:
        "empty" ("".into()) => "";
        "four-bytes" ("\u{10ffff}😀\u{10000}a".into()) => "a\u{10000}😀\u{10ffff}";
        "combining" ("e\u{301}x".into()) => "x\u{301}e";
        "long" (long.clone()) => long.chars().rev().collect::<String>();
    }
    echoes! { report, client.echo_option_string:
        "non-ascii" Some("ñ😀".to_string());
        "long" Some(long.clone());
    }
    answers! { report, client.parse_color:
        "red" ("red".into()) => Some(Color::Red);
        "green" ("GREEN".into()) => Some(Color::Green);
        "blue" ("bLuE".into()) => Some(Color::Blue);
        "empty" ("".into()) => None::<Color>;
        "other" ("purple".into()) => None::<Color>;
        "space" ("red ".into()) => None::<Color>;
        "non-ascii" ("rëd".into()) => None::<Color>;
    }
    answers! { report, client.swap_pair:
        "empty" ((i32::MIN, "".into())) => ("", i32::MIN);
        "non-ascii" ((i32::MAX, "ñ😀".into())) => ("ñ😀", i32::MAX);
        "long" ((0, long.clone())) => (&long, 0);
    }
}

async fn numbers(report: &Report, client: &TestbedClient) {
    answers! { report, client.divide:
        "min-by-one" (i64::MIN, 1) => i64::MIN;
        "max-by-minus-one" (i64::MAX, -1) => -i64::MAX;
        "min-by-max" (i64::MIN, i64::MAX) => -1;
        "max-by-min" (i64::MAX, i64::MIN) => 0;
        "both-negative" (-7, -2) => 3;
    }
    fails! { report, client.divide: "min-by-zero" (i64::MIN, 0) => "User(DivisionByZero)"; }
    fails! { report, client.lookup:
        "zero" (0) => "User(NotFound)";
        "99" (99) => "User(NotFound)";
        "199" (199) => "User(AccessDenied)";
        "200" (200) => "User(NotFound)";
        "max" (u32::MAX) => "User(NotFound)";
    }
    echoes! { report, client.echo_u64:
        "127" 127_u64;
        "16383" 16383_u64;
        "16384" 16384_u64;
        "32-bits" u64::from(u32::MAX) + 1;
        "63-bits" 1_u64 << 63;
    }
}

async fn points(report: &Report, client: &TestbedClient) {
    let point = |x, y| Point { x, y };
    let rectangle = |left, top, right, bottom, label: Option<&str>| Rectangle {
        top_left: point(left, top),
        bottom_right: point(right, bottom),
        label: label.map(str::to_string),
    };
    let tagged = |label: &str, x, y, active| TaggedPoint {
        label: label.into(),
        x,
        y,
        active,
    };
    let row = |count| (0..count).map(|x| point(x, 2 * x)).collect::<Vec<_>>();
    echoes! { report, client.echo_point:
        "zero" point(0, 0);
        "limits" point(i32::MIN, i32::MAX);
        "one-byte" point(63, -64);
        "two-bytes" point(64, -65);
    }
    let greatest = f64::from(i32::MAX);
    answers! { report, client.rectangle_area:
        "unit" (rectangle(0, 0, 1, 1, None)) => 1.0;
        "swapped" (rectangle(3, 4, 0, 0, Some(""))) => 12.0;
        "flat" (rectangle(5, 1, 5, 9, Some("Größe"))) => 0.0;
        "greatest" (rectangle(0, 0, i32::MAX, i32::MAX, None)) => greatest * greatest;
        "wraps" (rectangle(i32::MIN, 0, i32::MAX, 1, None)) => 1.0;
        "smallest" (rectangle(i32::MIN, 0, 0, 1, None)) => f64::from(i32::MIN);
    }
    answers! { report, client.get_points:
        "0" (0) => row(0);
        "1" (1) => row(1);
        "1000" (1000) => row(1000);
    }
    answers! { report, client.describe_point:
        "empty" ("".into(), 0, 0, false) => tagged("", 0, 0, false);
        "limits" ("far 😀".into(), i32::MIN, i32::MAX, true) => tagged("far 😀", i32::MIN, i32::MAX, true);
        "negative" ("x".into(), -100, 200, false) => tagged("x", -100, 200, false);
    }
}

fn circle(radius: f64) -> Shape {
    Shape::Circle { radius }
}

fn rectangle(width: f64, height: f64) -> Shape {
    Shape::Rectangle { width, height }
}

async fn shapes(report: &Report, client: &TestbedClient) {
    let subnormal = f64::from_bits(1);
    answers! { report, client.shape_area:
        "circle-zero" (circle(0.0)) => 0.0;
        "circle" (circle(2.5)) => PI * 2.5 * 2.5;
        "circle-subnormal" (circle(subnormal)) => 0.0;
        "circle-max" (circle(f64::MAX)) => f64::INFINITY;
        "rectangle" (rectangle(3.0, 4.0)) => 12.0;
        "rectangle-minus-zero" (rectangle(-0.0, 1.0)) => -0.0;
        "rectangle-subnormal" (rectangle(subnormal, 1.0)) => subnormal;
        "rectangle-infinite" (rectangle(f64::INFINITY, -1.0)) => f64::NEG_INFINITY;
        "point" (Shape::Point) => 0.0;
    }
    echoes! { report, client.echo_shape:
        "circle-minus-zero" circle(-0.0);
        "circle-subnormal" circle(subnormal);
        "circle-greatest-subnormal" circle(f64::from_bits((1 << 52) - 1));
        "circle-max" circle(f64::MAX);
        "circle-infinite" circle(f64::NEG_INFINITY);
        "rectangle" rectangle(0.1, 1e16);
        "rectangle-limits" rectangle(f64::MIN_POSITIVE, f64::MIN);
        "point" Shape::Point;
    }
    let canvas = |name: &str, shapes, background| Canvas {
        name: name.into(),
        shapes,
        background,
    };
    let all = vec![circle(2.5), rectangle(1.0, -0.0), Shape::Point];
    let many: Vec<_> = (0..1000).map(|at| all[at % 3].clone()).collect();
    answers! { report, client.create_canvas:
        "empty" ("".into(), vec![], Color::Red) => canvas("", vec![], Color::Red);
        "one" ("ñ".into(), vec![Shape::Point], Color::Green) => canvas("ñ", vec![Shape::Point], Color::Green);
        "every-shape" ("c".into(), all.clone(), Color::Blue) => canvas("c", all, Color::Blue);
        "1000" ("many".into(), many.clone(), Color::Red) => canvas("many", many, Color::Red);
    }
    answers! { report, client.all_colors: "all" () => [Color::Red, Color::Green, Color::Blue]; }
}

/// `count` entries of all kinds in turn, with lists of every length up to 3.
fn gnarly_entries(count: usize) -> Vec<GnarlyEntry> {
    let attr = |at| GnarlyAttr {
        key: format!("k{at}"),
        value: "😀".into(),
    };
    let entry = |at: usize| GnarlyEntry {
        id: at as u64,
        parent: (at % 2 == 1).then_some(at as u64 / 2),
        name: format!("n{at}"),
        path: format!("/é/{at}"),
        attrs: (0..at % 4).map(attr).collect(),
        chunks: (0..at % 3).map(|length| vec![at as u8; length]).collect(),
        kind: match at % 3 {
            0 => GnarlyKind::File {
                mime: "".into(),
                tags: vec!["tag".into(); at % 4],
            },
            1 => GnarlyKind::Directory {
                child_count: u32::MAX,
                children: vec!["ñ".into(); at % 4],
            },
            _ => GnarlyKind::Symlink {
                target: "../".into(),
                hops: vec![u32::MAX; at % 4],
            },
        },
    };
    (0..count).map(entry).collect()
}

fn numbered_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn bytes(report: &Report, client: &TestbedClient) {
    let payload = |entries, digest| GnarlyPayload {
        revision: 0,
        mount: "".into(),
        entries,
        footer: None,
        digest,
    };
    let mut big = gnarly_entries(1);
    big[0].chunks = vec![numbered_bytes(1 << 20)];
    echoes! { report, client.echo_gnarly:
        "empty" payload(vec![], vec![]);
        "12-entries" payload(gnarly_entries(12), (0..=255).collect());
        "1mib-chunk" payload(big, vec![]);
    }
    echoes! { report, client.echo_bytes:
        "127" numbered_bytes(127);
        "128" numbered_bytes(128);
        "1mib" numbered_bytes(1 << 20);
    }
    let reversed = numbered_bytes(1 << 20).into_iter().rev().collect();
    answers! { report, client.process_message:
        "text" (Message::Text("abc".into())) => Message::Text("processed: abc".into());
        "text-empty" (Message::Text("".into())) => Message::Text("processed: ".into());
        "text-non-ascii" (Message::Text("ñ😀".into())) => Message::Text("processed: ñ😀".into());
        "number-zero" (Message::Number(0)) => Message::Number(0);
        "number-negative" (Message::Number(-1)) => Message::Number(-2);
        "number-max" (Message::Number(i64::MAX)) => Message::Number(-2);
        "number-min" (Message::Number(i64::MIN)) => Message::Number(0);
        "data-empty" (Message::Data(vec![])) => Message::Data(vec![]);
        "data-one" (Message::Data(vec![255])) => Message::Data(vec![255]);
        "data-many" (Message::Data(vec![1, 2, 3, 4])) => Message::Data(vec![4, 3, 2, 1]);
        "data-1mib" (Message::Data(numbered_bytes(1 << 20))) => Message::Data(reversed);
    }
}

async fn people(report: &Report, client: &TestbedClient) {
    let long = long_text(LONG);
    let person = |name: &str, age, email: Option<&str>| Person {
        name: name.into(),
        age,
        email: email.map(str::to_string),
    };
    let profile = |name: &str, bio: &str| Profile {
        name: name.into(),
        bio: bio.into(),
    };
    answers! { report, client.create_person:
        "empty" ("".into(), 0, None) => person("", 0, None);
        "limits" ("Zoë 😀".into(), 255, Some("".into())) => person("Zoë 😀", 255, Some(""));
        "some" ("a".into(), 127, Some("é@x".into())) => person("a", 127, Some("é@x"));
        "long" (long.clone(), 128, None) => person(&long, 128, None);
    }
    echoes! { report, client.echo_profile:
        "empty" profile("", "");
        "non-ascii" profile("ñ", "😀");
        "long" profile("n", &long);
    }
}

/// The types that the evolved service changes, as they are before.
async fn evolvable(report: &Report, client: &TestbedClient) {
    let record = |alpha, beta: &str, gamma| Record {
        alpha,
        beta: beta.into(),
        gamma,
    };
    let tag = |label: &str, priority, note: &str| Tag {
        label: label.into(),
        priority,
        note: note.into(),
    };
    let measurement = |unit: &str, value| Measurement {
        unit: unit.into(),
        value,
    };
    let config = |key: &str, value: &str| Config {
        key: key.into(),
        value: value.into(),
    };
    echoes! { report, client.echo_record:
        "empty" record(0, "", 0.0);
        "limits" record(i32::MIN, "ñ", -0.0);
        "subnormal" record(i32::MAX, "b", f64::from_bits(1));
    }
    echoes! { report, client.echo_status: "active" Status::Active; "inactive" Status::Inactive; }
    echoes! { report, client.echo_status_v1: "active" Status::Active; "inactive" Status::Inactive; }
    echoes! { report, client.echo_tag:
        "empty" tag("", 0, "");
        "limits" tag("Ä", u32::MAX, "😀");
    }
    echoes! { report, client.echo_tag_v1:
        "empty" tag("", 0, "");
        "limits" tag("Ä", u32::MAX, "😀");
    }
    // Those between which shown numbers change their form are among these.
    echoes! { report, client.echo_measurement:
        "minus-zero" measurement("", -0.0);
        "subnormal" measurement("°", f64::from_bits(3));
        "max" measurement("m", f64::MAX);
        "whole" measurement("m", 9007199254740993.0);
        "great" measurement("m", 1e16);
        "small" measurement("m", 0.0001);
        "smaller" measurement("m", 0.00001234);
        "third" measurement("m", 1.0 / 3.0);
    }
    echoes! { report, client.echo_config:
        "empty" config("", "");
        "non-ascii" config("ñ", "😀");
    }
}

pub async fn call_all(report: &Report, client: &TestbedClient) {
    texts(report, client).await;
    numbers(report, client).await;
    points(report, client).await;
    shapes(report, client).await;
    bytes(report, client).await;
    people(report, client).await;
    evolvable(report, client).await;
}
