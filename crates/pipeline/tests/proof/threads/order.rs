//! What is told and when: the order of points, groups, deletes that lag.

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicU64, Ordering},
};

use afterimage::{
    Event,
    storage::{Key, Store, StoreError, Upload},
};
use bytes::Bytes;

use super::{LONG, filled, no_waste, note, pipeline, run_on, sealed};
use crate::support::{
    HISTORY, Progress, Rig, Wraps, check,
    hooked::{Hooks, hooked, is_manifest},
};

#[test]
fn points_are_told_in_order_and_then_that_it_has_caught_up() {
    let world = filled(&LONG);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut told = Vec::new();
    let ran = pipeline(&rig, &rig.stores().unwrap()).run_once(&mut |event| match event {
        Event::Point { report, .. } => told.push(report.id),
        Event::CaughtUp => told.push(0),
        Event::Upkeep(_) => {}
        other => panic!("{other:?}"),
    });
    assert_eq!(ran.unwrap().points, 120);
    let expected: Vec<u64> = (1..=120).chain([0]).collect();
    assert_eq!(told, expected);
    let progress = Progress {
        points: 120,
        ..sealed(&LONG)
    };
    assert_eq!(check(&LONG, &world, &progress), Ok(120));
    no_waste(&world).unwrap();
}

/// Holds the first manifest with a point back until so many layers were made.
#[derive(Debug)]
struct SlowFirst {
    layers: Arc<(Mutex<u64>, Condvar)>,
    wanted: u64,
    manifests: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Counted {
    upload: Box<dyn Upload>,
    layers: Arc<(Mutex<u64>, Condvar)>,
}

impl Upload for Counted {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.upload.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.upload.finish()?;
        *self.layers.0.lock().unwrap() += 1;
        self.layers.1.notify_all();
        Ok(())
    }
}

impl Hooks for SlowFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_manifest(key) && self.manifests.fetch_add(1, Ordering::SeqCst) == 1 {
            let (layers, made) = &*self.layers;
            let missing = |layers: &mut u64| *layers < self.wanted;
            drop(made.wait_while(layers.lock().unwrap(), missing));
        }
        store.create(key, body)
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(Counted {
            upload: store.upload(key)?,
            layers: Arc::clone(&self.layers),
        }))
    }
}

/// While one manifest waits for a slow store the layers of later intervals are made, and they share
/// the next one.
#[test]
fn intervals_that_wait_share_a_manifest() {
    let world = filled(&LONG);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut stores = rig.stores().unwrap();
    let manifests = Arc::new(AtomicU64::new(0));
    let hooks = SlowFirst {
        layers: Arc::default(),
        wanted: 30,
        manifests: Arc::clone(&manifests),
    };
    stores.target = hooked(stores.target, hooks);
    let mut progress = sealed(&LONG);
    run_on(&rig, &stores, &mut progress).unwrap();
    assert_eq!(check(&LONG, &world, &progress), Ok(120));
    // Of 120 points at least 30 were made by then, and those of four sealers may not be told yet.
    let manifests = manifests.load(Ordering::SeqCst);
    assert!(manifests <= 1 + 1 + 90 + 4, "{manifests} manifests");
}

/// Deletes block until the run has committed everything it can: acknowledging lags, and nothing waits
/// for it but the end of the run.
#[derive(Debug)]
struct Lagging {
    committed: Arc<(Mutex<bool>, Condvar)>,
}

impl Hooks for Lagging {
    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        let (committed, changed) = &*self.committed;
        drop(changed.wait_while(committed.lock().unwrap(), |committed| !*committed));
        store.delete(key)
    }
}

#[test]
fn points_do_not_wait_for_deletes_but_the_end_does() {
    let world = filled(&HISTORY);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut stores = rig.stores().unwrap();
    let committed = Arc::<(Mutex<bool>, Condvar)>::default();
    let hooks = Lagging {
        committed: Arc::clone(&committed),
    };
    stores.cache = hooked(stores.cache, hooks);
    let mut progress = sealed(&HISTORY);
    let told = &mut Progress::default();
    let ran = pipeline(&rig, &stores).run_once(&mut |event| {
        note(&event, told);
        if matches!(event, Event::CaughtUp) {
            *committed.0.lock().unwrap() = true;
            committed.1.notify_all();
        }
    });
    ran.unwrap();
    progress.points = told.points;
    assert_eq!(check(&HISTORY, &world, &progress), Ok(HISTORY.markers()));
    no_waste(&world).unwrap();
}
