//! The whole way: segments in a local cache become durable points in a local target.
//!
//! What is timed begins with the pipeline's look into the cache and ends when the last point is
//! committed and the cache acknowledged, with every sync on the way. The limit beside it copies the
//! same segments, as many files, each synced.

use std::{fs, path::Path, sync::Arc};

use afterimage::{
    Onto, PointSelector, Points, Restore, RestoreProgress, Stop,
    changelog::count,
    storage::{FileDisk, LocalStore, Store},
};
use afterimage_benches::{Recording, Turns, bench_bytes, copy_files, make_points, timed, word};
use afterimage_testkit::Workload;
use criterion::{Criterion, Throughput};

const INTERVALS: [usize; 3] = [1, 10, 100];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut turns = Turns::new("pipeline");
    for workload in Workload::ALL {
        let recording = Recording::new(workload, bench_bytes());
        for intervals in INTERVALS {
            bench(&mut criterion, &mut turns, workload, &recording, intervals);
        }
    }
    criterion.final_summary();
    turns.print();
}

fn bench(
    criterion: &mut Criterion,
    turns: &mut Turns,
    workload: Workload,
    recording: &Recording,
    intervals: usize,
) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
    let master = folder.path().join("master");
    recording.put(&local(&master), intervals);
    let segments = master.join(Recording::SEGMENTS);

    let run = folder.path().join("run");
    let mut compared = false;
    let ours = || {
        // The pipeline deletes what it has covered, so each repetition has segments of its own.
        let cache = run.join("cache");
        copy_files(&segments, &cache.join(Recording::SEGMENTS)).expect("the cache is filled");
        let (cache, target) = (local(&cache), local(&run.join("points")));
        rustix::fs::sync();
        let (time, points) = timed(|| make_points(&cache, &target));
        assert_eq!(points, count(intervals), "every interval is a point");
        if !compared {
            compare(recording, &target, &run.join("restored"));
            compared = true;
        }
        fs::remove_dir_all(&run).expect("the repetition is removed");
        time
    };
    let copy = folder.path().join("copy");
    let limit = || {
        let (time, copied) = timed(|| copy_files(&segments, &copy));
        copied.expect("the segments are copied");
        fs::remove_dir_all(&copy).expect("the copy is removed");
        time
    };
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(recording.written_bytes));
    let name = format!("{}/{intervals}", word(workload));
    turns.bench(&mut group, &name, ours, limit);
    group.finish();
}

fn local(path: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::open(path).expect("the folder is a store"))
}

/// Restores the newest point and compares it with the oracle.
fn compare(recording: &Recording, target: &Arc<dyn Store>, to: &Path) {
    let points = Points::load(target, &Recording::group()).expect("there are points");
    let restore = Restore {
        point: PointSelector::Latest,
        disk: Recording::disk(),
        to: to.to_path_buf(),
        onto: Onto::Nothing,
    };
    let restored = restore.run(&points, &RestoreProgress::default(), &Stop::default());
    restored.expect("the newest point is restored");
    let disk = FileDisk::open(to, false).expect("the disk is there");
    recording.oracle().assert_same(&disk, "the newest point");
}
