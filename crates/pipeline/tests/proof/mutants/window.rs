//! The any-write window with a step left out or in another order.

use std::sync::Mutex;

use afterimage::storage::{Key, Store, StoreError, Upload};
use bytes::Bytes;

use super::{Sweep, killed_at_target, rewritten::Rewritten};
use crate::support::hooked::{Hooks, hooked, is_manifest};

/// Segments are kept only when the next layer is written: the cache has let go of them by then.
#[derive(Debug, Default)]
struct KeptLate(Mutex<Vec<(Key, Vec<Bytes>)>>);

impl Hooks for KeptLate {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if key.as_str().contains("/kept/") {
            self.0.lock().unwrap().push((key.clone(), body.to_vec()));
            return Ok(());
        }
        if !is_manifest(key) {
            self.keep(store)?;
        }
        store.create(key, body)
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.keep(store)?;
        store.upload(key)
    }
}

impl KeptLate {
    fn keep(&self, store: &dyn Store) -> Result<(), StoreError> {
        let late = std::mem::take(&mut *self.0.lock().unwrap());
        late.iter()
            .try_for_each(|(key, body)| store.create(key, body))
    }
}

#[test]
fn segments_that_are_acknowledged_before_they_are_kept_are_noticed() {
    killed_at_target("acknowledged before kept", Sweep::Rewind, |target, _| {
        hooked(target, KeptLate::default())
    });
}

#[test]
fn segments_that_are_acknowledged_before_they_are_kept_are_noticed_with_threads() {
    let name = "acknowledged before kept, with threads";
    killed_at_target(name, Sweep::RewindThreads, |target, _| {
        hooked(target, KeptLate::default())
    });
}

#[test]
fn segments_that_are_trimmed_too_far_are_noticed() {
    killed_at_target("trimmed too far", Sweep::Rewind, |target, _| {
        let trim = Rewritten::by(|manifest| {
            for stream in &mut manifest.streams {
                stream.kept = stream.kept.saturating_sub(1).max(1);
            }
        });
        hooked(target, trim)
    });
}

#[test]
fn trimmed_segments_that_are_named_again_are_noticed() {
    killed_at_target("trimmed and named again", Sweep::Rewind, |target, _| {
        let name_all = Rewritten::by(|manifest| {
            for stream in &mut manifest.streams {
                stream.kept = stream.position.segment + 1;
            }
        });
        hooked(target, name_all)
    });
}
