//! `afterimage verify`.

use afterimage::{HeldPoints, PointSelector, Sample, open_existing_store};
use serde_json::json;

use crate::{
    args,
    failure::Failure,
    output::{Output, size},
    progress,
};

pub(crate) fn run(arguments: &args::Verify, output: &mut Output) -> Result<(), Failure> {
    let args::Verify {
        at,
        point,
        sample,
        seed,
    } = arguments;
    let target = open_existing_store(&at.target)?;
    let held = HeldPoints::take(&target, &at.group, point, "verify")?;
    let up_to = held.point();
    let sample = Sample {
        per_million: *sample,
        seed: *seed,
    };
    let bar = progress::items("verifying layers", 0, output.is_json());
    let point = PointSelector::Id(up_to);
    let verified = held.points().verify(&point, sample, &mut |layers, so_far| {
        bar.set_length(u64::try_from(layers).unwrap_or(u64::MAX));
        bar.set_position(so_far.layers);
    });
    bar.finish_and_clear();
    held.release()?;
    let verified = verified?;
    output.value(&json!({
        "point": up_to,
        "intact": true,
        "layers": verified.layers,
        "frames": verified.frames,
        "frames_read": verified.frames_read,
        "stored_bytes_read": verified.stored_bytes,
        "raw_bytes_read": verified.raw_bytes,
    }))?;
    output.note(&format!(
        "intact up to point {up_to}: {} layers, {} of {} frames read, {} stored, {} of payload",
        verified.layers,
        verified.frames_read,
        verified.frames,
        size(verified.stored_bytes),
        size(verified.raw_bytes)
    ))
}
