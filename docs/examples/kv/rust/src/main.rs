// SPDX-License-Identifier: MIT
//! The key-value service from Rust, over vox. Ends with 1 if the server
//! refused, with 2 if the call failed.

#[path = "../../kv.rs"]
mod kv;

use std::fmt::Debug;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpStream;
use vox::transport::tcp::StreamLink;
use vox::{TransportMode, VoxError};

use kv::{Entry, KvClient, Refusal};

const USAGE: &str = "\
usage: kv-client HOST:PORT get KEY
       kv-client HOST:PORT put KEY VALUE [VERSION]    VALUE -: from standard input
       kv-client HOST:PORT delete KEY
       kv-client HOST:PORT list [PREFIX]
       kv-client HOST:PORT watch KEY [COUNT]";

/// Why a command did not succeed, for people, and the exit status.
struct Failure(String, u8);

fn failed(what: impl Into<String>) -> Failure {
    Failure(what.into(), 2)
}

impl From<VoxError<Refusal>> for Failure {
    fn from(error: VoxError<Refusal>) -> Self {
        let VoxError::User(refusal) = error else {
            return failed(format!("{error:?}"));
        };
        let text = match refusal {
            Refusal::NotFound => "not found".to_string(),
            Refusal::TooLarge { size, limit } => {
                format!("too large: {size} bytes, the server takes {limit}")
            }
            Refusal::Conflict { have } => format!("conflict: it has version {have}"),
            Refusal::Full { limit } => format!("full: the server keeps {limit} keys"),
        };
        Failure(text, 1)
    }
}

/// One TCP connection. `vox::connect` would connect again and again when there
/// is no server, and say nothing.
async fn connect(address: &str) -> Result<KvClient, Failure> {
    let stream = TcpStream::connect(address)
        .await
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        .map_err(|error| failed(format!("cannot connect to {address}: {error}")))?;
    vox::initiator_on(StreamLink::tcp(stream), TransportMode::Bare)
        .connect_timeout(Duration::from_secs(10))
        .establish::<KvClient>()
        .await
        .map_err(|error| failed(format!("no session with {address}: {error:?}")))
}

fn print(value: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    out.write_all(value)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(|error| failed(error.to_string()))
}

fn number<T: std::str::FromStr<Err: Debug>>(text: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|_| failed(format!("not a number: {text}")))
}

fn value(text: &str) -> Result<Vec<u8>, Failure> {
    let mut input = text.as_bytes().to_vec();
    if text == "-" {
        input.clear();
        std::io::stdin()
            .read_to_end(&mut input)
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(input)
}

/// Prints each change, until Ctrl-C. The server learns from the end of the
/// session that nobody waits: a caller of vox 0.4.0 sends no Cancel.
async fn watch(client: &KvClient, key: &str, mut left: u64) -> Result<(), Failure> {
    let mut since = 0;
    while left > 0 {
        let answer = tokio::select! {
            biased; // the signal is ours before the server knows of the call
            _ = tokio::signal::ctrl_c() => return print(b"cancelled"),
            answer = client.wait_change(key.to_string(), since) => answer,
        };
        match answer {
            Ok(Entry { version, value }) => {
                since = version;
                print(&[format!("version {version}: ").as_bytes(), &value].concat())?;
            }
            Err(VoxError::User(_)) => {
                since = 0;
                print(b"deleted")?;
            }
            Err(error) => return Err(error.into()),
        }
        left -= 1;
    }
    Ok(())
}

async fn run(words: &[&str]) -> Result<(), Failure> {
    let [address, command @ ..] = words else {
        return Err(failed(USAGE));
    };
    let address = address.strip_prefix("tcp://").unwrap_or(address);
    match command {
        ["get", key] => {
            let entry = connect(address).await?.get(key.to_string()).await?;
            print(&entry.value)
        }
        ["put", key, text, expect @ ..] if expect.len() < 2 => {
            let value = value(text)?;
            let expect = expect.first().map(|text| number(text)).transpose()?;
            let client = connect(address).await?;
            let version = client.put(key.to_string(), value, expect).await?;
            print(format!("version {version}").as_bytes())
        }
        ["delete", key] => Ok(connect(address).await?.delete(key.to_string()).await?),
        ["list", prefix @ ..] if prefix.len() < 2 => {
            let prefix = prefix.concat();
            let keys = connect(address).await?.list(prefix).await;
            for info in keys.map_err(|error| failed(format!("{error:?}")))? {
                let (key, version, size) = (info.key, info.version, info.size);
                print(format!("{key}: version {version}, {size} bytes").as_bytes())?;
            }
            Ok(())
        }
        ["watch", key, count @ ..] if count.len() < 2 => {
            let count = count.first().map(|text| number(text)).transpose()?;
            let client = connect(address).await?;
            watch(&client, key, count.unwrap_or(u64::MAX)).await
        }
        _ => Err(failed(USAGE)),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&words)),
        Err(error) => Err(failed(format!("no runtime: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text, status)) => {
            eprintln!("{text}");
            ExitCode::from(status)
        }
    }
}
