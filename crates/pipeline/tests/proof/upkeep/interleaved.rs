//! A store that lets something else happen at any of its calls, and what may: holds and pins.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use afterimage::{
    Stop, Timestamp,
    recovery::{
        Manifest, RecoveryError, RecoveryErrorKind,
        hold::HoldKind,
        holds::{Held, HoldRequest, take_hold},
        load_head,
    },
    storage::{Entry, Key, MemoryStore, Nonces, Store, StoreError, Tail, Upload},
};
use afterimage_testkit::World;
use bytes::Bytes;

use super::{HISTORY, fresh_id, group, tend};
use crate::support::{
    Progress, Rig, Wraps,
    rig::Stores,
    run::{Service, agent, send},
};

pub(crate) type Meanwhile = Box<dyn FnOnce() + Send>;

/// A store that does something else just before its call of a given number.
pub(crate) struct Interleaved {
    store: Arc<dyn Store>,
    calls: AtomicU64,
    meanwhile: Mutex<Option<(u64, Meanwhile)>>,
}

impl fmt::Debug for Interleaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interleaved({:?})", self.store)
    }
}

impl Interleaved {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        at: u64,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> Arc<Interleaved> {
        Arc::new(Interleaved {
            store: Arc::clone(store),
            calls: AtomicU64::new(0),
            meanwhile: Mutex::new(Some((at, Box::new(meanwhile)))),
        })
    }

    fn call(&self) -> &dyn Store {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.meanwhile.lock().unwrap();
        let due = waiting.as_ref().is_some_and(|(at, _)| *at == number);
        let run = if due { waiting.take() } else { None };
        drop(waiting);
        if let Some((_, run)) = run {
            run();
        }
        self.store.as_ref()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Store for Interleaved {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.call().create(key, body)
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.call().upload(key)
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.call().read(key)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.call().read_range(key, range)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        self.call().read_tail(key, bytes_max)
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.call().size(key)
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.call().list(prefix, after, limit)
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.call().delete(key)
    }

    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.call().settle(prefix)
    }
}

/// A target with all points of the history, none of them pruned.
pub(crate) fn full_target() -> Arc<dyn Store> {
    let memory = || -> Arc<dyn Store> { Arc::new(MemoryStore::new()) };
    let stores = Stores {
        cache: memory(),
        target: memory(),
        restored: memory(),
    };
    let rig = Rig::new(&World::new(1), Wraps::NONE, 1);
    let mut agent = agent(&HISTORY, &rig, &stores.cache).unwrap();
    for &end in &HISTORY.segments {
        send(&HISTORY, &mut agent, end).unwrap();
    }
    let mut service = Service::open(&Rig::new(&World::new(1), Wraps::NONE, 2), &stores).unwrap();
    service.catch_up(&mut Progress::default()).unwrap();
    stores.target
}

fn request(kind: HoldKind) -> HoldRequest {
    HoldRequest {
        kind,
        until: Timestamp(u64::MAX),
        text: "a test".to_owned(),
    }
}

/// Holds a point that the policy lets go; `None` where it is gone already.
pub(crate) fn hold(store: &dyn Store, kind: HoldKind, point: u64) -> Option<Held> {
    let mut ids = 0u64..;
    let id = || fresh_id(1000 * point + ids.next().unwrap());
    let choose = |manifest: &Manifest| {
        let mut points = manifest.points.iter();
        let there = points.any(|known| known.id == point);
        let gone = || RecoveryError::new("it", RecoveryErrorKind::NoSuch("it is gone".to_owned()));
        there.then_some(point).ok_or_else(gone)
    };
    match take_hold(store, &group(), id, &request(kind), choose) {
        Ok(held) => Some(held),
        Err(error) => {
            let kind = &error.kind;
            let expected = matches!(
                kind,
                RecoveryErrorKind::NoSuch(_) | RecoveryErrorKind::Stale(_)
            );
            assert!(expected, "{error}");
            None
        }
    }
}

pub(crate) fn nonces(seed: u64) -> Arc<Nonces> {
    Arc::new(Nonces::seeded(0xbe51de ^ seed << 20))
}

/// The points that the policy lets go, in the end.
pub(crate) fn pruned() -> BTreeSet<u64> {
    let target = full_target();
    let all: BTreeSet<u64> = points(&target);
    tend(&target, nonces(1)).run(&Stop::default()).unwrap();
    let left = points(&target);
    all.difference(&left).copied().collect()
}

pub(crate) fn points(target: &Arc<dyn Store>) -> BTreeSet<u64> {
    let head = load_head(target.as_ref(), &group()).unwrap().unwrap();
    head.manifest.points.iter().map(|point| point.id).collect()
}

/// What a mutant makes of a target.
pub(crate) fn wrapped(wraps: Wraps, target: &Arc<dyn Store>) -> Arc<dyn Store> {
    (wraps.target)(Arc::clone(target), Arc::clone(target))
}

/// Does the upkeep through a store that is dropped then.
pub(crate) fn tend_through(
    wraps: Wraps,
    target: &Arc<dyn Store>,
    nonces: Arc<Nonces>,
) -> Result<(), String> {
    let ran = tend(&wrapped(wraps, target), nonces).run(&Stop::default());
    ran.map(drop).map_err(|error| error.to_string())
}
