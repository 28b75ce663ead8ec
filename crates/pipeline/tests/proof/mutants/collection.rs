//! Collection with a step left out or in another order.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use afterimage::{
    recovery::{Manifest, load_head},
    storage::{Entry, Key, Store, StoreError},
};
use bytes::Bytes;

use super::{Sweep, killed_at_target};
use crate::{
    support::{
        Scenario,
        hooked::{Hooks, hooked},
    },
    upkeep::{objects, taken_over::Whose},
};

fn is_boundary(key: &Key) -> bool {
    key.as_str().contains("/boundary/")
}

fn is_holds(prefix: &Key) -> bool {
    prefix.as_str().ends_with("/holds")
}

/// The boundary is created when everything else is done.
#[derive(Debug)]
struct BoundaryLast {
    store: Arc<dyn Store>,
    late: Mutex<Option<Key>>,
}

impl Hooks for BoundaryLast {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_boundary(key) {
            *self.late.lock().unwrap() = Some(key.clone());
            return Ok(());
        }
        store.create(key, body)
    }
}

impl Drop for BoundaryLast {
    fn drop(&mut self) {
        if let Some(key) = self.late.lock().unwrap().take() {
            drop(self.store.create(&key, &[]));
        }
    }
}

#[test]
fn a_boundary_after_the_deletes_is_noticed() {
    killed_at_target(
        "boundary after the deletes",
        Sweep::LateReaders,
        |target, _| {
            let hooks = BoundaryLast {
                store: Arc::clone(&target),
                late: Mutex::default(),
            };
            hooked(target, hooks)
        },
    );
}

/// There is no boundary.
#[derive(Debug)]
struct NoBoundary;

impl Hooks for NoBoundary {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        match is_boundary(key) {
            true => Ok(()),
            false => store.create(key, body),
        }
    }
}

#[test]
fn a_collection_without_a_boundary_is_noticed() {
    killed_at_target("no boundary", Sweep::LateReaders, |target, _| {
        hooked(target, NoBoundary)
    });
}

/// A boundary takes the place of every other one, the later ones too.
#[derive(Debug)]
struct BoundaryBack;

impl Hooks for BoundaryBack {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let created = store.create(key, body);
        if is_boundary(key) {
            let (prefix, _) = key.as_str().rsplit_once('/').unwrap();
            let others = store.list(&Key::new(prefix).unwrap(), None, usize::MAX)?;
            let others = others.into_iter().filter(|other| other.key != *key);
            others
                .into_iter()
                .try_for_each(|other| store.delete(&other.key))?;
        }
        created
    }
}

#[test]
fn a_boundary_that_goes_back_is_noticed() {
    killed_at_target("boundary goes back", Sweep::Sleepers, |target, _| {
        hooked(target, BoundaryBack)
    });
}

/// The holds are listed before the boundary is created.
#[derive(Debug, Default)]
struct HoldsFirst(Mutex<Option<Vec<Entry>>>);

impl Hooks for HoldsFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_boundary(key) {
            let prefix = Key::new(&format!("{}/holds", Scenario::group())).unwrap();
            *self.0.lock().unwrap() = Some(store.list(&prefix, None, usize::MAX)?);
        }
        store.create(key, body)
    }

    fn list(
        &self,
        store: &dyn Store,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        match self.0.lock().unwrap().take_if(|_| is_holds(prefix)) {
            Some(early) => Ok(early),
            None => store.list(prefix, after, limit),
        }
    }
}

#[test]
fn holds_that_are_listed_before_the_boundary_are_noticed() {
    killed_at_target(
        "holds before the boundary",
        Sweep::LateReaders,
        |target, _| hooked(target, HoldsFirst::default()),
    );
}

/// What is held is deleted all the same.
#[derive(Debug)]
struct Unheld;

impl Hooks for Unheld {
    fn hides(&self, prefix: &Key) -> bool {
        is_holds(prefix)
    }
}

#[test]
fn a_collection_of_what_a_held_manifest_names_is_noticed() {
    killed_at_target("held objects deleted", Sweep::Readers, |target, _| {
        hooked(target, Unheld)
    });
}

/// Leftovers are looked for among objects of every epoch.
#[derive(Debug)]
struct EveryEpoch;

impl Hooks for EveryEpoch {
    fn list(
        &self,
        store: &dyn Store,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let listed = store.list(prefix, after, limit)?;
        if prefix.as_str().ends_with("/layers") {
            let head = load_head(store, &Scenario::group()).unwrap();
            let named = head.map_or_else(BTreeSet::new, |head| objects(&head.manifest));
            for entry in listed.iter().filter(|entry| !named.contains(&entry.key)) {
                store.delete(&entry.key)?;
            }
        }
        Ok(listed)
    }
}

#[test]
fn leftovers_of_a_later_epoch_that_are_deleted_are_noticed() {
    let sweep = Sweep::Leftovers(Whose::Former);
    killed_at_target("leftovers of a later epoch", sweep, |target, _| {
        hooked(target, EveryEpoch)
    });
}

#[test]
fn leftovers_of_the_own_epoch_that_are_deleted_are_noticed() {
    let sweep = Sweep::Leftovers(Whose::Own);
    killed_at_target("leftovers of the own epoch", sweep, |target, _| {
        hooked(target, EveryEpoch)
    });
}

/// What the next manifest does not name any more is deleted before it is there.
#[derive(Debug)]
struct DeletesFirst;

impl Hooks for DeletesFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if let Ok(next) = Manifest::decode(&body.concat())
            && let Ok(Some(head)) = load_head(store, &Scenario::group())
        {
            let named = objects(next.partial());
            let gone = objects(&head.manifest);
            gone.difference(&named)
                .try_for_each(|gone| store.delete(gone))?;
        }
        store.create(key, body)
    }
}

#[test]
fn replaced_objects_that_are_deleted_before_the_manifest_are_noticed() {
    killed_at_target("deleted before the manifest", Sweep::Upkeep, |target, _| {
        hooked(target, DeletesFirst)
    });
}
