//! `afterimage restore`.

use std::time::Instant;

use afterimage::{
    ErrorKind, Onto, Points, Restore, RestoreProgress, Restored, open_existing_store,
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
        disk,
        to,
        overwrite,
        in_place,
        from,
    } = arguments;
    let target = open_existing_store(&at.target)?;
    let points = Points::load(&target, &at.group)?;
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
    let restore = Restore {
        point: point.clone(),
        disk: disk.clone(),
        to: to.clone(),
        onto,
    };
    let stop = stop_on_signal()?;
    let counts = RestoreProgress::default();
    let bar = progress::bytes("restoring", output.is_json());
    #[expect(
        clippy::disallowed_methods,
        reason = "for the figure that people are shown"
    )]
    let start = Instant::now();
    let restored = follow(&bar, &counts, || restore.run(&points, &counts, &stop));
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
