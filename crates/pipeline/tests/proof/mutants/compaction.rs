//! Compaction and merged indexes with a step left out or in another order.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use afterimage::{
    Timestamp,
    recovery::{
        Change, Committer, IndexJob, IndexLimits, IndexRef, LayerRef, Manifest, Replacement,
        compact::{Limits, Rewrite, Shape, rewrite},
        write_index,
    },
    storage::{Entry, Key, Nonces, Store, StoreError, Upload},
};
use bytes::Bytes;

use super::{Sweep, caught, killed_at_target};
use crate::{
    support::{
        Found, Scenario,
        hooked::{Hooks, hooked, is_manifest},
    },
    upkeep::{
        interleaved::{full_target, nonces},
        taken_over::all_read,
    },
};

/// Layers of upkeep get their names only after the manifest that names them.
#[derive(Debug, Default)]
struct LayersLate {
    /// Whether it is upkeep that works: only that looks for leftovers when it begins.
    is_upkeep: AtomicBool,
    finished: Arc<Mutex<Vec<Box<dyn Upload>>>>,
}

#[derive(Debug)]
struct Late {
    upload: Box<dyn Upload>,
    finished: Arc<Mutex<Vec<Box<dyn Upload>>>>,
}

impl Upload for Late {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.upload.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.finished.lock().unwrap().push(self.upload);
        Ok(())
    }
}

impl Hooks for LayersLate {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        store.create(key, body)?;
        if is_manifest(key) {
            let finished = std::mem::take(&mut *self.finished.lock().unwrap());
            finished.into_iter().try_for_each(Upload::finish)?;
        }
        Ok(())
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        let upload = store.upload(key)?;
        if !self.is_upkeep.load(Ordering::Relaxed) {
            return Ok(upload);
        }
        let finished = Arc::clone(&self.finished);
        Ok(Box::new(Late { upload, finished }))
    }

    fn list(
        &self,
        store: &dyn Store,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let is_search = prefix.as_str().ends_with("/layers");
        self.is_upkeep.fetch_or(is_search, Ordering::Relaxed);
        store.list(prefix, after, limit)
    }

    /// A worker begins.
    fn settle(&self, store: &dyn Store, prefix: &Key) -> Result<(), StoreError> {
        self.is_upkeep.store(false, Ordering::Relaxed);
        store.settle(prefix)
    }
}

#[test]
fn a_manifest_before_the_layers_it_replaces_others_with_is_noticed() {
    killed_at_target("manifest before new layers", Sweep::Upkeep, |target, _| {
        hooked(target, LayersLate::default())
    });
}

/// A group of which only the first points and the last one stay, and who commits to it.
fn pruned_group(first: usize) -> (Arc<dyn Store>, Arc<Nonces>, Committer) {
    let (target, nonces) = (full_target(), nonces(1));
    let (store, ids) = (Arc::clone(&target), Arc::clone(&nonces));
    let acquired = Committer::acquire(store, ids, Scenario::group(), Timestamp(1));
    let mut committer = acquired.unwrap();
    let points = &committer.head().manifest.points;
    let ids = points.iter().map(|point| point.id);
    let drop: BTreeSet<u64> = ids.skip(first).take(points.len() - 1 - first).collect();
    let change = Change {
        drop,
        ..Change::default()
    };
    committer.commit(change, Timestamp(1)).unwrap();
    (target, nonces, committer)
}

/// Rewrites the layers of the last point as a mutant orders them, and reads every point.
fn rewritten(order: fn(&mut Vec<LayerRef>), shape: Shape) -> Found {
    let mut found = Found::default();
    for first in 1..12 {
        found.places += 1;
        let read = rewritten_above(first, order, shape);
        found.judge(read, format!("rewritten above {first} points"));
    }
    found
}

fn rewritten_above(
    first: usize,
    order: fn(&mut Vec<LayerRef>),
    shape: Shape,
) -> Result<(), String> {
    let (target, nonces, mut committer) = pruned_group(first);
    let manifest = &committer.head().manifest;
    let layers = manifest.points.last().unwrap().layers.clone();
    let mut ordered = layers.clone();
    order(&mut ordered);
    let job = Rewrite {
        store: &target,
        nonces: &nonces,
        group: &Scenario::group(),
        epoch: manifest.epoch,
        created: Timestamp(1),
        level: 1,
        shape,
        limits: Limits::of(shape),
    };
    let mut pace = |_bytes| ControlFlow::Continue(());
    let with = rewrite(&job, &ordered, &mut pace).unwrap().unwrap();
    let replacement = Replacement {
        layers: layers.iter().map(|layer| layer.id).collect(),
        with: with.written.layers,
    };
    let change = Change {
        replace: vec![replacement],
        ..Change::default()
    };
    committer.commit(change, Timestamp(1)).unwrap();
    all_read(&target)
}

#[test]
fn layers_that_are_merged_in_another_order_are_noticed() {
    let turn_middle = |layers: &mut Vec<LayerRef>| {
        let last = layers.len() - 1;
        layers.get_mut(1..last).unwrap_or_default().reverse();
    };
    let with = rewritten(turn_middle, Shape::Merge);
    let without = rewritten(|_| (), Shape::Merge);
    caught("merge order turned round", &with, &without);
}

/// A base has no rows for zeroes: what they hide below comes back.
#[test]
fn a_base_above_other_layers_is_noticed() {
    let with = rewritten(|_| (), Shape::Base);
    let without = rewritten(|_| (), Shape::Merge);
    caught("base above others", &with, &without);
}

/// Commits an index that `make` writes over the layers of the last point, so many, and reads every
/// point.
fn indexed(make: fn(&IndexJob<'_>, &Manifest, LayerRef, u32) -> IndexRef) -> Found {
    let mut found = Found {
        places: 1,
        ..Found::default()
    };
    let (target, nonces, mut committer) = pruned_group(6);
    let job = IndexJob {
        store: &target,
        nonces: &nonces,
        created: Timestamp(1),
        limits: IndexLimits::default(),
    };
    let manifest = &committer.head().manifest;
    let layers = &manifest.points.last().unwrap().layers;
    let number = u32::try_from(layers.len()).unwrap();
    let index = make(&job, manifest, layers[0], number);
    let change = Change {
        indexes: vec![index],
        ..Change::default()
    };
    let head = committer.commit(change, Timestamp(1)).unwrap();
    assert_eq!(head.manifest.indexes.len(), 1);
    found.judge(all_read(&target), "indexed");
    found
}

fn as_it_is(job: &IndexJob<'_>, manifest: &Manifest, first: LayerRef, layers: u32) -> IndexRef {
    write_index(job, manifest, first.id, layers).unwrap()
}

#[test]
fn an_index_that_is_one_layer_short_is_noticed() {
    let with = indexed(|job, manifest, first, layers| IndexRef {
        layers,
        ..write_index(job, manifest, first.id, layers - 1).unwrap()
    });
    caught("index one layer short", &with, &indexed(as_it_is));
}

#[test]
fn an_index_in_another_order_is_noticed() {
    let with = indexed(|job, manifest, first, layers| {
        let mut turned = manifest.clone();
        let last = Arc::make_mut(turned.points.last_mut().unwrap());
        last.layers.reverse();
        let begin = last.layers[0].id;
        IndexRef {
            first: first.id,
            ..write_index(job, &turned, begin, layers).unwrap()
        }
    });
    caught("index in another order", &with, &indexed(as_it_is));
}
