//! What reading a page of a point asks of the store.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use afterimage::{
    MarkerKind, Name, Pipeline, PointSelector, Points, Timestamp,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, SectorSize},
    storage::{Entry, Key, MemoryStore, Nonces, Store, StoreError, Tail, Upload},
};
use afterimage_testkit::Random;
use bytes::Bytes;

/// Raw bytes of a frame, and of each write.
const FRAME: usize = 64 << 10;
const FRAMES: u64 = 64;
const PAGE: usize = 4096;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A store that counts what is read of objects.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryStore,
    reads: AtomicUsize,
}

impl Store for Counting {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.inner.create(key, body)
    }
    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.upload(key)
    }
    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read(key)
    }
    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_range(key, range)
    }
    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_tail(key, bytes_max)
    }
    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.inner.size(key)
    }
    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(prefix, after, limit)
    }
    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.inner.settle(prefix)
    }
}

/// A point of one region, written in pieces of a frame each in an order of its own; gives the disk.
fn make_point(target: &Arc<dyn Store>) -> Vec<u8> {
    let cache: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let nonces = Arc::new(Nonces::seeded(1));
    let bytes = FRAMES * u64::try_from(FRAME).unwrap();
    let options = WriterOptions {
        group: name("shop"),
        stream: name("main"),
        disks: vec![Disk::new(name("root"), bytes, SectorSize::B512).unwrap()],
        limits: SegmentLimits::default(),
        level: 1,
    };
    let mut writer = StreamWriter::open(Arc::clone(&cache), Arc::clone(&nonces), options).unwrap();
    let mut random = Random::new(1);
    let mut disk = vec![0; usize::try_from(bytes).unwrap()];
    for (piece, number) in disk.chunks_mut(FRAME).zip(0u64..) {
        piece.fill_with(|| u8::try_from(random.below(256)).unwrap());
        let sector = number * u64::try_from(FRAME / 512).unwrap();
        writer.write(0, sector, piece, Timestamp(1)).unwrap();
    }
    let cut = ObjectId(nonces.next());
    writer
        .mark(MarkerKind::User, "only", cut, Timestamp(1))
        .unwrap();
    writer.seal().unwrap();
    let pipeline = Pipeline::builder(name("shop"), cache, Arc::clone(target)).build();
    pipeline.unwrap().run_once(&mut |_| ()).unwrap();
    disk
}

/// However little the reader may keep: what it knows of a region is used with every page, so it is
/// the frames that go.
#[test]
fn a_page_costs_one_read_once_its_region_was_looked_at() {
    let counting = Arc::new(Counting::default());
    let target: Arc<dyn Store> = Arc::clone(&counting) as Arc<dyn Store>;
    let disk = make_point(&target);
    let points = Points::load(&target, &name("shop")).unwrap();
    // Enough for the region and a few frames.
    let reader = points
        .open_with(&PointSelector::Latest, 6 * u64::try_from(FRAME).unwrap())
        .unwrap();
    let read = |offset: usize| {
        let before = counting.reads.load(Ordering::SeqCst);
        let mut page = [0; PAGE];
        let at = u64::try_from(offset).unwrap();
        reader.read_at(&name("root"), at, &mut page).unwrap();
        assert!(page == disk[offset..offset + PAGE], "the page at {offset}");
        counting.reads.load(Ordering::SeqCst) - before
    };
    let _whatever = read(0);
    for lap in 0..3 {
        for frame in (FRAME..disk.len()).step_by(FRAME) {
            // Off the sectors, but inside one frame.
            let reads = read(frame + lap * PAGE + 100);
            assert!(
                reads <= 1,
                "{reads} reads for a page of the frame at {frame}"
            );
            assert_eq!(read(frame + 200), 0, "it was read just now");
        }
    }
}
