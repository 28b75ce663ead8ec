//! The service's side of the cache: indexes of all segments read and checked, no payload.

use std::sync::Arc;

use afterimage::{
    cache::StreamReader,
    storage::{LocalStore, MemoryStore, Store},
};
use afterimage_benches::{Recording, bench_bytes, word};
use afterimage_testkit::Workload;
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for workload in [Workload::HotSpot, Workload::Database] {
        let recording = Recording::new(workload, bench_bytes());
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
        let local = LocalStore::open(folder.path()).expect("the folder is a store");
        let stores: [(&str, Arc<dyn Store>); 2] = [
            ("memory", Arc::new(MemoryStore::new())),
            ("local", Arc::new(local)),
        ];
        let mut group = criterion.benchmark_group("cache_read");
        for (place, store) in stores {
            recording.put(&store, 10);
            let (rows, index_bytes) = read(&store);
            assert!(rows >= recording.records() + 10, "every record has a row");
            group.throughput(Throughput::Bytes(index_bytes));
            let name = format!("{place}/{}", word(workload));
            group.bench_function(name, |bencher| bencher.iter(|| read(&store)));
        }
        group.finish();
    }
    criterion.final_summary();
}

/// Rows read, and bytes of the indexes that hold them.
fn read(store: &Arc<dyn Store>) -> (u64, u64) {
    let (group, stream) = (Recording::group(), Recording::stream());
    let mut reader = StreamReader::new(Arc::clone(store), group, stream, None);
    let (mut rows, mut bytes) = (0, 0);
    while let Some(segment) = reader.next_segment().expect("the segments are a chain") {
        let range = segment.container.index_range();
        rows += segment.container.footer.rows;
        bytes += range.end - range.start;
    }
    (rows, bytes)
}
