//! `afterimage restore`.

use std::time::Instant;

use afterimage::{
    ErrorKind, HeldPoints, Moment, Onto, PointSelector, Restore, RestoreAt, RestoreProgress,
    Restored, RestoredAt, open_existing_store,
};
use serde_json::json;

use crate::{
    args,
    failure::Failure,
    output::{Output, rate, size},
    progress::{self, follow},
    signals::stop_on_signal,
};

pub(crate) fn run(arguments: &args::Restore, output: &mut Output) -> Result<(), Failure> {
    let args::Restore {
        at,
        point,
        moment,
        disk,
        to,
        ..
    } = arguments;
    let target = open_existing_store(&at.target)?;
    if let Some(moment) = moment {
        return at_write(arguments, *moment, output);
    }
    let point = point.clone().unwrap_or(PointSelector::Latest);
    // Before the point is held: a hold that nobody gives back stays for a day.
    let onto = onto(arguments)?;
    let stop = stop_on_signal()?;
    let who = format!("restore to {}", to.display());
    let held = HeldPoints::take(&target, &at.group, &point, &who)?;
    let points = held.points();
    let point = PointSelector::Id(held.point());
    let restore = Restore {
        point,
        disk: disk.clone(),
        to: to.clone(),
        onto,
    };
    let counts = RestoreProgress::default();
    let bar = progress::bytes("restoring", output.is_json());
    #[expect(
        clippy::disallowed_methods,
        reason = "for the figure that people are shown"
    )]
    let start = Instant::now();
    let restored = follow(&bar, &counts, || restore.run(points, &counts, &stop));
    held.release()?;
    let restored = restored.map_err(|error| {
        let failure = Failure::from(error);
        match failure.kind {
            ErrorKind::Stopped => Failure {
                message: format!("{}: stopped before it was done", to.display()),
                ..failure
            },
            _ => failure,
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let Restored {
        point,
        disk_bytes,
        applied,
    } = restored;
    output.value(&json!({
        "point": point,
        "disk": disk.as_str(),
        "to": to.display().to_string(),
        "disk_bytes": disk_bytes,
        "written_bytes": applied.written_bytes,
        "zeroed_bytes": applied.zeroed_bytes,
        "equal_bytes": applied.equal_bytes,
        "fetched_bytes": applied.fetched_bytes,
        "seconds": seconds,
    }))?;
    output.note(&format!(
        "point {point}: disk {disk} of {} is at {}; {} written in {seconds:.2} s, {}",
        size(disk_bytes),
        to.display(),
        size(applied.written_bytes),
        rate(applied.written_bytes, seconds)
    ))
}

/// What may be at the path before.
fn onto(arguments: &args::Restore) -> Result<Onto, Failure> {
    let args::Restore {
        to,
        overwrite,
        in_place,
        from,
        ..
    } = arguments;
    let onto = match (overwrite, in_place) {
        (true, _) => Onto::Anything,
        (_, true) => Onto::Disk {
            standing: from.clone(),
        },
        _ => Onto::Nothing,
    };
    if matches!(onto, Onto::Nothing) && to.symlink_metadata().is_ok() {
        return Err(Failure::invalid(format!(
            "{} exists already; give another path, or --overwrite, or --in-place",
            to.display()
        )));
    }
    Ok(onto)
}

/// The disk after a single write.
fn at_write(arguments: &args::Restore, moment: Moment, output: &mut Output) -> Result<(), Failure> {
    let args::Restore {
        at,
        disk,
        to,
        overwrite,
        ..
    } = arguments;
    let target = open_existing_store(&at.target)?;
    let stop = stop_on_signal()?;
    let who = format!("restore to {}", to.display());
    let held = HeldPoints::take(&target, &at.group, &PointSelector::Latest, &who)?;
    let restore = RestoreAt {
        moment,
        disk: disk.clone(),
        to: to.clone(),
        overwrite: *overwrite,
    };
    let counts = RestoreProgress::default();
    let bar = progress::bytes("restoring", output.is_json());
    let restored = follow(&bar, &counts, || restore.run(held.points(), &counts, &stop));
    held.release()?;
    let RestoredAt {
        sequence,
        point,
        disk_bytes,
        applied,
    } = restored?;
    output.value(&json!({
        "record": sequence.0,
        "point": point,
        "disk": disk.as_str(),
        "to": to.display().to_string(),
        "disk_bytes": disk_bytes,
        "written_bytes": applied.written_bytes,
        "zeroed_bytes": applied.zeroed_bytes,
        "fetched_bytes": applied.fetched_bytes,
    }))?;
    output.note(&format!(
        "disk {disk} of {} after record {sequence}, reached from point {point}, is at {}; {} written",
        size(disk_bytes),
        to.display(),
        size(applied.written_bytes)
    ))
}
