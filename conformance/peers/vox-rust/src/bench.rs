// SPDX-License-Identifier: MIT
//! Call rate and latency of a 32-byte `echo`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::link;
use crate::testbed::TestbedClient;

const MESSAGE: &str = "0123456789abcdef0123456789abcdef";

/// Time for the first calls to announce their schemas and for TCP to settle.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long the last calls may take after the window has closed. A peer that
/// has stopped answering must not hang the benchmark.
const GRACE: Duration = Duration::from_secs(10);

/// What the workers and the clock tell each other. Everything runs on one
/// thread; atomics are needed only because tokio's tasks have to be `Send`.
#[derive(Default)]
struct Progress {
    completed: AtomicU64,
    recording: AtomicBool,
    stopping: AtomicBool,
}

/// Keeps one call outstanding and returns the latencies seen while recording,
/// in nanoseconds. Four bytes each, so that long runs need no sampling.
async fn keep_calling(client: TestbedClient, progress: Arc<Progress>) -> Result<Vec<u32>, String> {
    let mut latencies = Vec::new();
    while !progress.stopping.load(Relaxed) {
        let start = Instant::now();
        let answer = client.echo(MESSAGE.to_string()).await;
        let latency = start.elapsed();
        match answer {
            Ok(text) if text == MESSAGE => {}
            other => return Err(format!("echo answered {other:?}")),
        }
        progress.completed.fetch_add(1, Relaxed);
        if progress.recording.load(Relaxed) {
            latencies.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
        }
    }
    Ok(latencies)
}

/// User plus system time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills in the struct, whose fields may all be zero.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The latency that `percent` of the calls did not exceed, in microseconds.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted
        .get(index)
        .map_or(0.0, |&nanoseconds| f64::from(nanoseconds) / 1000.0)
}

pub async fn run(address: &str, inflight: usize, seconds: f64) -> Result<(), String> {
    let window = Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("not a duration: {seconds} seconds"))?;
    let client: TestbedClient = link::connect(address).await?;
    let progress = Arc::new(Progress::default());

    let mut workers = JoinSet::new();
    for _ in 0..inflight {
        workers.spawn(keep_calling(client.clone(), progress.clone()));
    }

    sleep(WARM_UP).await;
    let (start, cpu_at_start) = (Instant::now(), cpu_seconds());
    let completed_at_start = progress.completed.load(Relaxed);
    progress.recording.store(true, Relaxed);

    sleep(window).await;
    progress.recording.store(false, Relaxed);
    progress.stopping.store(true, Relaxed);
    let calls = progress.completed.load(Relaxed) - completed_at_start;
    let elapsed = start.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu_at_start;

    let mut latencies = Vec::new();
    while let Some(outcome) = timeout(GRACE, workers.join_next())
        .await
        .map_err(|_| "calls without an answer".to_string())?
    {
        latencies.extend(outcome.map_err(|error| format!("worker died: {error}"))??);
    }
    latencies.sort_unstable();

    println!(
        "{{\"peer\":\"vox-rust\",\"inflight\":{inflight},\"calls\":{calls},\
         \"seconds\":{elapsed:.3},\"rate\":{:.1},\"p50_us\":{:.1},\"p99_us\":{:.1},\
         \"cpu_seconds\":{cpu:.3}}}",
        calls as f64 / elapsed,
        percentile(&latencies, 50),
        percentile(&latencies, 99),
    );
    Ok(())
}
