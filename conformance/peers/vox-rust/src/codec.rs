// SPDX-License-Identifier: MIT
//! How long vox's codec takes for one value: what a call does with its
//! arguments, without the call.

use std::hint::black_box;
use std::time::{Duration, Instant};

use vox::vox_postcard::plan::{PlanInput, SchemaSet, build_plan};
use vox::vox_postcard::{from_slice_borrowed_with_plan, to_vec};

use crate::testbed::GnarlyPayload;

/// Time of one batch, so short that a few of them are left alone by whatever
/// else the machine does.
const BATCH: Duration = Duration::from_millis(2);

/// Median nanoseconds of one run of `work`.
fn measure(seconds: f64, mut work: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut per_batch = 0_u32;
    while started.elapsed() < BATCH {
        work();
        per_batch += 1;
    }
    let mut nanoseconds = Vec::new();
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < seconds {
        let batch = Instant::now();
        for _ in 0..per_batch {
            work();
        }
        nanoseconds.push(batch.elapsed().as_nanos() as f64 / f64::from(per_batch));
    }
    nanoseconds.sort_by(f64::total_cmp);
    nanoseconds[nanoseconds.len() / 2]
}

/// `path`: postcard of a `GnarlyPayload`.
pub fn run(path: &str, seconds: f64) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let schemas = vox_types::extract_schemas(<GnarlyPayload as facet::Facet>::SHAPE)
        .map_err(|error| format!("no schemas: {error:?}"))?;
    let side = || SchemaSet::from_root_and_schemas(schemas.root.clone(), schemas.schemas.clone());
    // A connection makes the plan once for each method, and uses it even if
    // both sides have the same types.
    let (remote, local) = (side(), side());
    let plan = build_plan(&PlanInput {
        remote: &remote,
        local: &local,
    })
    .map_err(|error| format!("no plan: {error}"))?;
    let decode = || {
        from_slice_borrowed_with_plan::<GnarlyPayload>(
            black_box(&bytes),
            &plan,
            &remote.registry,
        )
    };
    let value = decode().map_err(|error| format!("{path}: {error}"))?;
    if to_vec(&value).ok().as_ref() != Some(&bytes) {
        return Err(format!("{path}: is encoded as other bytes"));
    }
    let decode_ns = measure(seconds, || {
        black_box(decode().ok());
    });
    let encode_ns = measure(seconds, || {
        black_box(to_vec(black_box(&value)).ok());
    });
    println!(
        "{{\"peer\":\"vox-rust\",\"bytes\":{},\"encode_ns\":{encode_ns:.1},\"decode_ns\":{decode_ns:.1}}}",
        bytes.len(),
    );
    Ok(())
}
