//! Somebody looks on while a pipeline works, and objects to what is not durable yet.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use afterimage::{
    Stop,
    cache::segment_number,
    recovery::{Manifest, name::layer_key},
    storage::{Key, Store, StoreError, Upload},
};
use afterimage_testkit::World;
use bytes::Bytes;

use super::{LONG, SEED, note, pipeline, sealed};
use crate::support::{
    Progress, Rig, Scenario, Wraps, check,
    hooked::{Hooks, hooked, is_manifest},
    run::{agent, send},
};

/// A layer whose name is noted once it is durable.
#[derive(Debug)]
struct Noted {
    upload: Box<dyn Upload>,
    key: Key,
    done: Arc<Mutex<BTreeSet<Key>>>,
}

impl Upload for Noted {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.upload.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.upload.finish()?;
        self.done.lock().unwrap().insert(self.key);
        Ok(())
    }
}

/// Looks on while a pipeline works: what a manifest names is durable.
#[derive(Debug, Default)]
struct TargetJournal {
    done: Arc<Mutex<BTreeSet<Key>>>,
    /// The segment that the newest manifest ends in.
    covered: Arc<AtomicU64>,
    /// Segments before this one have names that stay.
    settled: Arc<AtomicU64>,
}

impl Hooks for TargetJournal {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if !is_manifest(key) {
            return store.create(key, body);
        }
        let manifest = Manifest::decode(&body.concat()).unwrap();
        let done = self.done.lock().unwrap().clone();
        for layer in manifest.partial().layers() {
            let key = layer_key(&Scenario::group(), layer.epoch, layer.id);
            assert!(done.contains(&key), "{key} is named before it is durable");
        }
        let position = manifest.partial().position(&Scenario::stream());
        if let Some(position) = &position {
            let settled = self.settled.load(Ordering::SeqCst);
            assert!(
                position.segment < settled,
                "{key} covers a name that may go"
            );
        }
        store.create(key, body)?;
        if let Some(position) = position {
            self.covered.fetch_max(position.segment, Ordering::SeqCst);
        }
        Ok(())
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(Noted {
            upload: store.upload(key)?,
            key: key.clone(),
            done: Arc::clone(&self.done),
        }))
    }
}

/// Looks on: what is deleted is covered, and how far names were visible when they were settled.
#[derive(Debug)]
struct CacheJournal {
    covered: Arc<AtomicU64>,
    settled: Arc<AtomicU64>,
}

impl Hooks for CacheJournal {
    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        let covered = self.covered.load(Ordering::SeqCst);
        assert!(
            segment_number(key).unwrap() < covered,
            "{key} is not covered"
        );
        store.delete(key)
    }

    fn settle(&self, store: &dyn Store, prefix: &Key) -> Result<(), StoreError> {
        let there = store.list(prefix, None, usize::MAX)?;
        let numbers = there.iter().filter_map(|entry| segment_number(&entry.key));
        let newest = numbers.max();
        store.settle(prefix)?;
        let end = newest.map_or(0, |newest| newest + 1);
        self.settled.fetch_max(end, Ordering::SeqCst);
        Ok(())
    }
}

/// Segments come while others are committed: a point is made only of what is known to stay.
#[test]
fn manifests_name_what_is_durable_and_only_covered_segments_are_deleted() {
    let world = World::new(SEED);
    let source = Rig::new(&world, Wraps::NONE, 8);
    let mut agent = agent(&LONG, &source, &source.stores().unwrap().cache).unwrap();
    let mut segments = LONG.segments.iter();
    let mut send_next = || {
        if let Some(&end) = segments.next() {
            send(&LONG, &mut agent, end).unwrap();
        }
    };
    for _ in 0..5 {
        send_next();
    }
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut stores = rig.stores().unwrap();
    let journal = TargetJournal::default();
    let cache = CacheJournal {
        covered: Arc::clone(&journal.covered),
        settled: Arc::clone(&journal.settled),
    };
    stores.cache = hooked(stores.cache, cache);
    stores.target = hooked(stores.target, journal);
    let stop = Stop::default();
    let told = &mut Progress::default();
    let ran = pipeline(&rig, &stores).run(&stop, &mut |event| {
        note(&event, told);
        send_next();
        if told.points == 120 {
            stop.stop();
        }
    });
    ran.unwrap();
    let progress = Progress {
        points: told.points,
        ..sealed(&LONG)
    };
    assert_eq!(check(&LONG, &world, &progress), Ok(120));
}
