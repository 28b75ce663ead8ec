//! One rule broken at a time: the races find each of them out.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use afterimage::{
    cache::segment_number,
    changelog::{Digest, Epoch},
    recovery::Manifest,
    storage::{Effect, Key, Store, StoreError},
};
use bytes::Bytes;

use crate::{
    between::{Ask, Between, blind, wrapped},
    commits, found_out, lock, streams,
};

/// Races within which a mutant has to be found out.
const WITHIN: u64 = 1000;

fn is_manifest(key: &Key) -> bool {
    key.as_str().contains("/manifest/")
}

fn is_boundary(key: &Key) -> bool {
    key.as_str().contains("/boundary/")
}

/// A mark that somebody has taken over.
fn is_claim(key: &Key) -> bool {
    key.as_str().contains("/epochs/")
}

/// What a committer looks at after its create, to learn whether the number counts.
fn tells_of_the_boundary(ask: Ask<'_>) -> bool {
    match ask {
        Ask::Size(key) => is_claim(key),
        Ask::List { prefix, .. } => prefix.as_str().ends_with("/boundary"),
    }
}

#[test]
fn a_boundary_that_is_not_looked_at_is_found_out() {
    let wrap = |store| blind(store, tells_of_the_boundary);
    found_out("boundary ignored", commits::race, wrap, WITHIN);
}

/// What an agent looks at after its create, to learn whether another one has gone on. A list without
/// a key to begin after is that of an agent that opens the stream.
fn tells_of_later_segments(ask: Ask<'_>) -> bool {
    match ask {
        Ask::Size(key) => is_claim(key),
        Ask::List { after, .. } => after.is_some_and(|after| segment_number(after).is_some()),
    }
}

#[test]
fn later_segments_that_are_not_looked_for_are_found_out() {
    let wrap = |store| blind(store, tells_of_later_segments);
    found_out("later segments ignored", streams::race, wrap, WITHIN);
}

/// Claims are not seen.
fn tells_of_claims(ask: Ask<'_>) -> bool {
    matches!(ask, Ask::Size(key) if is_claim(key))
}

#[test]
fn claims_that_are_not_looked_for_are_found_out() {
    let wrap = |store| blind(store, tells_of_claims);
    found_out("claims of epochs ignored", commits::race, wrap, WITHIN);
    found_out("claims of streams ignored", streams::race, wrap, WITHIN);
}

/// Whoever takes over says nothing.
#[derive(Debug)]
struct Silent;

impl Between for Silent {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_claim(key) {
            return Ok(());
        }
        store.create(key, body)
    }
}

#[test]
fn claims_that_are_not_made_are_found_out() {
    let wrap = |store| wrapped(store, Silent);
    found_out("claims of epochs not made", commits::race, wrap, WITHIN);
    found_out("claims of streams not made", streams::race, wrap, WITHIN);
}

/// The claim is made behind what the worker creates first.
#[derive(Debug, Default)]
struct ClaimsLast(Mutex<Option<Key>>);

impl Between for ClaimsLast {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_claim(key) {
            *lock(&self.0) = Some(key.clone());
            return Ok(());
        }
        let created = store.create(key, body);
        if let Some(claim) = lock(&self.0).take() {
            drop(store.create(&claim, &[]));
        }
        created
    }
}

#[test]
fn claims_that_are_made_too_late_are_found_out() {
    let wrap = |store| wrapped(store, ClaimsLast::default());
    found_out("claims of epochs made late", commits::race, wrap, WITHIN);
    found_out("claims of streams made late", streams::race, wrap, WITHIN);
}

/// What tells a worker that its number had been used is not looked at until the first claim of another
/// one was looked for, which is behind its own first create.
#[derive(Debug, Default)]
struct FirstUnchecked {
    is_past: AtomicBool,
}

impl Between for FirstUnchecked {
    fn hides(&self, ask: Ask<'_>) -> bool {
        match ask {
            Ask::Size(key) => {
                self.is_past.fetch_or(is_claim(key), Ordering::SeqCst);
                false
            }
            _ if self.is_past.load(Ordering::SeqCst) => false,
            _ => tells_of_the_boundary(ask) || tells_of_later_segments(ask),
        }
    }
}

#[test]
fn a_first_manifest_that_is_not_checked_is_found_out() {
    let wrap = |store| wrapped(store, FirstUnchecked::default());
    found_out("first manifest unchecked", commits::race, wrap, WITHIN);
}

#[test]
fn a_first_segment_that_is_not_checked_is_found_out() {
    let wrap = |store| wrapped(store, FirstUnchecked::default());
    found_out("first segment unchecked", streams::race, wrap, WITHIN);
}

/// What was sent is taken for what is there.
#[derive(Debug, Default)]
struct NotReadBack(Mutex<BTreeMap<Key, Bytes>>);

impl Between for NotReadBack {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_manifest(key) || segment_number(key).is_some() {
            lock(&self.0).insert(key.clone(), body.concat().into());
        }
        store.create(key, body)
    }

    fn instead(&self, key: &Key) -> Option<Bytes> {
        lock(&self.0).get(key).cloned()
    }
}

#[test]
fn a_manifest_that_is_not_read_back_is_found_out() {
    let wrap = |store| wrapped(store, NotReadBack::default());
    found_out("manifest not read back", commits::race, wrap, WITHIN);
}

#[test]
fn a_segment_that_is_not_read_back_is_found_out() {
    let wrap = |store| wrapped(store, NotReadBack::default());
    found_out("segment not read back", streams::race, wrap, WITHIN);
}

/// The boundary is created when all is deleted.
#[derive(Debug, Default)]
struct BoundaryLast(Mutex<Option<Key>>);

impl Between for BoundaryLast {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_boundary(key) {
            *lock(&self.0) = Some(key.clone());
            return Ok(());
        }
        let late = lock(&self.0).take();
        if let Some(late) = late {
            drop(store.create(&late, &[]));
        }
        store.create(key, body)
    }
}

#[test]
fn a_collection_before_its_boundary_is_found_out() {
    let wrap = |store| wrapped(store, BoundaryLast::default());
    found_out("boundary last", commits::race, wrap, WITHIN);
}

/// A create of a manifest of which nobody knows what came of it is taken for one that failed.
#[derive(Debug)]
struct TakenForFailed;

impl Between for TakenForFailed {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let created = store.create(key, body);
        created.map_err(|error| error.with_effect(Effect::None))
    }
}

#[test]
fn a_commit_in_doubt_that_is_taken_for_failed_is_found_out() {
    let wrap = |store| wrapped(store, TakenForFailed);
    found_out("doubt taken for failure", commits::race, wrap, WITHIN);
}

/// A worker that takes over goes on with the epoch that it finds. It sees each manifest with the epoch
/// below, so that its own is the one it found, and what it commits names what is stored.
#[derive(Debug, Default)]
struct SameEpoch {
    /// What is seen of each manifest, by the digest of what is stored, and the other way round.
    seen: Mutex<BTreeMap<[u8; 32], Bytes>>,
    stored: Mutex<BTreeMap<[u8; 32], Digest>>,
}

impl SameEpoch {
    fn pair(&self, stored: &Bytes, seen: &Bytes) {
        lock(&self.seen).insert(Digest::of(stored).0, seen.clone());
        lock(&self.stored).insert(Digest::of(seen).0, Digest::of(stored));
    }
}

impl Between for SameEpoch {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let body = Bytes::from(body.concat());
        if !is_manifest(key) {
            return store.create(key, &[body]);
        }
        let mut manifest = Manifest::decode(&body).unwrap().partial().clone();
        let known = lock(&self.stored).get(&manifest.predecessor.0).copied();
        manifest.predecessor = known.unwrap_or(manifest.predecessor);
        let stored = Bytes::from(manifest.encode());
        self.pair(&stored, &body);
        store.create(key, &[stored])
    }

    fn read(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        let stored = store.read(key)?;
        if !is_manifest(key) {
            return Ok(stored);
        }
        let known = lock(&self.seen).get(&Digest::of(&stored).0).cloned();
        Ok(known.unwrap_or_else(|| {
            let mut manifest = Manifest::decode(&stored).unwrap().partial().clone();
            manifest.epoch = Epoch(manifest.epoch.0 - 1);
            let seen = Bytes::from(manifest.encode());
            self.pair(&stored, &seen);
            seen
        }))
    }
}

#[test]
fn an_epoch_that_is_not_raised_is_found_out() {
    let wrap = |store| wrapped(store, SameEpoch::default());
    found_out("epoch not raised", commits::race, wrap, WITHIN);
}

/// A segment behind the covered ones is deleted too, and with it what fences an agent that slept.
#[test]
fn a_last_segment_that_is_deleted_is_found_out() {
    let race = |seed, wrap| streams::race_with(seed, wrap, 1);
    found_out("last segment deleted", race, crate::nothing, WITHIN);
}
