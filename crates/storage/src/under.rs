//! A part of a store that is a store of its own.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    error::StoreError,
    key::Key,
    read_ahead::ReadAhead,
    store::{Entry, Store, Tail, Upload},
};

/// The objects below a prefix of another store, named without it.
#[derive(Clone, Debug)]
pub struct Under {
    store: Arc<dyn Store>,
    prefix: Key,
}

impl Under {
    /// The objects of `store` below `prefix/`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, prefix: Key) -> Under {
        Under { store, prefix }
    }

    /// The name of an object in the store around this one.
    ///
    /// # Panics
    ///
    /// With names that together have more parts than a key.
    #[must_use]
    pub fn outer(&self, key: &Key) -> Key {
        let name = format!("{}/{key}", self.prefix);
        Key::new(&name).expect("two keys make a key")
    }

    fn inner(&self, key: &Key) -> Option<Key> {
        let prefix = format!("{}/", self.prefix);
        Key::new(key.as_str().strip_prefix(&prefix)?).ok()
    }
}

impl Store for Under {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.store.create(&self.outer(key), body)
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(&self.outer(key))
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.store.read(&self.outer(key))
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.read_range(&self.outer(key), range)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        self.store.read_tail(&self.outer(key), bytes_max)
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.store.size(&self.outer(key))
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let after = after.map(|after| self.outer(after));
        let listed = self
            .store
            .list(&self.outer(prefix), after.as_ref(), limit)?;
        let entries = listed.into_iter();
        Ok(entries
            .filter_map(|Entry { key, size }| {
                let key = self.inner(&key)?;
                Some(Entry { key, size })
            })
            .collect())
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(&self.outer(key))
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        let keys: Vec<Key> = keys.iter().map(|key| self.outer(key)).collect();
        self.store.delete_all(&keys)
    }

    fn read_ahead(&self, wanted: &[(Key, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        let wanted = wanted.iter();
        let outer = wanted.map(|(key, range)| (self.outer(key), range.clone()));
        self.store.read_ahead(&outer.collect::<Vec<_>>())
    }

    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.store.settle(&self.outer(prefix))
    }
}
