//! A pipeline with its threads: it follows what arrives, waits out what passes, and stops.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use afterimage::{
    ErrorKind, Event, MarkerKind, Name, Pipeline, PointSelector, Points, ReplicaSpec, Stop,
    Timestamp,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, SectorSize},
    storage::{
        Entry, Key, MemoryStore, Nonces, Operation, Store, StoreError, StoreErrorKind, Tail, Upload,
    },
};
use bytes::Bytes;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

struct Source {
    cache: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    writer: StreamWriter,
}

impl Source {
    fn new(stream: &str) -> Source {
        Source::on(Arc::new(MemoryStore::new()), stream)
    }

    fn on(cache: Arc<dyn Store>, stream: &str) -> Source {
        Source::of(cache, "shop", stream)
    }

    fn of(cache: Arc<dyn Store>, group: &str, stream: &str) -> Source {
        let nonces = Arc::new(Nonces::from_os());
        let options = WriterOptions {
            group: name(group),
            stream: name(stream),
            disks: vec![Disk::new(name("root"), 1 << 20, SectorSize::B512).unwrap()],
            limits: SegmentLimits::default(),
            level: 1,
        };
        let writer = StreamWriter::open(Arc::clone(&cache), Arc::clone(&nonces), options).unwrap();
        Source {
            cache,
            nonces,
            writer,
        }
    }

    /// Writes one sector full of `fill` and a marker, durably.
    fn step(&mut self, sector: u64, fill: u8, marker: &str) {
        let now = Timestamp(1);
        self.writer.write(0, sector, &[fill; 512], now).unwrap();
        let cut = ObjectId(self.nonces.next());
        self.writer
            .mark(MarkerKind::User, marker, cut, now)
            .unwrap();
        self.writer.seal().unwrap();
    }
}

fn first_byte(target: &Arc<dyn Store>, point: &PointSelector, sector: u64) -> u8 {
    let points = Points::load(target, &name("shop")).unwrap();
    let mut byte = [0];
    let reader = points.open(point).unwrap();
    reader
        .read_at(&name("root"), sector * 512, &mut byte)
        .unwrap();
    byte[0]
}

#[test]
fn what_arrives_while_it_runs_becomes_points_until_it_is_stopped() {
    let mut source = Source::new("main");
    let target: Arc<dyn Store> = Arc::new(MemoryStore::new());
    source.step(1, 11, "first");
    let pipeline = Pipeline::builder(name("shop"), Arc::clone(&source.cache), Arc::clone(&target))
        .poll(Duration::from_millis(1))
        .build()
        .unwrap();
    let stop = Stop::default();
    let mut seen = Vec::new();
    let outcome = pipeline
        .run(&stop, &mut |event| {
            if let Event::Point { report, .. } = event {
                seen.push(report.name.clone());
                match report.name.as_str() {
                    "first" => source.step(1, 22, "second"),
                    "second" => source.step(2, 33, "third"),
                    _ => stop.stop(),
                }
            }
        })
        .unwrap();
    assert_eq!(seen, ["first", "second", "third"]);
    assert_eq!(outcome.points, 3);
    assert_eq!(
        first_byte(&target, &PointSelector::Name("first".into()), 1),
        11
    );
    assert_eq!(first_byte(&target, &PointSelector::Latest, 1), 22);
    assert_eq!(first_byte(&target, &PointSelector::Latest, 2), 33);
}

/// A store that does not answer the first few creates of manifests, or the question for a claim
/// right after one of them.
#[derive(Debug, Default)]
struct Flaky {
    inner: MemoryStore,
    refusals: AtomicU32,
    /// One more than the manifests that are still created before a claim cannot be looked for once;
    /// 0: never.
    claim_after: AtomicU32,
}

impl Store for Flaky {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let refuse = |left: u32| left.checked_sub(1);
        if key.as_str().contains("manifest")
            && self
                .refusals
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse)
                .is_ok()
        {
            let kind = StoreErrorKind::Unavailable;
            return Err(StoreError::new(Operation::Create, key, kind));
        }
        if key.as_str().contains("manifest") {
            let step = |left: u32| (left > 1).then(|| left - 1);
            let _counted = self
                .claim_after
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        }
        self.inner.create(key, body)
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
        if key.as_str().contains("/epochs/")
            && self
                .claim_after
                .compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            let kind = StoreErrorKind::Unavailable;
            return Err(StoreError::new(Operation::Size, key, kind));
        }
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

#[test]
fn a_store_that_does_not_answer_is_waited_for_and_leaves_no_litter() {
    let mut source = Source::new("main");
    source.step(1, 11, "first");
    let flaky = Arc::new(Flaky::default());
    let target: Arc<dyn Store> = Arc::clone(&flaky) as Arc<dyn Store>;
    let build = || {
        Pipeline::builder(name("shop"), Arc::clone(&source.cache), Arc::clone(&target))
            .poll(Duration::from_millis(1))
            .build()
            .unwrap()
    };
    // The fence passes, the commit of the point does not.
    flaky.refusals.store(1, Ordering::SeqCst);
    let refused = build().run_once(&mut |_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    flaky.refusals.store(1, Ordering::SeqCst);
    let stop = Stop::default();
    let mut retries = 0;
    let outcome = build().run(&stop, &mut |event| match event {
        Event::Retry { .. } => retries += 1,
        Event::Point { .. } => stop.stop(),
        _ => {}
    });
    assert_eq!(outcome.unwrap().points, 1);
    assert_eq!(retries, 1);
    let layers = Key::new("shop/layers").unwrap();
    assert_eq!(target.list(&layers, None, 100).unwrap().len(), 1);
}

#[test]
fn replicas_stand_at_the_newest_point_when_a_run_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new("main");
    let target: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let replica = ReplicaSpec {
        disk: name("root"),
        path: dir.path().join("root.raw"),
        record: None,
        take_over: false,
    };
    for round in 1..4u8 {
        source.step(u64::from(round), round, "round");
        let pipeline =
            Pipeline::builder(name("shop"), Arc::clone(&source.cache), Arc::clone(&target))
                .replica(replica.clone())
                .build()
                .unwrap();
        let mut stands = 0;
        pipeline
            .run_once(&mut |event| {
                if let Event::Replica(report) = event {
                    stands = report.point;
                }
            })
            .unwrap();
        assert_eq!(stands, u64::from(round));
        let disk = afterimage::storage::FileDisk::open(&replica.path, false).unwrap();
        let mut bytes = vec![0; 1 << 20];
        afterimage::storage::Disk::read_at(&disk, 0, &mut bytes).unwrap();
        for sector in 0..2048usize {
            let expected = if (1..=usize::from(round)).contains(&sector) {
                sector
            } else {
                0
            };
            assert_eq!(
                usize::from(bytes[sector * 512]),
                expected,
                "sector {sector}"
            );
        }
    }
    // Another process holds the replica: it is left alone, and the points go on.
    let record = dir.path().join("root.raw.progress");
    let held = afterimage::storage::FileDisk::open(&record, true).unwrap();
    held.lock().unwrap();
    source.step(9, 9, "held");
    let pipeline = Pipeline::builder(name("shop"), source.cache, Arc::clone(&target))
        .replica(replica)
        .build()
        .unwrap();
    let error = pipeline.run_once(&mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("another process"), "{error}");
    assert_eq!(first_byte(&target, &PointSelector::Latest, 9), 9);
}

#[test]
fn two_streams_in_a_group_are_refused_rather_than_cut_at_two_instants() {
    let mut one = Source::new("one");
    one.step(1, 1, "here");
    let mut two = Source::on(Arc::clone(&one.cache), "two");
    two.step(1, 2, "there");
    let target: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let pipeline = Pipeline::builder(name("shop"), one.cache, target)
        .build()
        .unwrap();
    let error = pipeline.run_once(&mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("one, two"), "{error}");
}

/// The manifest is there and read back, and only then the store stops answering: the point may count,
/// so the layers that it names must stay. They were once deleted, as those of a commit that failed.
#[test]
fn a_commit_that_may_count_keeps_its_layers() {
    let mut source = Source::new("main");
    source.step(1, 11, "first");
    source.step(2, 22, "second");
    let flaky = Arc::new(Flaky::default());
    let target: Arc<dyn Store> = Arc::clone(&flaky) as Arc<dyn Store>;
    let run = || {
        Pipeline::builder(name("shop"), Arc::clone(&source.cache), Arc::clone(&target))
            .build()
            .unwrap()
            .run_once(&mut |_| ())
    };
    // The fence, then the first point.
    flaky.claim_after.store(3, Ordering::SeqCst);
    assert_eq!(run().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(
        flaky.claim_after.load(Ordering::SeqCst),
        0,
        "it was asked for"
    );
    // Both points were in that commit, or only the first one.
    assert!(run().unwrap().points <= 1);
    assert_eq!(
        first_byte(&target, &PointSelector::Name("first".into()), 1),
        11
    );
    assert_eq!(first_byte(&target, &PointSelector::Latest, 2), 22);
}

/// The numbers a stale agent goes on with may be free again because they were covered and deleted.
#[test]
fn a_stale_agent_is_fenced_although_its_number_is_free_again() {
    let mut stale = Source::new("main");
    stale.step(1, 11, "first");
    let mut fresh = Source::on(Arc::clone(&stale.cache), "main");
    for round in 0..3 {
        fresh.step(2, round + 1, "fresh");
    }
    let target: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let pipeline = Pipeline::builder(name("shop"), Arc::clone(&stale.cache), Arc::clone(&target));
    pipeline.build().unwrap().run_once(&mut |_| ()).unwrap();
    stale.writer.write(0, 1, &[99; 512], Timestamp(2)).unwrap();
    let error = afterimage::Error::from(stale.writer.seal().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[test]
fn a_replica_of_one_group_is_not_taken_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let replica = ReplicaSpec {
        disk: name("root"),
        path: dir.path().join("root.raw"),
        record: None,
        take_over: false,
    };
    let mut source = Source::new("main");
    source.step(1, 11, "first");
    let run = |group: &str, source: &Source, replica: ReplicaSpec| {
        let target: Arc<dyn Store> = Arc::new(MemoryStore::new());
        Pipeline::builder(name(group), Arc::clone(&source.cache), target)
            .replica(replica)
            .build()
            .unwrap()
            .run_once(&mut |_| ())
    };
    run("shop", &source, replica.clone()).unwrap();
    let mut other = Source::of(Arc::new(MemoryStore::new()), "mart", "main");
    other.step(1, 22, "other");
    let refusal = run("mart", &other, replica.clone()).unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Invalid, "{refusal}");
    let take_over = ReplicaSpec {
        take_over: true,
        ..replica
    };
    run("mart", &other, take_over).unwrap();
}
