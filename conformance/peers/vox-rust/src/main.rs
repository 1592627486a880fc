// SPDX-License-Identifier: MIT
//! `vox-peer`: a peer for choir's tests and benchmark that is nothing but the
//! published vox crates plus the `Testbed` service.

mod bench;
mod codec;
mod evolution;
mod evolved;
mod link;
mod methods;
mod scenarios;
mod sketch;
mod testbed;

use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

const USAGE: &str = "\
usage: vox-peer serve ADDRESS [--evolved | --sketch] [--nodelay] [--single] [--pin CORE]
       vox-peer client ADDRESS SCENARIO...
       vox-peer client ADDRESS all
       vox-peer client --list
       vox-peer bench HOST:PORT INFLIGHT SECONDS [--pin CORE]
       vox-peer codec FILE SECONDS [--pin CORE]
An ADDRESS is HOST:PORT, or local://PATH for a unix socket.";

/// Exit status when the program could not do its work at all. A script must be
/// able to tell that from the 1 of a failed check.
const TROUBLE: u8 = 2;

/// The command line, split into options and the rest.
#[derive(Default)]
struct Arguments {
    words: Vec<String>,
    offer: link::Offer,
    nodelay: bool,
    single: bool,
    list: bool,
    pin: Option<usize>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--evolved" => parsed.offer = link::Offer::Evolved,
                "--sketch" => parsed.offer = link::Offer::Sketch,
                "--nodelay" => parsed.nodelay = true,
                "--single" => parsed.single = true,
                "--list" => parsed.list = true,
                "--pin" => {
                    let core = arguments.next().ok_or("--pin needs a core number")?;
                    parsed.pin = Some(number(&core)?);
                }
                option if option.starts_with('-') => return Err(format!("no option {option}")),
                _ => parsed.words.push(argument),
            }
        }
        Ok(parsed)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

/// Binds the process to one core. Threads inherit the mask, so this has to
/// happen before the runtime starts any.
fn pin_to_core(core: usize) -> Result<(), String> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(format!("no core {core}"));
    }
    // SAFETY: cpu_set_t is a plain bit array for which all zeroes is the empty
    // set, the index was checked above, and the kernel only reads the set.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if status != 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("cannot pin to core {core}: {error}"));
    }
    Ok(())
}

fn runtime(single: bool) -> Result<Runtime, String> {
    let mut builder = if single {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

fn run() -> Result<ExitCode, String> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    if let Some(core) = arguments.pin {
        pin_to_core(core)?;
    }
    match words.as_slice() {
        ["serve", address] => {
            let single = arguments.single || arguments.pin.is_some();
            let serving = link::serve(address, arguments.nodelay, arguments.offer);
            runtime(single)?.block_on(serving)?;
            Ok(ExitCode::SUCCESS)
        }
        ["client"] if arguments.list => {
            scenarios::list();
            Ok(ExitCode::SUCCESS)
        }
        ["client", address, names @ ..] if !names.is_empty() => {
            let chosen = scenarios::choose(names)?;
            // Several threads, so that a task that spins cannot stop the clock
            // of the time limit.
            let all_passed = runtime(false)?.block_on(scenarios::run(address, &chosen));
            Ok(if all_passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        ["bench", address, inflight, seconds] => {
            let (inflight, seconds) = (number(inflight)?, number(seconds)?);
            runtime(true)?.block_on(bench::run(address, inflight, seconds))?;
            Ok(ExitCode::SUCCESS)
        }
        ["codec", path, seconds] => {
            codec::run(path, number(seconds)?)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(USAGE.to_string()),
    }
}

fn main() -> ExitCode {
    run().unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::from(TROUBLE)
    })
}
