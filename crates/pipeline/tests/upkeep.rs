//! A running worker that also keeps its target in shape: points stay what they are, nothing waits for
//! compaction, failures are told, and whoever has ended says so.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{
    num::NonZeroU64,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::channel,
    },
    thread::Builder,
    time::Duration,
};

use afterimage::{
    ErrorKind, Event, HeldPoints, MarkerKind, Name, Pipeline, PipelineBuilder, PointSelector,
    Points, Stop, Tend, Tended, Timestamp, Upkeep,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, Epoch, ObjectId, SectorSize},
    recovery::{compact::CompactionSettings, load_head, name::ended_key},
    storage::{
        Entry, Key, MemoryStore, Nonces, Operation, Store, StoreError, StoreErrorKind, Tail, Upload,
    },
};
use afterimage_testkit::{PlainDisk, Random};
use bytes::Bytes;

const DISK_BYTES: u64 = 1 << 20;
const SECOND: u64 = 1_000_000;
/// Far longer than any run takes.
const LONG: Duration = Duration::from_secs(120);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// A source whose points all have layers that compaction gives something back of.
struct Source {
    writer: StreamWriter,
    nonces: Arc<Nonces>,
    random: Random,
    plain: PlainDisk,
    /// The disk at each marker.
    points: Vec<Vec<u8>>,
}

impl Source {
    fn new(cache: &Arc<dyn Store>) -> Source {
        let nonces = Arc::new(Nonces::seeded(1));
        let options = WriterOptions {
            group: name("shop"),
            stream: name("main"),
            disks: vec![Disk::new(name("root"), DISK_BYTES, SectorSize::B512).unwrap()],
            limits: SegmentLimits::default(),
            level: 1,
        };
        Source {
            writer: StreamWriter::open(Arc::clone(cache), Arc::clone(&nonces), options).unwrap(),
            nonces,
            random: Random::new(3),
            plain: PlainDisk::new(DISK_BYTES),
            points: Vec::new(),
        }
    }

    fn write(&mut self, start: u64, sectors: u64) {
        let now = Timestamp(SECOND * u64::try_from(self.points.len()).unwrap());
        let mut data = vec![0; usize::try_from(sectors * 512).unwrap()];
        self.random.fill(&mut data);
        self.writer.write(0, start, &data, now).unwrap();
        self.plain.write(start * 512, &data);
    }

    /// An interval: large writes, half of each overwritten by small ones, so that its frames are
    /// copied half dead.
    fn step(&mut self) {
        let first = 128 * self.random.below(8);
        for frame in 0..8 {
            self.write(first + 128 * frame, 128);
        }
        for half in 0..8 {
            for small in 0..8 {
                self.write(first + 128 * half + 16 * small, 8);
            }
        }
        let now = Timestamp(SECOND * u64::try_from(self.points.len()).unwrap());
        let cut = ObjectId(self.nonces.next());
        self.writer.mark(MarkerKind::Crash, "", cut, now).unwrap();
        self.writer.seal().unwrap();
        self.points.push(self.plain.bytes().to_vec());
    }

    /// Every point that is there holds what the disk held at its marker.
    fn check(&self, target: &Arc<dyn Store>) -> Vec<u64> {
        let points = Points::load(target, &name("shop")).unwrap();
        let ids: Vec<u64> = points.list().iter().map(|point| point.id).collect();
        for &id in &ids {
            let mut found = vec![0xaa; self.plain.bytes().len()];
            let reader = points.open(&PointSelector::Id(id)).unwrap();
            reader.read_at(&name("root"), 0, &mut found).unwrap();
            let number = usize::try_from(id).unwrap();
            let expected = self.points.get(number - 1).unwrap();
            assert!(found == *expected, "point {id}");
        }
        ids
    }
}

/// Compacts whatever gives anything back.
fn eager() -> Upkeep {
    Upkeep {
        compact: Some(CompactionSettings {
            dead_percent_max: 10,
            own_dead_percent_max: 10,
            gain_bytes_min: 1,
            runs_max: 2,
            merged_runs_max: 3,
        }),
        ..Upkeep::default()
    }
}

/// Compacts a byte a second: never ends.
fn slow() -> Upkeep {
    Upkeep {
        compact_bytes_per_second: NonZeroU64::new(1),
        ..eager()
    }
}

fn pipeline(cache: &Arc<dyn Store>, target: &Arc<dyn Store>, upkeep: Upkeep) -> PipelineBuilder {
    Pipeline::builder(name("shop"), Arc::clone(cache), Arc::clone(target))
        .poll(Duration::from_millis(1))
        .upkeep(upkeep)
}

/// Does something that has to end.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (ended, end) = channel();
    let run = move || ended.send(work()).unwrap();
    // Where it does not end the thread stays behind, and the test does not.
    Builder::new().spawn(run).unwrap();
    end.recv_timeout(LONG).expect("it ends")
}

/// What the target holds below a prefix.
fn stored(target: &Arc<dyn Store>, below: &str) -> usize {
    let prefix = Key::new(&format!("shop/{below}")).unwrap();
    target.list(&prefix, None, usize::MAX).unwrap().len()
}

/// Layers that the newest manifest names.
fn named(target: &Arc<dyn Store>) -> usize {
    let head = load_head(target.as_ref(), &name("shop")).unwrap().unwrap();
    head.manifest.layers().count()
}

#[test]
fn a_running_worker_compacts_and_every_point_reads_the_same() {
    let (source, target, compacted) = ends(|| {
        let (cache, target) = (memory(), memory());
        let mut source = Source::new(&cache);
        source.step();
        let stop = Stop::default();
        let (mut points, mut compacted) = (0, 0);
        let pipeline = pipeline(&cache, &target, eager()).build().unwrap();
        let watch = &mut |event| {
            match event {
                Event::Point { .. } => {
                    points += 1;
                    if points < 6 {
                        source.step();
                    }
                }
                Event::Upkeep(Tended {
                    compacted: layers, ..
                }) => compacted += layers,
                Event::UpkeepFailed { error } => panic!("{error}"),
                _ => {}
            }
            if points == 6 && compacted >= 6 {
                stop.stop();
            }
        };
        pipeline.run(&stop, watch).unwrap();
        let sums = pipeline.figures().snapshot().sums;
        assert_eq!(sums.compacted_layers, compacted);
        assert!(sums.compacted_bytes > 6 * DISK_BYTES / 2, "{sums:?}");
        assert!(
            sums.deleted_objects > 0 && sums.upkeep_failures == 0,
            "{sums:?}"
        );
        (source, target, compacted)
    });
    assert!(compacted >= 6);
    assert_eq!(source.check(&target), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_run_that_is_to_end_does_not_wait_for_compaction() {
    for once in [true, false] {
        let (source, target) = ends(move || {
            let (cache, target) = (memory(), memory());
            let mut source = Source::new(&cache);
            (0..3).for_each(|_| source.step());
            let pipeline = pipeline(&cache, &target, slow()).build().unwrap();
            let outcome = if once {
                pipeline.run_once(&mut |_| ())
            } else {
                let stop = Stop::default();
                pipeline.run(&stop, &mut |event| {
                    if matches!(event, Event::CaughtUp) {
                        // Until it has begun to wait, most of the time.
                        let _stopped = stop.wait(Duration::from_millis(100));
                        stop.stop();
                    }
                })
            };
            assert_eq!(outcome.unwrap().points, 3);
            (source, target)
        });
        assert_eq!(source.check(&target), [1, 2, 3]);
        assert_eq!(
            stored(&target, "layers"),
            named(&target),
            "nothing is left over"
        );
        // What remained is compacted by whoever takes his time.
        let tend = Tend::new(Arc::clone(&target), name("shop"), eager());
        assert!(tend.run(&Stop::default()).unwrap().compacted > 0);
        assert_eq!(source.check(&target), [1, 2, 3]);
    }
}

#[test]
fn a_rewrite_that_takes_for_ever_delays_no_pruning() {
    let (source, target) = ends(|| {
        let (cache, target) = (memory(), memory());
        let mut source = Source::new(&cache);
        source.step();
        let upkeep = Upkeep {
            keep: Some("1s:all".parse().unwrap()),
            ..slow()
        };
        // Every look at the clock is a minute later.
        let now = AtomicU64::new(1000 * SECOND);
        let clock = Arc::new(move || Timestamp(now.fetch_add(60 * SECOND, Ordering::SeqCst)));
        let pipeline =
            pipeline(&cache, &target, upkeep).sources(clock, Arc::new(Nonces::seeded(9)));
        let stop = Stop::default();
        let (mut points, mut pruned) = (0, 0);
        let watch = &mut |event| {
            match event {
                Event::Point { .. } => {
                    points += 1;
                    if points < 8 {
                        source.step();
                    }
                }
                Event::Upkeep(tended) => {
                    assert_eq!(tended.compacted, 0);
                    pruned += tended.pruned;
                }
                Event::UpkeepFailed { error } => panic!("{error}"),
                _ => {}
            }
            if points == 8 && pruned == 6 {
                stop.stop();
            }
        };
        pipeline.build().unwrap().run(&stop, watch).unwrap();
        (source, target)
    });
    // The newest one, and the one a second before it.
    assert_eq!(source.check(&target), [7, 8]);
}

/// A store that refuses what is asked of some keys.
#[derive(Debug)]
struct Refusing {
    inner: MemoryStore,
    part: &'static str,
    kind: StoreErrorKind,
    refused: AtomicU64,
}

impl Refusing {
    fn call(&self, operation: Operation, key: &Key) -> Result<&MemoryStore, StoreError> {
        if key.as_str().contains(self.part) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::new(operation, key, self.kind));
        }
        Ok(&self.inner)
    }
}

impl Store for Refusing {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.call(Operation::Create, key)?.create(key, body)
    }
    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.upload(key)
    }
    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.inner.read(key)
    }
    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.read_range(key, range)
    }
    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
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
        self.call(Operation::List, prefix)?
            .list(prefix, after, limit)
    }
    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.inner.settle(prefix)
    }
}

#[test]
fn upkeep_that_fails_is_told_and_points_go_on() {
    // The first is asked for when upkeep begins, the second when it prunes, the third by merging.
    for part in ["/pruning", "/holds", "/indexes/"] {
        let store = Arc::new(Refusing {
            inner: MemoryStore::new(),
            part,
            kind: StoreErrorKind::Unavailable,
            refused: AtomicU64::new(0),
        });
        let (cache, target) = (memory(), Arc::clone(&store) as Arc<dyn Store>);
        let mut source = Source::new(&cache);
        (0..4).for_each(|_| source.step());
        let mut upkeep = eager();
        upkeep.keep = Some("1s:all".parse().unwrap());
        upkeep.index.fan_out = 2;
        if part == "/indexes/" {
            upkeep.keep = None;
        }
        let pipeline = pipeline(&cache, &target, upkeep).build().unwrap();
        let mut told = Vec::new();
        let outcome = pipeline.run_once(&mut |event| {
            if let Event::UpkeepFailed { error } = event {
                told.push(error.kind());
            }
        });
        assert_eq!(outcome.unwrap().points, 4, "{part}");
        assert!(!told.is_empty(), "{part}");
        assert!(told.iter().all(|&kind| kind == ErrorKind::Unavailable));
        assert!(store.refused.load(Ordering::SeqCst) > 0);
        let sums = pipeline.figures().snapshot().sums;
        assert_eq!(sums.upkeep_failures, u64::try_from(told.len()).unwrap());
        assert_eq!(source.check(&target), [1, 2, 3, 4]);
    }
}

#[test]
fn who_may_not_hold_reads_all_the_same_and_who_may_not_look_is_refused_at_once() {
    let inner = MemoryStore::new();
    let (cache, target) = (memory(), Arc::new(inner.clone()) as Arc<dyn Store>);
    let mut source = Source::new(&cache);
    (0..2).for_each(|_| source.step());
    let pipeline = pipeline(&cache, &target, eager()).build().unwrap();
    pipeline.run_once(&mut |_| {}).unwrap();
    let take = |part| {
        let refusing = Arc::new(Refusing {
            inner: inner.clone(),
            part,
            kind: StoreErrorKind::Denied,
            refused: AtomicU64::new(0),
        });
        let store = Arc::clone(&refusing) as Arc<dyn Store>;
        let held = HeldPoints::take(&store, &name("shop"), &PointSelector::Latest, "test");
        (held, refusing.refused.load(Ordering::SeqCst))
    };
    let (held, refused) = take("/holds/");
    let held = held.unwrap();
    assert_eq!((held.point(), refused), (2, 1));
    let reader = held.points().open(&PointSelector::Latest).unwrap();
    let mut start = [0; 4096];
    reader.read_at(&name("root"), 0, &mut start).unwrap();
    assert_eq!(start[..], source.points[1][..4096]);
    held.release().unwrap();
    let (held, refused) = take("/manifest");
    assert_eq!((held.unwrap_err().kind(), refused), (ErrorKind::Invalid, 1));
}

#[test]
fn who_ended_in_order_is_not_waited_for_and_who_did_not_is() {
    let (cache, target) = (memory(), memory());
    let mut source = Source::new(&cache);
    source.step();
    let tend = || {
        let tend = Tend::new(Arc::clone(&target), name("shop"), Upkeep::default());
        tend.run(&Stop::default()).map_err(|error| error.kind())
    };
    let stop = Stop::default();
    let running = pipeline(&cache, &target, Upkeep::default())
        .build()
        .unwrap();
    let watch = &mut |event| {
        if matches!(event, Event::CaughtUp) {
            assert_eq!(tend(), Err(ErrorKind::Invalid), "a worker is at work");
            stop.stop();
        }
    };
    running.run(&stop, watch).unwrap();
    assert!(tend().is_ok(), "the worker has ended");
    assert!(tend().is_ok(), "so has the upkeep before");
    running.run_once(&mut |_| ()).unwrap();
    assert_eq!(stored(&target, "ended"), 1, "older ones are gone");
    // As after a crash.
    let head = load_head(target.as_ref(), &name("shop")).unwrap().unwrap();
    let epoch: Epoch = head.manifest.epoch;
    target.delete(&ended_key(&name("shop"), epoch)).unwrap();
    assert_eq!(tend(), Err(ErrorKind::Invalid));
    let over = Tend {
        take_over: true,
        ..Tend::new(Arc::clone(&target), name("shop"), Upkeep::default())
    };
    over.run(&Stop::default()).unwrap();
    source.check(&target);
}
