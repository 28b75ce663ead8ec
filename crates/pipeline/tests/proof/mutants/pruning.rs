//! Pruning with a step left out or in another order.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use afterimage::storage::{Entry, Key, Store, StoreError};
use bytes::Bytes;

use super::{Sweep, killed_at_target, rewritten::Rewritten};
use crate::support::{
    Scenario,
    hooked::{Hooks, hooked, is_manifest},
};

fn is_mark(key: &Key) -> bool {
    key.as_str().contains("/pruning/")
}

/// The holds are listed before the mark is made.
#[derive(Debug, Default)]
struct HoldsFirst(Mutex<Option<Vec<Entry>>>);

impl Hooks for HoldsFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_mark(key) {
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
        let is_holds = prefix.as_str().ends_with("/holds");
        match self.0.lock().unwrap().take_if(|_| is_holds) {
            Some(early) => Ok(early),
            None => store.list(prefix, after, limit),
        }
    }
}

#[test]
fn holds_that_are_listed_before_the_mark_are_noticed() {
    killed_at_target("holds before the mark", Sweep::Pins, |target, _| {
        hooked(target, HoldsFirst::default())
    });
}

/// No mark is made.
#[derive(Debug)]
struct NoMark;

impl Hooks for NoMark {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        match is_mark(key) {
            true => Ok(()),
            false => store.create(key, body),
        }
    }
}

#[test]
fn pruning_without_a_mark_is_noticed() {
    killed_at_target("no mark", Sweep::Pins, |target, _| hooked(target, NoMark));
}

/// The mark is taken back before the manifest is there.
#[derive(Debug, Default)]
struct MarkBack(Arc<Mutex<BTreeSet<Key>>>);

impl Hooks for MarkBack {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let mut marks = self.0.lock().unwrap();
        while let Some(mark) = marks.pop_first() {
            store.delete(&mark)?;
        }
        if is_mark(key) {
            marks.insert(key.clone());
        }
        store.create(key, body)
    }
}

#[test]
fn a_mark_that_is_taken_back_before_the_manifest_is_noticed() {
    killed_at_target("mark taken back early", Sweep::Pins, |target, _| {
        hooked(target, MarkBack::default())
    });
}

/// Who cannot commit takes back the marks of everybody.
#[derive(Debug)]
struct EveryMark;

impl Hooks for EveryMark {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let created = store.create(key, body);
        if is_manifest(key) && created.is_err() {
            let prefix = Key::new(&format!("{}/pruning", Scenario::group())).unwrap();
            let marks = store.list(&prefix, None, usize::MAX)?;
            marks.iter().try_for_each(|mark| store.delete(&mark.key))?;
        }
        created
    }
}

#[test]
fn a_mark_of_another_worker_that_is_taken_back_is_noticed() {
    killed_at_target("marks of others taken back", Sweep::Marks, |target, _| {
        hooked(target, EveryMark)
    });
}

#[test]
fn a_newest_point_that_goes_is_noticed() {
    killed_at_target("newest point goes", Sweep::Upkeep, |target, _| {
        let drop_newest = Rewritten::by(|manifest| {
            if manifest.points.len() > 4 {
                manifest.points.pop();
                manifest.indexes.clear();
            }
        });
        hooked(target, drop_newest)
    });
}
