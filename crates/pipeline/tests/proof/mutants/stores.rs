//! Objects in the wrong order, and outcomes that are guessed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use afterimage::{
    cache::{segment_key, segment_number},
    recovery::Manifest,
    storage::{Key, Operation, Store, StoreError, StoreErrorKind, Upload},
};
use bytes::Bytes;

use super::{Sweep, killed};
use crate::support::{
    Scenario, Wraps,
    hooked::{Hooks, hooked, is_manifest},
};

/// Layers get their names only after the next manifest.
#[derive(Debug, Default)]
struct ManifestFirst {
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

impl Hooks for ManifestFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        store.create(key, body)?;
        let finished = std::mem::take(&mut *self.finished.lock().unwrap());
        finished.into_iter().try_for_each(Upload::finish)
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(Late {
            upload: store.upload(key)?,
            finished: Arc::clone(&self.finished),
        }))
    }
}

#[test]
fn a_manifest_before_its_layers_is_noticed() {
    let target = |target, _| hooked(target, ManifestFirst::default());
    killed(
        "manifest before layers",
        Sweep::Crashes,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_manifest_before_its_layers_is_noticed_where_steps_overlap() {
    let target = |target, _| hooked(target, ManifestFirst::default());
    killed(
        "manifest before layers, overlapping",
        Sweep::Threads,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

/// Segments are deleted before the manifest that covers them is created.
#[derive(Debug)]
struct AcknowledgeFirst(Arc<dyn Store>);

impl Hooks for AcknowledgeFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let (group, stream) = (Scenario::group(), Scenario::stream());
        if is_manifest(key)
            && let Ok(manifest) = Manifest::decode(&body.concat())
            && let Some(position) = manifest.partial().position(&stream)
        {
            for number in 0..position.segment {
                drop(self.0.delete(&segment_key(&group, &stream, number)));
            }
        }
        store.create(key, body)
    }
}

#[test]
fn an_acknowledge_before_the_manifest_is_noticed() {
    let target = |target, cache| hooked(target, AcknowledgeFirst(cache));
    killed(
        "acknowledge before manifest",
        Sweep::Crashes,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

#[test]
fn an_acknowledge_before_the_manifest_is_noticed_where_steps_overlap() {
    let target = |target, cache| hooked(target, AcknowledgeFirst(cache));
    killed(
        "acknowledge before manifest, overlapping",
        Sweep::Threads,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

/// The segment behind the covered ones is deleted too, though records in it are not covered.
#[derive(Debug)]
struct OneTooFar;

impl Hooks for OneTooFar {
    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        store.delete(key)?;
        let next = segment_number(key).unwrap() + 1;
        store.delete(&segment_key(&Scenario::group(), &Scenario::stream(), next))
    }
}

#[test]
fn an_acknowledge_one_segment_too_far_is_noticed() {
    let cache = |cache| hooked(cache, OneTooFar);
    killed(
        "acknowledge one too far",
        Sweep::Crashes,
        Wraps {
            cache,
            ..Wraps::NONE
        },
    );
}

/// What is visible is believed without being made durable.
#[derive(Debug)]
struct Unsettled;

impl Hooks for Unsettled {
    fn settle(&self, _store: &dyn Store, _prefix: &Key) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn a_start_without_settling_is_noticed() {
    let cache = |cache| hooked(cache, Unsettled);
    let target = |target, _| hooked(target, Unsettled);
    killed(
        "no settle on start",
        Sweep::Crashes,
        Wraps {
            cache,
            target,
            ..Wraps::NONE
        },
    );
}

/// Reads of a manifest after a create in doubt say what the mutant wants to hear.
#[derive(Debug)]
struct Guess {
    /// Whether ours is taken for there, or for another's.
    won: bool,
    in_doubt: Mutex<BTreeMap<Key, Bytes>>,
}

impl Guess {
    fn new(won: bool) -> Guess {
        Guess {
            won,
            in_doubt: Mutex::default(),
        }
    }
}

impl Hooks for Guess {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let created = store.create(key, body);
        let is_taken = store.size(key).is_ok();
        if is_manifest(key) && created.is_err() && is_taken {
            let mut ours = body.concat();
            if !self.won {
                ours.push(0);
            }
            self.in_doubt
                .lock()
                .unwrap()
                .insert(key.clone(), ours.into());
        }
        created
    }

    fn read(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        match self.in_doubt.lock().unwrap().get(key) {
            Some(guess) => Ok(guess.clone()),
            None => store.read(key),
        }
    }
}

#[test]
fn a_taken_name_that_is_taken_for_lost_is_noticed() {
    let target = |target, _| hooked(target, Guess::new(false));
    killed(
        "taken for lost",
        Sweep::Faults,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_taken_name_that_is_taken_for_won_is_noticed() {
    let target = |target, _| hooked(target, Guess::new(true));
    killed(
        "taken for won",
        Sweep::TwoWorkers,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

/// Boundaries are not seen.
#[derive(Debug)]
struct Boundless;

impl Hooks for Boundless {
    fn hides(&self, prefix: &Key) -> bool {
        prefix.as_str().ends_with("/boundary")
    }
}

#[test]
fn a_boundary_that_is_not_looked_at_is_noticed() {
    let target = |target, _| hooked(target, Boundless);
    killed(
        "boundary ignored",
        Sweep::Paused,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

/// Claims to epochs are not seen.
#[derive(Debug)]
struct Unclaimed;

impl Hooks for Unclaimed {
    fn size(&self, store: &dyn Store, key: &Key) -> Result<u64, StoreError> {
        if key.as_str().contains("/epochs/") {
            let kind = StoreErrorKind::NotFound;
            return Err(StoreError::new(Operation::Size, key, kind));
        }
        store.size(key)
    }
}

#[test]
fn a_claim_that_is_not_looked_for_is_noticed() {
    let target = |target, _| hooked(target, Unclaimed);
    killed(
        "claim ignored",
        Sweep::Paused,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}

/// Whoever takes over claims nothing.
#[derive(Debug)]
struct Claimless;

impl Hooks for Claimless {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        match key.as_str().contains("/epochs/") {
            true => Ok(()),
            false => store.create(key, body),
        }
    }
}

#[test]
fn a_takeover_without_a_claim_is_noticed() {
    let target = |target, _| hooked(target, Claimless);
    killed(
        "no claim",
        Sweep::Paused,
        Wraps {
            target,
            ..Wraps::NONE
        },
    );
}
