//! A point back as a durable file, beside copying the raw image with its holes.

use std::{path::Path, sync::Arc, time::Duration};

use afterimage::{
    Onto, PointSelector, Points, Restore, RestoreProgress, Stop,
    storage::{Disk, FileDisk, LocalStore, MemoryStore, Store, remove_file},
};
use afterimage_benches::{Recording, Turns, bench_bytes, copy_sparse, make_points, timed, word};
use afterimage_testkit::{PlainDisk, Workload};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut turns = Turns::new("restore");
    for workload in Workload::ALL {
        let recording = Recording::new(workload, bench_bytes());
        let oracle = recording.oracle();
        for intervals in [1, 10] {
            let folder =
                tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
            let cache: Arc<dyn Store> = Arc::new(MemoryStore::new());
            recording.put(&cache, intervals);
            let target = LocalStore::open(&folder.path().join("points"));
            let target: Arc<dyn Store> = Arc::new(target.expect("the folder is a store"));
            make_points(&cache, &target);
            let points = Points::load(&target, &Recording::group()).expect("there are points");

            let image = folder.path().join("image");
            write_image(&image, &oracle);
            let restored = folder.path().join("restored");
            let mut compared = false;
            let ours = || {
                let time = restore(&points, &restored);
                if !compared {
                    let disk = FileDisk::open(&restored, false).expect("the disk is there");
                    oracle.assert_same(&disk, "the restored disk");
                    compared = true;
                }
                remove_file(&restored).expect("the restored disk is removed");
                time
            };
            let copy = folder.path().join("copy");
            let limit = || {
                let (time, copied) = timed(|| copy_sparse(&image, &copy));
                copied.expect("the image is copied");
                remove_file(&copy).expect("the copy is removed");
                time
            };
            let mut group = criterion.benchmark_group("restore");
            group.throughput(Throughput::Bytes(recording.disk_bytes));
            let name = format!("{}/{intervals}", word(workload));
            turns.bench(&mut group, &name, ours, limit);
            group.finish();
        }
    }
    criterion.final_summary();
    turns.print();
}

fn restore(points: &Points, to: &Path) -> Duration {
    let restore = Restore {
        point: PointSelector::Latest,
        disk: Recording::disk(),
        to: to.to_path_buf(),
        onto: Onto::Nothing,
    };
    let (progress, stop) = (RestoreProgress::default(), Stop::default());
    let (time, restored) = timed(|| restore.run(points, &progress, &stop));
    restored.expect("the point is restored");
    time
}

/// The raw image that a copy starts from: blocks of zeroes are holes.
fn write_image(path: &Path, oracle: &PlainDisk) {
    const BLOCK: usize = 4096;
    let size = u64::try_from(oracle.bytes().len()).expect("the disk is in memory");
    let image = FileDisk::create_new(path, size).expect("the image is made");
    let blocks = oracle.bytes().chunks(BLOCK).zip((0..).step_by(BLOCK));
    for (block, offset) in blocks.filter(|(block, _)| block.iter().any(|&byte| byte != 0)) {
        image.write_at(offset, block).expect("the image is written");
    }
    image.flush().expect("the image is durable");
}
