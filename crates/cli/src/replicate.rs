//! `afterimage replicate`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use afterimage::{
    Event, Name, Outcome, Pipeline, PointReport, ReplicaSpec, Upkeep, open_existing_store,
    open_store,
};
use serde_json::json;

use crate::{
    args::Replicate,
    failure::Failure,
    output::{Output, rate, size, time},
    progress,
    signals::stop_on_signal,
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
        keep,
        rewind,
        ..
    } = arguments;
    let poll = Duration::try_from(*poll)
        .unwrap_or_default()
        .max(Duration::from_millis(10));
    let rewind = rewind.map(Duration::try_from).transpose();
    let upkeep = Upkeep {
        keep: keep.clone(),
        rewind: rewind.map_err(|_| Failure::invalid("--rewind is a time above zero"))?,
        ..Upkeep::default()
    };
    let cache = open_existing_store(cache)?;
    let target = open_store(target)?;
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
    let mut told = Ok(());
    let watch = &mut |event: Event| {
        let tell = spinner.suspend(|| tell(output, &event, *once));
        if told.is_ok() {
            told = tell;
        }
    };
    let outcome = if *once {
        pipeline.run_once(watch)
    } else {
        pipeline.run(&stop_on_signal()?, watch)
    };
    spinner.finish_and_clear();
    let outcome = outcome?;
    told?;
    summary(output, group, outcome)
}

fn tell(output: &mut Output, event: &Event, once: bool) -> Result<(), Failure> {
    match event {
        Event::Point { report, elapsed } => point(output, report, *elapsed),
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
        Event::Retry { error, pause } => {
            output.value(&json!({"event": "retry", "message": error.to_string(),
                "pause_seconds": pause.as_secs_f64()}))?;
            output.note(&format!("trying again in {pause:?}: {error}"))
        }
        _ => Ok(()),
    }
}

fn point(output: &mut Output, report: &PointReport, elapsed: Duration) -> Result<(), Failure> {
    let PointReport {
        id,
        kind,
        name,
        records,
        source_bytes,
        changed_bytes,
        stored_bytes,
        ..
    } = report;
    output.value(&json!({
        "event": "point",
        "id": id,
        "kind": kind.word(),
        "name": name,
        "time": time(report.time),
        "records": records,
        "source_bytes": source_bytes,
        "changed_bytes": changed_bytes,
        "stored_bytes": stored_bytes,
        "fetched_bytes": report.fetched_bytes,
        "passed_frames": report.passed_frames,
        "repacked_frames": report.repacked_frames,
        "layers": report.layers,
        "seconds": elapsed.as_secs_f64(),
    }))?;
    output.note(&format!(
        "point {id} {name}: {} written at the source, {} changed, {} stored, {}",
        size(*source_bytes),
        size(*changed_bytes),
        size(*stored_bytes),
        rate(*source_bytes, elapsed.as_secs_f64())
    ))
}

fn summary(output: &mut Output, group: &Name, outcome: Outcome) -> Result<(), Failure> {
    output.value(&json!({
        "event": "done",
        "points": outcome.points,
        "source_bytes": outcome.source_bytes,
        "stored_bytes": outcome.stored_bytes,
        "found_stream": outcome.found_stream,
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
    ))
}
