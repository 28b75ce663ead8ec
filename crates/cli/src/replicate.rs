//! `afterimage replicate`.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use afterimage::{
    Event, Figures, Name, Outcome, Pipeline, PointReport, ReplicaSpec, Snapshot, Stage, Upkeep,
    open_existing_store, open_worker_store, storage::Store,
};
use serde_json::{Value, json};

use crate::{
    args::Replicate,
    compact_rate_arg::CompactRate,
    failure::Failure,
    live,
    output::{Output, size, time},
    progress, requests,
    signals::stop_on_signal,
    tended,
};

/// `DISK=PATH[,record=FILE]`.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaArg {
    disk: Name,
    path: PathBuf,
    record: Option<PathBuf>,
}

impl FromStr for ReplicaArg {
    type Err = String;

    fn from_str(text: &str) -> Result<ReplicaArg, String> {
        let (disk, place) = text.split_once('=').ok_or("give it as DISK=PATH")?;
        let disk = disk.parse::<Name>().map_err(|error| error.to_string())?;
        let (path, record) = match place.split_once(",record=") {
            Some((path, record)) => (path, Some(PathBuf::from(record))),
            None => (place, None),
        };
        if path.is_empty() {
            return Err("the path is empty".to_owned());
        }
        Ok(ReplicaArg {
            disk,
            path: PathBuf::from(path),
            record,
        })
    }
}

pub(crate) fn run(arguments: &Replicate, output: &mut Output) -> Result<(), Failure> {
    let Replicate {
        group,
        cache,
        target,
        once,
        memory,
        threads,
        poll,
        ..
    } = arguments;
    let poll = Duration::try_from(*poll)
        .unwrap_or_default()
        .max(Duration::from_millis(10));
    let upkeep = upkeep(arguments)?;
    let cache = open_existing_store(cache)?;
    let target = open_worker_store(target, arguments.sole_worker)?;
    let stores = (Arc::clone(&cache), Arc::clone(&target));
    let mut builder = Pipeline::builder(group.clone(), cache, target)
        .memory(memory.0)
        .upkeep(upkeep)
        .poll(poll);
    if let Some(threads) = threads {
        builder = builder.threads(usize::from(*threads));
    }
    for ReplicaArg { disk, path, record } in arguments.replica.clone() {
        let take_over = arguments.take_over;
        builder = builder.replica(ReplicaSpec {
            disk,
            path,
            record,
            take_over,
        });
    }
    let pipeline = builder.build()?;
    let spinner = progress::spinner("replicating", output.is_json());
    let figures = Arc::clone(pipeline.figures());
    let stop = (!once).then(stop_on_signal).transpose()?;
    let mut told = Ok(());
    let watch = &mut |event: Event| {
        let tell = spinner.suspend(|| tell(output, &event, &figures, *once));
        if told.is_ok() {
            told = tell;
        }
    };
    let line = || live::lines(&figures.snapshot());
    let outcome = progress::keep_saying(&spinner, line, || match &stop {
        None => pipeline.run_once(watch),
        Some(stop) => pipeline.run(stop, watch),
    });
    let outcome = outcome?;
    told?;
    summary(
        output,
        group,
        outcome,
        (stores.0.as_ref(), stores.1.as_ref()),
    )
}

/// What is done beside the points.
fn upkeep(arguments: &Replicate) -> Result<Upkeep, Failure> {
    let rewind = arguments.rewind.map(Duration::try_from).transpose();
    let mut upkeep = Upkeep {
        keep: arguments.keep.clone(),
        rewind: rewind.map_err(|_| Failure::invalid("--rewind is a time above zero"))?,
        ..Upkeep::default()
    };
    match arguments.compact_rate {
        CompactRate::Off => upkeep.compact = None,
        CompactRate::Unlimited => {}
        CompactRate::Bytes(bytes) => upkeep.compact_bytes_per_second = Some(bytes),
    }
    Ok(upkeep)
}

fn tell(output: &mut Output, event: &Event, figures: &Figures, once: bool) -> Result<(), Failure> {
    match event {
        Event::Point { report, elapsed } if output.is_json() => {
            output.value(&point(report, *elapsed, &figures.snapshot()))
        }
        Event::Replica(report) => {
            let written = report.applied.written_bytes;
            output.value(&json!({"event": "replica", "disk": report.disk.as_str(),
                "point": report.point, "written_bytes": written,
                "zeroed_bytes": report.applied.zeroed_bytes}))?;
            output.note(&format!(
                "replica {} stands at point {}, {} written",
                report.disk,
                report.point,
                size(written)
            ))
        }
        Event::CaughtUp if once => Ok(()),
        Event::CaughtUp => {
            output.value(&json!({"event": "caught_up"}))?;
            output.note("caught up")
        }
        Event::Waiting => {
            output.value(&json!({"event": "waiting"}))?;
            output.note("the cache holds nothing of this group yet; waiting")
        }
        Event::ReplicaFailed { disk, error } => {
            output.value(&json!({"event": "replica_failed", "disk": disk.as_str(),
                "message": error.to_string()}))?;
            output.note(&format!("replica {disk} failed, points go on: {error}"))
        }
        Event::Upkeep(tended) => {
            let mut value = tended::fields(tended);
            value.insert("event".to_owned(), "upkeep".into());
            output.value(&Value::Object(value))?;
            // Manifests come and go all the time.
            if tended.pruned + tended.compacted + tended.collected.objects == 0 {
                return Ok(());
            }
            output.note(&format!("upkeep: {}", tended::line(tended)))
        }
        Event::UpkeepFailed { error } => {
            output.value(
                &json!({"event": "upkeep_failed", "kind": error.kind().word(),
                "message": error.to_string()}),
            )?;
            output.note(&format!(
                "upkeep of the target failed, points go on: {error}"
            ))
        }
        Event::Retry { error, pause } => {
            output.value(&json!({"event": "retry", "message": error.to_string(),
                "pause_seconds": pause.as_secs_f64()}))?;
            output.note(&format!("trying again in {pause:?}: {error}"))
        }
        _ => Ok(()),
    }
}

/// One line an interval.
fn point(report: &PointReport, elapsed: Duration, now: &Snapshot) -> Value {
    let busy = now.stages.iter().map(|at| (at.stage.word(), at.busy));
    let waiting = now.stages.iter().map(|at| (at.stage.word(), at.waiting));
    json!({
        "event": "point",
        "id": report.id,
        "kind": report.kind.word(),
        "name": report.name,
        "time": time(report.time),
        "manifest": report.manifest,
        "records": report.records,
        "source_bytes": report.source_bytes,
        "changed_bytes": report.changed_bytes,
        "stored_bytes": report.stored_bytes,
        "fetched_bytes": report.fetched_bytes,
        "passed_frames": report.passed_frames,
        "repacked_frames": report.repacked_frames,
        "layers": report.layers,
        "seconds": elapsed.as_secs_f64(),
        "rpo_seconds": now.rpo.map(|rpo| rpo.as_secs_f64()),
        "source_bytes_per_second": now.read_bytes_per_second,
        "fetched_bytes_per_second": now.fetched_bytes_per_second,
        "stored_bytes_per_second": now.stored_bytes_per_second,
        "churn_bytes_per_second": now.churn_bytes_per_second,
        "coalescing_ratio": now.coalescing_ratio,
        "compression_ratio": now.compression_ratio,
        "busy": busy.collect::<BTreeMap<_, _>>(),
        "waiting": waiting.collect::<BTreeMap<_, _>>(),
        "bottleneck": now.bottleneck.map(Stage::word),
    })
}

fn summary(
    output: &mut Output,
    group: &Name,
    outcome: Outcome,
    (cache, target): (&dyn Store, &dyn Store),
) -> Result<(), Failure> {
    output.value(&json!({
        "event": "done",
        "segments": outcome.segments,
        "points": outcome.points,
        "source_bytes": outcome.source_bytes,
        "stored_bytes": outcome.stored_bytes,
        "found_stream": outcome.found_stream,
        "cache_requests": requests::value(cache),
        "target_requests": requests::value(target),
    }))?;
    if !outcome.found_stream {
        let what = format!("the cache holds nothing of group {group}");
        return Err(Failure::invalid(what));
    }
    output.note(&format!(
        "{} points made of {} written at the source, {} stored",
        outcome.points,
        size(outcome.source_bytes),
        size(outcome.stored_bytes)
    ))?;
    let lines = [
        requests::line("cache", cache, ("segment", outcome.segments)),
        requests::line("target", target, ("point", outcome.points)),
    ];
    lines
        .into_iter()
        .flatten()
        .try_for_each(|line| output.note(&line))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn compaction_is_on_unless_it_is_turned_off() {
        let of = |more: &[&str]| {
            let called = ["afterimage", "replicate", "--group", "shop"];
            let stores = ["--cache", "cache", "--target", "points"];
            let called = called.iter().chain(&stores).chain(more);
            match Arguments::parse_from(called).command {
                Command::Replicate(arguments) => upkeep(&arguments).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert!(of(&[]).compact.is_some());
        assert_eq!(of(&[]).compact_bytes_per_second, None);
        assert_eq!(of(&["--compact-rate", "off"]).compact, None);
        let bounded = of(&["--compact-rate", "100MiB/s"]);
        assert!(bounded.compact.is_some());
        let rate = bounded.compact_bytes_per_second.unwrap();
        assert_eq!(rate.get(), 100 << 20);
    }
}
