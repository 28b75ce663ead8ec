//! A target with thousands of points, and what committing one more costs on the way there.
//!
//! `cargo run --release -p afterimage-benches --example many_points -- FOLDER --points 10000 --more 200`
//!
//! `benches/many_points.sh` calls it and goes on with the command. Every point is a real interval of a
//! few pages of a large disk, and comes through cache and pipeline into a folder. Those that are timed
//! come one at a time, while a pipeline runs and waits: from the moment at which the interval is in
//! the cache to the one at which its point is durable, with the look for it a millisecond apart.
//! The others are many at once.
//!
//! The limit is what no commit can do without: two files, as large as the point's layer and its
//! manifest, each written and synced, and its folder synced.
//!
//! Leaves in FOLDER the `points`, a `cache` with as many intervals as `--more` says that are no points
//! yet, and for the oldest, a middle, and the newest point a file `page-ID-OFFSET` with 4 KiB that
//! the disk has at that point.

mod commits;
mod guest;

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use afterimage::{
    Event, Pipeline, Stop,
    storage::{LocalStore, Store},
};
use afterimage_benches::create_durable;
use clap::Parser;

use crate::{
    commits::Commits,
    guest::{Guest, group},
};

/// How often the cache is looked at for the next interval.
const POLL: Duration = Duration::from_millis(1);
/// Points that count as few.
const FEW: u64 = 100;

/// Fills a target with points and measures commits.
#[derive(Debug, Parser)]
struct Arguments {
    /// An empty folder.
    folder: PathBuf,
    /// Points there are in the end.
    #[arg(long, default_value_t = 10_000)]
    points: u64,
    /// Intervals that are left in the cache.
    #[arg(long, default_value_t = 200)]
    more: u64,
    /// Commits that are timed at each number of points.
    #[arg(long, default_value_t = 25)]
    commits: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments {
        folder,
        points,
        more,
        commits,
    } = Arguments::parse();
    let late = points.saturating_sub(commits);
    if late < FEW + commits {
        return Err(format!("--points is at least {}", FEW + 2 * commits).into());
    }
    let cache: Arc<dyn Store> = Arc::new(LocalStore::open(&folder.join("cache"))?);
    let target: Arc<dyn Store> = Arc::new(LocalStore::open(&folder.join("points"))?);
    let mut guest = Guest::new(&cache, points + more)?;
    let pipeline = Pipeline::builder(group(), cache, Arc::clone(&target));
    let pipeline = pipeline.poll(POLL).build()?;

    for there_are in [FEW, late] {
        guest.write(there_are - guest.intervals())?;
        pipeline.run_once(&mut |_| ())?;
        let mut turns = Commits::new(&mut guest, &target, folder.join("limit"), commits)?;
        one_at_a_time(&pipeline, &mut turns)?;
        turns.print(there_are);
    }
    for id in [1, points / 2, points] {
        let (offset, page) = guest.page_at(id);
        create_durable(&folder.join(format!("page-{id}-{offset}")), &page)?;
    }
    guest.write(more)
}

/// Lets each point bring the next interval, until there were enough of them.
fn one_at_a_time(pipeline: &Pipeline, turns: &mut Commits<'_>) -> Result<(), Box<dyn Error>> {
    let stop = Stop::default();
    let mut failed = None;
    pipeline.run(&stop, &mut |event| {
        if let Event::Point { report, .. } = event {
            match turns.committed(&report) {
                Ok(true) => {}
                Ok(false) => stop.stop(),
                Err(error) => {
                    failed = Some(error.to_string());
                    stop.stop();
                }
            }
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
