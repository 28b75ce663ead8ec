//! What is asked of servers.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use afterimage::{
    Event, Pipeline, Stop, Upkeep,
    plan::{MeanRequests, RequestModel},
    storage::{
        Entry, Key, Provider, ReadAhead, Requests, Store, StoreError, StoreErrorKind, Tail, Upload,
    },
};
use afterimage_testkit::servers::Kind;
use bytes::Bytes;

use crate::world::{Source, name, server, store};

/// Counts looks for what is not there.
#[derive(Debug)]
struct Looks {
    store: Arc<dyn Store>,
    in_vain: AtomicU64,
}

impl Store for Looks {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.store.create(key, body)
    }
    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(key)
    }
    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.store.read(key)
    }
    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.read_range(key, range)
    }
    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        let read = self.store.read_tail(key, bytes_max);
        if let Err(error) = &read
            && error.kind == StoreErrorKind::NotFound
        {
            self.in_vain.fetch_add(1, Ordering::SeqCst);
        }
        read
    }
    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.store.size(key)
    }
    fn list(&self, at: &Key, after: Option<&Key>, n: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.list(at, after, n)
    }
    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(key)
    }
    fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        self.store.delete_all(keys)
    }
    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.store.settle(prefix)
    }
    fn read_ahead(&self, wanted: &[(Key, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        self.store.read_ahead(wanted)
    }
    fn requests(&self) -> Option<Requests> {
        self.store.requests()
    }
}

/// What was sent: by the source, by the service to the cache apart from looks in vain, and to the target.
struct Sent {
    by_source: Requests,
    to_cache: Requests,
    looks: u64,
    to_target: Requests,
}

/// Points that are made before anything is counted, and those of which it is. Two indexes are merged
/// between them.
const POINTS: (u64, u64) = (40, 64);

/// Runs a pipeline that makes a point of each segment as it comes.
fn sent(cache_kind: Kind, target_kind: Kind) -> Option<Sent> {
    let (cache_server, target_server) = (
        server(cache_kind, "requests")?,
        server(target_kind, "requests")?,
    );
    let cache = || -> Arc<dyn Store> {
        Arc::new(store(&cache_server, cache_server.addr(), "cache", "").unwrap())
    };
    let looks = Arc::new(Looks {
        store: cache(),
        in_vain: AtomicU64::default(),
    });
    let service = Arc::clone(&looks) as Arc<dyn Store>;
    let target: Arc<dyn Store> =
        Arc::new(store(&target_server, target_server.addr(), "points", "").unwrap());
    // The source has a client of its own, as on another machine.
    let agent = cache();
    let mut source = Source::new(Arc::clone(&agent), 5).unwrap();
    source.interval().unwrap();
    let upkeep = Upkeep {
        compact: None,
        ..Upkeep::default()
    };
    let pipeline = Pipeline::builder(name("shop"), Arc::clone(&service), Arc::clone(&target))
        .poll(Duration::from_millis(20))
        .upkeep(upkeep)
        .build()
        .unwrap();
    let stop = Stop::default();
    let now = || {
        let stores = [&agent, &service, &target];
        let requests = stores.map(|store| store.requests().unwrap());
        (requests, looks.in_vain.load(Ordering::SeqCst))
    };
    let mut points = 0;
    let (mut begun, mut ended) = (None, None);
    pipeline
        .run(&stop, &mut |event| {
            if let Event::Point { .. } = event {
                points += 1;
                if points == POINTS.0 {
                    begun = Some(now());
                }
                if points == POINTS.0 + POINTS.1 {
                    ended = Some(now());
                    stop.stop();
                } else {
                    source.interval().unwrap();
                }
            }
        })
        .unwrap();
    assert_eq!(source.check(&target), source.at_marker.len());
    let ([source_before, cache_before, target_before], looks_before) = begun.unwrap();
    let ([by_source, to_cache, to_target], looks_after) = ended.unwrap();
    Some(Sent {
        by_source: by_source.since(&source_before),
        to_cache: to_cache.since(&cache_before),
        looks: looks_after - looks_before,
        to_target: to_target.since(&target_before),
    })
}

/// As many as planned, within five of a hundred; one more or less is the one that is on its way.
fn assert_planned(what: &str, sent: u64, planned: f64) {
    let sent = f64::from(u32::try_from(sent).unwrap());
    let all = planned * f64::from(u32::try_from(POINTS.1).unwrap());
    let is_near = (sent - all).abs() <= (0.05 * all).max(1.0);
    assert!(is_near, "{what}: {sent} were sent, {all} are planned");
}

/// Nothing is listed as long as segments come, neither by the source nor by the service; and what is sent
/// is what a plan says.
fn sends_what_is_planned(cache: (Kind, Provider), target: (Kind, Provider)) {
    let Some(sent) = sent(cache.0, target.0) else {
        return;
    };
    let lists = [&sent.by_source, &sent.to_cache, &sent.to_target].map(|sent| sent.lists);
    assert_eq!(lists, [0, 0, 0]);
    // A segment and a layer of this source are small.
    const BYTES: f64 = 70_000.0;
    let MeanRequests {
        puts,
        gets,
        heads,
        deletes,
        ..
    } = RequestModel::of(cache.1).segment(BYTES, 1.0, 1.0, 0.0);
    let (by_source, to_cache) = (&sent.by_source, &sent.to_cache);
    // Azure is asked for the size of what is not there, the others for its end.
    let (looks_got, looks_sized) = match cache.1 {
        Provider::Azure => (0, sent.looks),
        Provider::S3 | Provider::Google => (sent.looks, 0),
    };
    assert_planned("puts of segments", by_source.puts + to_cache.puts, puts);
    let got = by_source.gets + to_cache.gets - looks_got;
    assert_planned("gets of segments", got, gets);
    let sized = by_source.heads + to_cache.heads - looks_sized;
    assert_planned("heads of segments", sized, heads);
    let deleted = by_source.deletes + to_cache.deletes;
    assert_planned("deletes of segments", deleted, deletes);
    let point = RequestModel::of(target.1).point(BYTES);
    assert_planned("puts of points", sent.to_target.puts, point.puts);
    assert_planned("gets of points", sent.to_target.gets, point.gets);
    assert_planned("heads of points", sent.to_target.heads, point.heads);
}

#[test]
fn a_cache_on_azure_and_points_on_s3_take_what_is_planned() {
    sends_what_is_planned((Kind::Azurite, Provider::Azure), (Kind::Moto, Provider::S3));
}

#[test]
fn a_cache_on_s3_and_points_on_azure_take_what_is_planned() {
    sends_what_is_planned((Kind::Moto, Provider::S3), (Kind::Azurite, Provider::Azure));
}
