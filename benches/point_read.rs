//! Reading a point without restoring it: opening it, random pages, the whole disk.

use std::sync::Arc;

use afterimage::{
    PointReader, PointSelector, Points,
    changelog::size,
    storage::{LocalStore, MemoryDisk, MemoryStore, Store},
};
use afterimage_benches::{Recording, bench_bytes, make_points};
use afterimage_testkit::{Random, Workload};
use criterion::{Criterion, Throughput};

const PAGE: u64 = 4096;
const LARGE: u64 = 1 << 20;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let recording = Recording::new(Workload::Database, bench_bytes());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
    for intervals in [1, 10] {
        let cache: Arc<dyn Store> = Arc::new(MemoryStore::new());
        recording.put(&cache, intervals);
        let path = folder.path().join(intervals.to_string());
        let target = LocalStore::open(&path).expect("the folder is a store");
        let target: Arc<dyn Store> = Arc::new(target);
        make_points(&cache, &target);

        let points = Points::load(&target, &Recording::group()).expect("there are points");
        let open = || {
            points
                .open(&PointSelector::Latest)
                .expect("the point opens")
        };
        let reader = open();
        let disk = MemoryDisk::from(whole(&reader, recording.disk_bytes));
        recording.oracle().assert_same(&disk, "the newest point");

        let mut group = criterion.benchmark_group(format!("point_read/{intervals}"));
        group.bench_function("open", |bencher| bencher.iter(open));
        group.throughput(Throughput::Bytes(PAGE));
        let mut random = Random::new(1);
        let mut page = vec![0; size(PAGE)];
        group.bench_function("random-4k", |bencher| {
            bencher.iter(|| {
                let offset = random.below(recording.disk_bytes / PAGE) * PAGE;
                let read = reader.read_at(&Recording::disk(), offset, &mut page);
                read.expect("the page is read");
            });
        });
        group.throughput(Throughput::Bytes(recording.disk_bytes));
        group.sample_size(10);
        group.bench_function("sequential-1m", |bencher| {
            bencher.iter(|| whole(&reader, recording.disk_bytes));
        });
        group.finish();
    }
    criterion.final_summary();
}

/// The whole disk, a megabyte at a time.
fn whole(reader: &PointReader, disk_bytes: u64) -> Vec<u8> {
    let mut disk = vec![0; size(disk_bytes)];
    let mut offset = 0;
    for piece in disk.chunks_mut(size(LARGE)) {
        let read = reader.read_at(&Recording::disk(), offset, piece);
        read.expect("the piece is read");
        offset += LARGE;
    }
    disk
}
