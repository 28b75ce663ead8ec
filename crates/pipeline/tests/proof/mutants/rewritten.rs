//! A target where manifests say something else than who commits them means. The chain stays whole,
//! and who commits reads back what it sent.

use std::{collections::BTreeMap, sync::Mutex};

use afterimage::{
    changelog::Digest,
    recovery::Manifest,
    storage::{Key, Store, StoreError},
};
use bytes::Bytes;

use crate::support::hooked::{Hooks, is_manifest};

#[derive(Debug)]
pub(super) struct Rewritten {
    rewrite: fn(&mut Manifest),
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was sent.
    sent: BTreeMap<Key, Bytes>,
    /// What is there, by the digest of what was sent.
    digests: BTreeMap<[u8; 32], Digest>,
}

impl Rewritten {
    pub(super) fn by(rewrite: fn(&mut Manifest)) -> Rewritten {
        Rewritten {
            rewrite,
            state: Mutex::default(),
        }
    }
}

impl Hooks for Rewritten {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if !is_manifest(key) {
            return store.create(key, body);
        }
        let mut state = self.state.lock().unwrap();
        let sent = Bytes::from(body.concat());
        let mut manifest = Manifest::decode(&sent).unwrap().partial().clone();
        if let Some(digest) = state.digests.get(&manifest.predecessor.0) {
            manifest.predecessor = *digest;
        }
        (self.rewrite)(&mut manifest);
        let there = manifest.encode();
        let digest = Digest::of(&there);
        store.create(key, &[there.into()])?;
        state.digests.insert(Digest::of(&sent).0, digest);
        state.sent.insert(key.clone(), sent);
        Ok(())
    }

    fn read(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        match self.state.lock().unwrap().sent.get(key) {
            Some(sent) => Ok(sent.clone()),
            None => store.read(key),
        }
    }
}
