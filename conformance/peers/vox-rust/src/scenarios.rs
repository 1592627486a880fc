// SPDX-License-Identifier: MIT
//! The scenarios of `vox-peer client`: calls whose answers are compared with
//! what the real vox server answers.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::timeout;

use crate::testbed::{GnarlyAttr, GnarlyEntry, GnarlyKind, GnarlyPayload, Person, TestbedClient};
use crate::{evolution, link, methods};

/// Limit for one scenario, connecting included.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Outcomes longer than this are printed as a beginning, a length and a digest.
const LONGEST_PRINTED: usize = 2000;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Part of `all`.
    Automatic,
    /// Run by name only: needs a server with test hooks or someone who
    /// interferes.
    Manual,
    /// Manual, and without a time limit.
    Endless,
}

#[derive(Clone, Copy)]
pub struct Scenario {
    name: &'static str,
    kind: Kind,
}

const fn automatic(name: &'static str) -> Scenario {
    Scenario {
        name,
        kind: Kind::Automatic,
    }
}

const fn manual(name: &'static str, kind: Kind) -> Scenario {
    Scenario { name, kind }
}

const SCENARIOS: &[Scenario] = &[
    automatic("echo-empty"),
    automatic("echo-one-byte"),
    automatic("echo-1mib"),
    automatic("echo-non-ascii"),
    automatic("reverse"),
    automatic("divide-ok"),
    automatic("divide-by-zero"),
    automatic("divide-overflow"),
    automatic("divide-negative"),
    automatic("lookup-found"),
    automatic("lookup-not-found"),
    automatic("lookup-denied"),
    automatic("echo-bytes"),
    automatic("echo-gnarly"),
    automatic("scalars"),
    automatic("pipelined-1000"),
    automatic("unknown-method"),
    automatic("invalid-payload"),
    automatic("methods"),
    manual("call-as-v1", Kind::Manual),
    manual("call-as-evolved", Kind::Manual),
    manual("peer-killed", Kind::Manual),
    manual("slow-call", Kind::Manual),
    manual("hang", Kind::Endless),
];

/// The service as a caller sees it who knows methods the server does not have.
/// The hash of a method id covers the service name, so the trait must be called
/// `Testbed` again.
mod newer {
    use crate::testbed::MathError;

    #[vox::service]
    pub trait Testbed {
        async fn echo(&self, message: String) -> String;
        async fn not_there(&self, message: String) -> String;
        async fn not_there_unit(&self, message: String);
        async fn not_there_fallible(&self, message: String) -> Result<u32, MathError>;
    }
}

/// The service as a caller sees it who got the argument types wrong. Types are
/// not part of a method id, so these calls reach the real methods.
mod mistyped {
    use crate::testbed::MathError;

    #[vox::service]
    pub trait Testbed {
        async fn echo(&self, message: u64) -> String;
        async fn divide(&self, dividend: String, divisor: i64) -> Result<i64, MathError>;
        async fn reverse(&self, message: String) -> String;
    }
}

/// Prints and counts the checks. Clones count together, so that a scenario can
/// run in a task of its own.
#[derive(Clone, Default)]
pub struct Report {
    passed: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Report {
    fn record(&self, name: &str, got: &str, expected: &str, passed: bool) {
        let got = abbreviate(got);
        println!("result {name} {got}");
        if passed {
            self.passed.fetch_add(1, Relaxed);
            println!("ok {name}");
        } else {
            self.failed.fetch_add(1, Relaxed);
            println!("FAIL {name}: got {got} expected {}", abbreviate(expected));
        }
    }

    /// An outcome that others judge.
    pub fn observe<T: Debug, E: Debug>(&self, name: &str, got: Result<T, E>) {
        println!("result {name} {}", abbreviate(&format!("{got:?}")));
    }

    /// The call succeeds with this value.
    pub fn value<T: Debug, E: Debug>(&self, name: &str, got: Result<T, E>, expected: impl Debug) {
        let (got, expected) = (format!("{got:?}"), format!("Ok({expected:?})"));
        self.record(name, &got, &expected, got == expected);
    }

    /// The call fails with exactly this error.
    pub fn error<T: Debug, E: Debug>(&self, name: &str, got: Result<T, E>, expected: &str) {
        let (got, expected) = (format!("{got:?}"), format!("Err({expected})"));
        self.record(name, &got, &expected, got == expected);
    }

    /// The call fails because the connection has gone. Which of the errors it is
    /// depends on how far vox has got with tearing down the session.
    fn connection_lost<T: Debug, E: Debug>(&self, name: &str, got: Result<T, E>) {
        let got = format!("{got:?}");
        let passed = matches!(
            got.as_str(),
            "Err(ConnectionClosed)" | "Err(SessionShutdown)" | "Err(SendFailed)"
        );
        let expected = "Err(ConnectionClosed) or Err(SessionShutdown) or Err(SendFailed)";
        self.record(name, &got, expected, passed);
    }

    /// The call fails with an invalid payload, whatever the message says: every
    /// implementation words it differently.
    fn invalid_payload<T: Debug, E: Debug>(&self, name: &str, got: Result<T, E>) {
        let got = format!("{got:?}");
        let passed = got.starts_with("Err(InvalidPayload(");
        self.record(name, &got, "Err(InvalidPayload(..))", passed);
    }
}

/// Long outcomes have to fit on a line and still differ when they differ.
fn abbreviate(text: &str) -> String {
    if text.len() <= LONGEST_PRINTED {
        return text.to_string();
    }
    // 64-bit FNV-1a.
    let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let beginning: String = text.chars().take(40).collect();
    format!("{beginning}... ({} bytes, fnv1a {digest:016x})", text.len())
}

/// A string of numbered blocks, so that lost or swapped pieces show.
pub fn long_text(length: usize) -> String {
    let mut text = String::with_capacity(length + 8);
    for block in 0.. {
        if text.len() >= length {
            break;
        }
        text.push_str(&format!("{block:07} "));
    }
    text.truncate(length);
    text
}

/// Every kind of entry, present and absent options, empty and nested lists.
fn gnarly_payload() -> GnarlyPayload {
    let attrs = || {
        vec![
            GnarlyAttr {
                key: "owner".into(),
                value: "root".into(),
            },
            GnarlyAttr {
                key: String::new(),
                value: "ü".into(),
            },
        ]
    };
    let entry = |id, parent, name: &str, chunks, kind| GnarlyEntry {
        id,
        parent,
        name: name.into(),
        path: format!("/mnt/{name}"),
        attrs: attrs(),
        chunks,
        kind,
    };
    GnarlyPayload {
        revision: u64::MAX,
        mount: "/mnt".into(),
        entries: vec![
            entry(
                1,
                None,
                "a.txt",
                vec![vec![], vec![1, 2, 3], vec![0xff; 5]],
                GnarlyKind::File {
                    mime: "text/plain".into(),
                    tags: vec!["x".into(), "y".into()],
                },
            ),
            entry(
                300,
                Some(1),
                "dir",
                vec![],
                GnarlyKind::Directory {
                    child_count: 1,
                    children: vec!["a.txt".into()],
                },
            ),
            entry(
                u64::MAX,
                Some(u64::MAX),
                "ln",
                vec![vec![0]],
                GnarlyKind::Symlink {
                    target: "a.txt".into(),
                    hops: vec![0, 127, 128, u32::MAX],
                },
            ),
        ],
        footer: Some("end".into()),
        digest: vec![0xde, 0xad, 0xbe, 0xef],
    }
}

/// Puts `count` calls on the connection at once.
async fn pipelined(client: &TestbedClient, count: usize) -> Result<String, String> {
    let message = |number| format!("call {number}");
    let calls: Vec<_> = (0..count)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.echo(message(number)).await })
        })
        .collect();

    let mut correct = 0;
    let mut first_wrong = None;
    for (number, call) in calls.into_iter().enumerate() {
        let answer = call.await;
        if matches!(&answer, Ok(Ok(text)) if *text == message(number)) {
            correct += 1;
        } else if first_wrong.is_none() {
            first_wrong = Some(format!("{:?} got {answer:?}", message(number)));
        }
    }
    let summary = format!("{correct} of {count} answers correct");
    match first_wrong {
        None => Ok(summary),
        Some(wrong) => Err(format!("{summary}, first wrong: {wrong}")),
    }
}

async fn unknown_method(report: &Report, address: &str) -> Result<(), String> {
    let client: newer::TestbedClient = link::connect(address).await?;

    // The server cannot know the type that a method it does not have returns,
    // and announces a unit. Only a caller that expects a unit can decode the
    // UnknownMethod inside; the others fail on the type.
    let answer = client.not_there("x".into()).await;
    report.invalid_payload("unknown-method/string", answer);
    let answer = client.not_there("y".into()).await;
    report.invalid_payload("unknown-method/string-again", answer);
    let answer = client.not_there_unit("x".into()).await;
    report.error("unknown-method/unit", answer, "UnknownMethod");
    let answer = client.not_there_fallible("x".into()).await;
    report.invalid_payload("unknown-method/fallible", answer);

    let answer = client.echo("alive".into()).await;
    report.value("unknown-method/echo-afterwards", answer, "alive");
    Ok(())
}

async fn invalid_payload(report: &Report, address: &str) -> Result<(), String> {
    let client: mistyped::TestbedClient = link::connect(address).await?;

    let answer = client.echo(5).await;
    report.invalid_payload("invalid-payload/echo-u64", answer);
    let answer = client.divide("x".into(), 1).await;
    report.invalid_payload("invalid-payload/divide-string", answer);

    let answer = client.reverse("abc".into()).await;
    report.value("invalid-payload/reverse-afterwards", answer, "cba");
    Ok(())
}

async fn scalars(report: &Report, client: &TestbedClient) {
    for (name, b) in [("scalars/true", true), ("scalars/false", false)] {
        report.value(name, client.echo_bool(b).await, b);
    }
    for (name, n) in [
        ("scalars/u64-zero", 0),
        ("scalars/u64-two-bytes", 128),
        ("scalars/u64-max", u64::MAX),
    ] {
        report.value(name, client.echo_u64(n).await, n);
    }
    for (name, s) in [
        ("scalars/some", Some("text".to_string())),
        ("scalars/some-empty", Some(String::new())),
        ("scalars/none", None),
    ] {
        report.value(name, client.echo_option_string(s.clone()).await, s);
    }
}

/// Runs a scenario that talks through the ordinary client.
async fn call(name: &str, report: &Report, client: &TestbedClient) {
    match name {
        "echo-empty" => report.value(name, client.echo(String::new()).await, ""),
        "echo-one-byte" => report.value(name, client.echo("a".into()).await, "a"),
        "echo-1mib" => {
            let text = long_text(1 << 20);
            report.value(name, client.echo(text.clone()).await, text);
        }
        "echo-non-ascii" => {
            // Two, three and four byte sequences, a combining accent, a NUL.
            let text = "añß 世界 😀 e\u{301} \0 \u{10ffff}";
            report.value(name, client.echo(text.into()).await, text);
        }
        "reverse" => {
            let answer = client.reverse("añ😀b".into()).await;
            report.value(name, answer, "b😀ña");
        }
        "divide-ok" => report.value(name, client.divide(10, 3).await, 3),
        "divide-by-zero" => {
            let answer = client.divide(10, 0).await;
            report.error(name, answer, "User(DivisionByZero)");
        }
        "divide-overflow" => {
            let answer = client.divide(i64::MIN, -1).await;
            report.error(name, answer, "User(Overflow)");
        }
        "divide-negative" => report.value(name, client.divide(-7, 2).await, -3),
        "lookup-found" => {
            let people = [
                ("lookup-found/1", "Alice", 30, Some("alice@example.com")),
                ("lookup-found/2", "Bob", 25, None),
                ("lookup-found/3", "Charlie", 35, Some("charlie@example.com")),
            ];
            for (id, (name, person, age, email)) in (1..).zip(people) {
                let expected = Person {
                    name: person.into(),
                    age,
                    email: email.map(str::to_string),
                };
                report.value(name, client.lookup(id).await, expected);
            }
        }
        "lookup-not-found" => {
            let answer = client.lookup(999).await;
            report.error(name, answer, "User(NotFound)");
        }
        "lookup-denied" => {
            let answer = client.lookup(100).await;
            report.error(name, answer, "User(AccessDenied)");
        }
        "echo-bytes" => {
            let all_values: Vec<u8> = (0..=255).collect();
            for (name, data) in [
                ("echo-bytes/empty", vec![]),
                ("echo-bytes/one", vec![0]),
                ("echo-bytes/all-values", all_values),
            ] {
                report.value(name, client.echo_bytes(data.clone()).await, data);
            }
        }
        "echo-gnarly" => {
            let payload = gnarly_payload();
            let answer = client.echo_gnarly(payload.clone()).await;
            report.value(name, answer, payload);
        }
        "scalars" => scalars(report, client).await,
        "methods" => methods::call_all(report, client).await,
        "pipelined-1000" => {
            let answers = pipelined(client, 1000).await;
            report.value(name, answers, "1000 of 1000 answers correct");
        }
        "peer-killed" => {
            let answer = client.echo("exit".into()).await;
            report.connection_lost(name, answer);
        }
        "slow-call" => {
            println!("calling");
            let answer = client.echo("slow:600000:x".into()).await;
            report.connection_lost(name, answer);
        }
        "hang" => {
            println!("connected");
            std::future::pending().await
        }
        _ => unreachable!("scenario {name} is listed but has no code"),
    }
}

/// Runs one scenario. Most of them share a client, so that later calls are
/// announced on a connection that already knows some types. It is created by
/// the first that needs it, and replaced when it has lost its connection.
async fn run_one(
    scenario: Scenario,
    report: Report,
    address: String,
    shared: Option<TestbedClient>,
) -> Result<Option<TestbedClient>, String> {
    match scenario.name {
        "unknown-method" => unknown_method(&report, &address).await?,
        "invalid-payload" => invalid_payload(&report, &address).await?,
        "call-as-v1" => evolution::call_as_v1(&report, &address).await?,
        "call-as-evolved" => evolution::call_as_evolved(&report, &address).await?,
        name => {
            let client = match shared {
                Some(client) if client.caller.is_connected() => client,
                _ => link::connect(&address).await?,
            };
            call(name, &report, &client).await;
            return Ok(Some(client));
        }
    }
    Ok(shared)
}

/// Runs the scenarios in order; true if every check passed.
pub async fn run(address: &str, scenarios: &[Scenario]) -> bool {
    let report = Report::default();
    let mut shared = None;
    for &scenario in scenarios {
        let limit = match scenario.kind {
            Kind::Endless => Duration::MAX,
            _ => TIME_LIMIT,
        };
        // In a task of its own, because an answer that the service's signature
        // rules out makes vox panic in the calling task.
        let work = run_one(scenario, report.clone(), address.to_string(), shared.take());
        let task = tokio::spawn(work);
        let abort = task.abort_handle();
        let outcome = match timeout(limit, task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the calling task panicked".to_string()),
            Err(_) => {
                abort.abort();
                Err(format!("no outcome within {} s", limit.as_secs()))
            }
        };
        match outcome {
            Ok(client) => shared = client,
            Err(problem) => report.record(scenario.name, &problem, "an outcome", false),
        }
    }
    let (passed, failed) = (report.passed.load(Relaxed), report.failed.load(Relaxed));
    println!("{passed} passed, {failed} failed");
    failed == 0
}

/// Turns the names on the command line into scenarios.
pub fn choose(names: &[&str]) -> Result<Vec<Scenario>, String> {
    let mut chosen = Vec::new();
    for &name in names {
        if name == "all" {
            let automatic = |scenario: &&Scenario| scenario.kind == Kind::Automatic;
            chosen.extend(SCENARIOS.iter().filter(automatic));
            continue;
        }
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
        chosen.push(*scenario.ok_or_else(|| format!("no scenario {name}"))?);
    }
    Ok(chosen)
}

/// Prints the names of all scenarios.
pub fn list() {
    for scenario in SCENARIOS {
        println!("{}", scenario.name);
    }
}
