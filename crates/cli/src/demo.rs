//! `afterimage demo`: the whole job on a small recorded log, each step checked against a plain replay.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use afterimage::{
    Event, Name, Onto, Outcome, Pipeline, Point, PointSelector, Points, ReplicaSpec, Restore,
    RestoreProgress, Sample, Stop,
    cache::SegmentLimits,
    changelog::{Digest, Disk as Geometry, SectorSize},
    open_worker_store,
    storage::{Disk, FileDisk, Store},
};
use afterimage_capture::{
    ImportError,
    log_writes::{Action, LogReader, decompressing},
};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::{
    args,
    failure::Failure,
    import::{LogOptions, into_cache},
    output::{Output, rate, size},
    points,
};

/// Recorded with QEMU: an ext4 file system with a SQLite order book on it. See `demo/README.md`.
const LOG: &[u8] = include_bytes!("../demo/orders-ext4-64m.log.zst");
const LOG_NAME: &str = "orders-ext4-64m.log.zst";
const DISK_BYTES: u64 = 64 << 20;
const MARKER_EVERY: u64 = 1000;
const GROUP: &str = "demo";
const DISK: &str = "orders";

/// Where the demo works.
struct Place {
    dir: PathBuf,
    keep: bool,
    cache: String,
    target: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // It is in the folder for temporary files: what is left there is swept some day.
            let _left = std::fs::remove_dir_all(&self.dir);
        }
    }
}

pub(crate) fn run(arguments: &args::Demo, output: &mut Output) -> Result<(), Failure> {
    let place = place(arguments)?;
    let (group, disk): (Name, Name) = (name(GROUP)?, name(DISK)?);
    let made = make(&place, &group, &disk, output)?;
    let points = Points::load(&made.target, &group)?;
    output.note(&format!("{}\n", points::table(&points)))?;
    let checks = checks(&points, &disk, &place.dir)?;
    points.verify(&PointSelector::Latest, Sample::ALL, &mut |_, _| ())?;
    output.note(&format!("{}\n", table(&checks)))?;
    output.note(&format!(
        "import {}, replication {} of guest writes, every layer verified\n",
        rate(made.written_bytes, made.importing.as_secs_f64()),
        rate(made.outcome.source_bytes, made.replicating.as_secs_f64()),
    ))?;
    output.note(&commands(&place))?;
    let all_equal = checks.iter().all(|check| check.equal);
    output.value(&json!({
        "points": made.outcome.points,
        "source_bytes": made.outcome.source_bytes,
        "stored_bytes": made.outcome.stored_bytes,
        "import_seconds": made.importing.as_secs_f64(),
        "replicate_seconds": made.replicating.as_secs_f64(),
        "checks": checks.iter().map(|check| json!({
            "what": check.what,
            "point": check.point,
            "digest": check.restored.to_string(),
            "equal": check.equal,
        })).collect::<Vec<_>>(),
        "equal": all_equal,
    }))?;
    if all_equal {
        output.note("every disk is equal to a plain replay of the log")
    } else {
        let what = "a restored disk differs from a plain replay of the log";
        Err(Failure::new(afterimage::ErrorKind::Corrupt, what))
    }
}

/// What was made of the log, and how long it took.
struct Made {
    target: Arc<dyn Store>,
    written_bytes: u64,
    outcome: Outcome,
    importing: Duration,
    replicating: Duration,
}

/// Imports the log and replicates it, with a replica disk that follows.
fn make(place: &Place, group: &Name, disk: &Name, output: &mut Output) -> Result<Made, Failure> {
    let path = |part: &str| place.dir.join(part);
    let cache = open_worker_store(&place.cache, false)?;
    let target = open_worker_store(&place.target, false)?;
    let geometry = Geometry::new(disk.clone(), DISK_BYTES, SectorSize::B512)
        .ok_or_else(|| Failure::invalid("the demo's disk has whole sectors"))?;
    let limits = SegmentLimits {
        segment_bytes: 1 << 20,
        ..SegmentLimits::default()
    };
    let stream = name("main")?;
    let options = LogOptions {
        group,
        stream: &stream,
        disk: geometry,
        limits,
        marker_every: Some(MARKER_EVERY),
        append: false,
    };
    let start = now();
    let totals = into_cache(log(LOG)?, &cache, options, output)?;
    let importing = start.elapsed();
    output.note(&format!(
        "imported {} writes of {} into {} of segments",
        totals.imported.writes,
        size(totals.imported.written_bytes),
        size(totals.sealed_bytes)
    ))?;

    let replica = ReplicaSpec {
        disk: disk.clone(),
        path: path("replica.raw"),
        record: None,
        take_over: false,
    };
    let pipeline = Pipeline::builder(group.clone(), cache, Arc::clone(&target))
        .replica(replica)
        .build()?;
    let start = now();
    let outcome = pipeline.run_once(&mut |_: Event| ())?;
    let replicating = start.elapsed();
    output.note(&format!(
        "made {} recovery points of {} written at the source, {} stored\n",
        outcome.points,
        size(outcome.source_bytes),
        size(outcome.stored_bytes)
    ))?;
    Ok(Made {
        target,
        written_bytes: totals.imported.written_bytes,
        outcome,
        importing,
        replicating,
    })
}

fn place(arguments: &args::Demo) -> Result<Place, Failure> {
    let keep = arguments.dir.is_some();
    let dir = arguments.dir.as_deref().map_or_else(
        || std::env::temp_dir().join(format!("afterimage-demo-{}", std::process::id())),
        Path::to_path_buf,
    );
    std::fs::create_dir(&dir)
        .map_err(|error| Failure::invalid(format!("{} cannot be made: {error}", dir.display())))?;
    let or_folder = |url: &Option<String>, part: &str| {
        let folder = || dir.join(part).display().to_string();
        url.clone().unwrap_or_else(folder)
    };
    Ok(Place {
        cache: or_folder(&arguments.cache, "cache"),
        target: or_folder(&arguments.target, "points"),
        dir,
        keep,
    })
}

fn name(text: &str) -> Result<Name, Failure> {
    text.parse()
        .map_err(|error: afterimage::changelog::InvalidName| Failure::invalid(error.to_string()))
}

fn log(bytes: &'static [u8]) -> Result<LogReader<Box<dyn std::io::Read + Send>>, Failure> {
    let input = decompressing(Box::new(bytes));
    let input = input.map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(LogReader::open(input).map_err(ImportError::Log)?)
}

/// A disk compared with a plain replay.
struct Check {
    what: &'static str,
    point: u64,
    name: String,
    seconds: Duration,
    restored: Digest,
    equal: bool,
}

/// Restores the oldest, a middle and the newest point, and looks at the replica.
fn checks(points: &Points, disk: &Name, dir: &Path) -> Result<Vec<Check>, Failure> {
    let list = points.list();
    let (Some(oldest), Some(middle), Some(newest)) =
        (list.first(), list.get(list.len() / 2), list.last())
    else {
        return Err(Failure::new(
            afterimage::ErrorKind::Corrupt,
            "no point was made",
        ));
    };
    let mut checks = Vec::new();
    for (what, point) in [("oldest", oldest), ("middle", middle), ("newest", newest)] {
        let to = dir.join(format!("{what}.raw"));
        let start = now();
        Restore {
            point: PointSelector::Id(point.id),
            disk: disk.clone(),
            to: to.clone(),
            onto: Onto::Nothing,
        }
        .run(points, &RestoreProgress::default(), &Stop::default())?;
        checks.push(check(what, point, &to, start.elapsed())?);
    }
    checks.push(check(
        "replica",
        newest,
        &dir.join("replica.raw"),
        Duration::ZERO,
    )?);
    Ok(checks)
}

fn check(
    what: &'static str,
    point: &Point,
    path: &Path,
    seconds: Duration,
) -> Result<Check, Failure> {
    let entries = point
        .name
        .strip_prefix("entry-")
        .and_then(|number| number.parse().ok());
    let entries: u64 = entries.ok_or_else(|| Failure::invalid("a point has no entry number"))?;
    let disk = FileDisk::open(path, false)?;
    let mut content = vec![0; usize::try_from(DISK_BYTES).unwrap_or_default()];
    disk.read_at(0, &mut content)?;
    Ok(Check {
        what,
        point: point.id,
        name: point.name.clone(),
        seconds,
        restored: Digest::of(&content),
        equal: disk.size() == DISK_BYTES && content == replay(entries)?,
    })
}

/// The disk after so many entries of the log, by writing each into an array.
fn replay(entries: u64) -> Result<Vec<u8>, Failure> {
    let mut disk = vec![0; usize::try_from(DISK_BYTES).unwrap_or_default()];
    let mut log = log(LOG)?;
    while let Some(entry) = log.next_entry().map_err(ImportError::Log)? {
        if entry.number > entries {
            break;
        }
        let start = usize::try_from(entry.start).unwrap_or(usize::MAX);
        let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
        let outside = || Failure::invalid("an entry of the demo's log is not on its disk");
        match entry.action {
            Action::Write => {
                let data = log
                    .next_piece(length)
                    .map_err(ImportError::Log)?
                    .unwrap_or_default();
                let place = disk
                    .get_mut(start..start + data.len())
                    .ok_or_else(outside)?;
                place.copy_from_slice(&data);
            }
            Action::Discard => {
                disk.get_mut(start..start + length)
                    .ok_or_else(outside)?
                    .fill(0);
            }
            Action::Mark(_) | Action::FlushOnly => {}
        }
    }
    Ok(disk)
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "RESTORED",
        "POINT",
        "NAME",
        "SECONDS",
        "BLAKE3",
        "PLAIN REPLAY",
    ]);
    for check in checks {
        let digest: String = check.restored.to_string().chars().take(16).collect();
        table.add_row([
            check.what.to_owned(),
            check.point.to_string(),
            check.name.clone(),
            format!("{:.3}", check.seconds.as_secs_f64()),
            digest,
            if check.equal { "equal" } else { "DIFFERENT" }.to_owned(),
        ]);
    }
    table
}

/// The same by hand.
fn commands(place: &Place) -> String {
    // What is there now is full, or gone at the end: it is somebody's own folder the next time.
    let there = place.dir.display().to_string();
    let cache = place.cache.replace(&there, "DIR");
    let target = place.target.replace(&there, "DIR");
    let log = format!("crates/cli/demo/{LOG_NAME}");
    format!(
        "the same by hand, in a folder DIR of yours:
  afterimage import log-writes {log} --disk {DISK} --size 64MiB \\
      --group {GROUP} --cache '{cache}' --marker-every {MARKER_EVERY}
  afterimage replicate --group {GROUP} --cache '{cache}' --target '{target}' --once \\
      --replica {DISK}=DIR/replica.raw
  afterimage points --group {GROUP} --target '{target}'
  afterimage restore --group {GROUP} --target '{target}' --point latest --disk {DISK} \\
      --to DIR/newest.raw
  afterimage verify --group {GROUP} --target '{target}'
"
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "for the figures that people are shown"
)]
fn now() -> Instant {
    Instant::now()
}
