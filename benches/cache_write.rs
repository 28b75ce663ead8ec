//! The agent's side of the cache: records in, durable segments out.

use std::{path::Path, sync::Arc};

use afterimage::{
    cache::StreamReader,
    changelog::count,
    storage::{LocalStore, MemoryStore, Store},
};
use afterimage_benches::{Recording, Turns, bench_bytes, copy_files, timed, word};
use afterimage_testkit::Workload;
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut turns = Turns::new("cache_write");
    for workload in [Workload::Sequential, Workload::Database] {
        let recording = Recording::new(workload, bench_bytes());
        let mut group = criterion.benchmark_group("cache_write");
        group.throughput(Throughput::Bytes(recording.written_bytes));
        group.sample_size(10);
        let name = format!("memory/{}", word(workload));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
                recording.put(&store, 1);
            });
        });

        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
        let (cache, copy) = (folder.path().join("cache"), folder.path().join("copy"));
        let durable = || {
            remove(&cache);
            let store = local(&cache);
            let (time, ()) = timed(|| recording.put(&store, 1));
            assert_eq!(
                records(store),
                recording.records() + 1,
                "records in the cache"
            );
            time
        };
        let limit = || {
            remove(&copy);
            let (time, copied) = timed(|| copy_files(&cache.join(Recording::SEGMENTS), &copy));
            copied.expect("the segments are copied");
            time
        };
        turns.bench(
            &mut group,
            &format!("local/{}", word(workload)),
            durable,
            limit,
        );
        group.finish();
    }
    criterion.final_summary();
    turns.print();
}

fn local(path: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::open(path).expect("the folder is a store"))
}

fn remove(path: &Path) {
    if path.exists() {
        std::fs::remove_dir_all(path).expect("the last repetition is removed");
    }
}

/// Source writes and markers in a cache; a write that was cut into rows counts once.
fn records(store: Arc<dyn Store>) -> u64 {
    let mut reader = StreamReader::new(store, Recording::group(), Recording::stream(), None);
    let mut records = 0;
    while let Some(segment) = reader.next_segment().expect("the segments are a chain") {
        let rows = segment.index.rows.iter().filter(|row| !row.continued);
        records += count(rows.count());
    }
    records
}
