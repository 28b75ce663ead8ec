//! The layers of ten points become one: merged as they are, and as a base in address order.
//!
//! The limit beside each copies the layers that were written.

use std::{fs, ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use afterimage::{
    Timestamp,
    changelog::{Epoch, SECTOR, size},
    recovery::{
        LayerRef,
        compact::{Limits, Rewrite, Shape, rewrite},
        layer::Layer,
        load_head,
    },
    storage::{Key, LocalStore, MemoryDisk, MemoryStore, Nonces, Store},
};
use afterimage_benches::{Recording, Turns, bench_bytes, copy_files, make_points, timed, word};
use afterimage_testkit::Workload;
use criterion::{Criterion, Throughput};

const POINTS: usize = 10;
/// Of the worker that compacts, so that what it writes is in a folder of its own.
const EPOCH: Epoch = Epoch(9);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut turns = Turns::new("compaction");
    for workload in Workload::ALL {
        let recording = Recording::new(workload, bench_bytes());
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
        let cache: Arc<dyn Store> = Arc::new(MemoryStore::new());
        recording.put(&cache, POINTS);
        let target = folder.path().join("points");
        let store = LocalStore::open(&target).expect("the folder is a store");
        let store: Arc<dyn Store> = Arc::new(store);
        make_points(&cache, &store);
        let layers = layers(&store);

        let mut group = criterion.benchmark_group("compaction");
        let bytes = layers.iter().map(|layer| layer.object_bytes).sum();
        group.throughput(Throughput::Bytes(bytes));
        for shape in [Shape::Merge, Shape::Base] {
            let written = target.join(format!("bench/layers/{}", EPOCH.0));
            let copy = folder.path().join("copy");
            let mut compared = false;
            let ours = || {
                delete(&store);
                let (time, list) = compacted(&store, &layers, shape);
                if !compared {
                    let disk = disk(&recording, &store, &list);
                    recording.oracle().assert_same(&disk, "what was compacted");
                    compared = true;
                }
                time
            };
            let limit = || {
                remove(&copy);
                let (time, copied) = timed(|| copy_files(&written, &copy));
                copied.expect("the layers are copied");
                time
            };
            let name = format!("{}/{shape:?}", word(workload)).to_lowercase();
            turns.bench(&mut group, &name, ours, limit);
        }
        group.finish();
    }
    criterion.final_summary();
    turns.print();
}

/// Deletes what the last repetition wrote; the store knows that its folder is there.
fn delete(store: &Arc<dyn Store>) {
    let prefix = format!("{}/layers/{}", Recording::group(), EPOCH.0);
    let prefix = Key::new(&prefix).expect("it is a key");
    let left = store.list(&prefix, None, usize::MAX);
    for entry in left.expect("the folder is read") {
        store.delete(&entry.key).expect("the layer is deleted");
    }
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("the last repetition is removed");
    }
}

/// The layers of all points, as they are once all but the last point are pruned.
fn layers(store: &Arc<dyn Store>) -> Vec<LayerRef> {
    let head = load_head(store.as_ref(), &Recording::group()).expect("the chain is intact");
    let head = head.expect("points were made");
    head.manifest.layers().copied().collect()
}

fn compacted(
    store: &Arc<dyn Store>,
    layers: &[LayerRef],
    shape: Shape,
) -> (Duration, Vec<LayerRef>) {
    let job = Rewrite {
        store,
        nonces: &Nonces::from_os(),
        group: &Recording::group(),
        epoch: EPOCH,
        created: Timestamp(0),
        level: 1,
        shape,
        limits: Limits::of(shape),
    };
    let (time, done) = timed(|| rewrite(&job, layers, &mut |_| ControlFlow::Continue(())));
    let done = done.expect("the layers are rewritten");
    (time, done.expect("nobody said stop").written.layers)
}

/// What the layers hold, which do not overlap.
fn disk(recording: &Recording, store: &Arc<dyn Store>, layers: &[LayerRef]) -> MemoryDisk {
    let mut disk = vec![0; size(recording.disk_bytes)];
    for layer in layers {
        let layer = Layer::open(Arc::clone(store), &Recording::group(), layer);
        let layer = Arc::new(layer.expect("the layer opens"));
        let all = 0..recording.geometry().sectors;
        for extent in layer.extents(&Recording::disk(), all, 0) {
            let extent = extent.expect("the index is intact");
            if extent.is_zero() {
                continue;
            }
            let entry = layer.entry(extent.frame).expect("the index is intact");
            let stored = layer.read(entry.offset..entry.end());
            let frame = entry.check(stored.expect("the frame is there"));
            let payload = frame.expect("the frame is intact").decode();
            let payload = payload.expect("the frame is intact");
            let bytes = size(u64::from(extent.sectors) * SECTOR);
            let from = size(u64::from(extent.offset) * SECTOR);
            let to = size(extent.start * SECTOR);
            let piece = payload.get(from..from + bytes).expect("rows were checked");
            disk.get_mut(to..to + bytes)
                .expect("rows were checked")
                .copy_from_slice(piece);
        }
    }
    MemoryDisk::from(disk)
}
