//! Layers from live extents: all frames passed, all repacked, nine of ten dropped.
//!
//! The limit beside each copies the layers that were written.

use std::{fs, path::Path, sync::Arc};

use afterimage::{
    Timestamp,
    cache::{Segment, StreamReader},
    changelog::{Epoch, FrameEntry, RowKind, SECTOR, Sequence, size},
    recovery::{LayerJob, LayerRef, WrittenLayers, layer::Layer, write_layers},
    storage::{LocalStore, Nonces, Store, StoreError},
};
use afterimage_benches::{Recording, Turns, bench_bytes, copy_files, timed};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_testkit::{Stamp, Workload};
use bytes::Bytes;
use criterion::{Criterion, Throughput};

/// What is live of each frame of the segments.
#[derive(Clone, Copy, Debug)]
enum Mix {
    /// All of it.
    Passed,
    /// A sixteenth of it.
    Repacked,
    /// All of every tenth, and nothing of the others.
    Dropped,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut turns = Turns::new("layer_write");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
    let cache = local(&folder.path().join("cache"));
    let mut recording = Recording::new(Workload::Sequential, bench_bytes());
    recording.keep_first_lap();
    recording.put(&cache, 1);
    let sources = Sources::read(&cache);

    let mut group = criterion.benchmark_group("layer_write");
    for mix in [Mix::Passed, Mix::Repacked, Mix::Dropped] {
        let live = sources.live(mix);
        let (target, copy) = (folder.path().join("target"), folder.path().join("copy"));
        let mut compared = false;
        let ours = || {
            remove(&target);
            let store = local(&target);
            let (time, written) = timed(|| write(&recording, store.as_ref(), &sources, &live));
            if !compared {
                compare(&recording, &store, &written, &live);
                sources.check_fates(mix, &written);
                compared = true;
            }
            time
        };
        let limit = || {
            remove(&copy);
            let layers = target.join("bench/layers/1");
            let (time, copied) = timed(|| copy_files(&layers, &copy));
            copied.expect("the layers are copied");
            time
        };
        group.throughput(Throughput::Bytes(recording.written_bytes));
        let name = format!("{mix:?}").to_lowercase();
        turns.bench(&mut group, &name, ours, limit);
    }
    group.finish();
    criterion.final_summary();
    turns.print();
}

fn local(path: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::open(path).expect("the folder is a store"))
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("the last repetition is removed");
    }
}

/// The segments that the extents count.
#[derive(Debug)]
struct Sources(Vec<Segment>);

impl Sources {
    fn read(cache: &Arc<dyn Store>) -> Sources {
        let (group, stream) = (Recording::group(), Recording::stream());
        let mut reader = StreamReader::new(Arc::clone(cache), group, stream, None);
        let mut segments = Vec::new();
        while let Some(segment) = reader.next_segment().expect("the segments are a chain") {
            segments.push(segment);
        }
        Sources(segments)
    }

    fn frames(&self) -> Vec<usize> {
        let frames = self.0.iter().map(|segment| segment.index.frames.len());
        frames.collect()
    }

    /// What is live of the writes, which do not overlap and are in address order.
    fn live(&self, mix: Mix) -> Vec<Extent> {
        let mut live = Vec::new();
        for (segment, object) in self.0.iter().zip(0u32..) {
            for row in &segment.index.rows {
                let RowKind::Write { frame, offset } = row.kind else {
                    continue;
                };
                let sectors = match mix {
                    Mix::Dropped if !frame.is_multiple_of(10) => continue,
                    Mix::Passed | Mix::Dropped => row.sectors,
                    Mix::Repacked => row.sectors / 16,
                };
                live.push(Extent {
                    start: row.start,
                    sectors,
                    rank: 0,
                    object,
                    frame,
                    offset,
                    disk: 0,
                });
            }
        }
        live
    }

    /// Checks that the mix is what its name says.
    fn check_fates(&self, mix: Mix, written: &WrittenLayers) {
        let frames: u64 = self
            .0
            .iter()
            .map(|s| u64::from(s.container.footer.frames))
            .sum();
        let (passed, repacked) = (written.passed_frames, written.repacked_frames);
        match mix {
            Mix::Passed => assert_eq!((passed, repacked), (frames, 0)),
            Mix::Repacked => assert_eq!((passed, repacked), (0, frames)),
            Mix::Dropped => assert!(passed < frames / 5 && repacked == 0, "{passed} of {frames}"),
        }
    }

    fn segment(&self, object: u32) -> &Segment {
        let segment = self.0.get(size(u64::from(object)));
        segment.expect("extents name segments that were read")
    }
}

impl FrameSource for Sources {
    fn name(&self, object: u32) -> String {
        self.segment(object).key.to_string()
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        let frames = &self.segment(object).index.frames;
        Ok(*frames
            .get(size(u64::from(frame)))
            .expect("rows were checked"))
    }

    fn read(&self, object: u32, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        self.segment(object).read(range)
    }
}

fn write(
    recording: &Recording,
    store: &dyn Store,
    sources: &Sources,
    live: &[Extent],
) -> WrittenLayers {
    let job = LayerJob {
        store,
        nonces: &Nonces::seeded(1),
        group: &Recording::group(),
        stream: &Recording::stream(),
        epoch: Epoch(1),
        disks: &[recording.geometry()],
        first: Sequence::FIRST,
        last: Sequence(recording.records()),
        created: Timestamp(0),
        level: 1,
    };
    let written = write_layers(&job, live, &sources.frames(), sources);
    written.expect("the layers are written")
}

/// Every live sector is in the layers, with the stamp of its place, and no other is.
fn compare(
    recording: &Recording,
    store: &Arc<dyn Store>,
    written: &WrittenLayers,
    live: &[Extent],
) {
    let mut expected: Vec<u64> = live.iter().flat_map(|e| e.start..e.end()).collect();
    expected.sort_unstable();
    let mut found: Vec<u64> = Vec::new();
    for layer in &written.layers {
        found.extend(sectors(recording, store, layer));
    }
    found.sort_unstable();
    assert!(found == expected, "the layers hold other sectors");
}

/// The sectors of a layer, each of which says where it belongs.
fn sectors(recording: &Recording, store: &Arc<dyn Store>, layer: &LayerRef) -> Vec<u64> {
    let layer = Layer::open(Arc::clone(store), &Recording::group(), layer);
    let layer = Arc::new(layer.expect("the layer opens"));
    let mut found = Vec::new();
    let all = 0..recording.geometry().sectors;
    for extent in layer.extents(&Recording::disk(), all, 0) {
        let extent = extent.expect("the index is intact");
        let entry = layer.entry(extent.frame).expect("the index is intact");
        let stored = layer
            .read(entry.offset..entry.end())
            .expect("the frame is there");
        let frame = entry.check(stored).expect("the frame is intact");
        let payload = frame.decode().expect("the frame is intact");
        let stamps = payload
            .chunks(size(SECTOR))
            .skip(usize::from(extent.offset));
        for (sector, stamp) in (extent.start..extent.end()).zip(stamps) {
            let place = Stamp::read(stamp).map(|stamp| stamp.sector);
            assert_eq!(place, Some(sector), "a sector of a layer");
            found.push(sector);
        }
    }
    found
}
