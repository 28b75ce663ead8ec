//! A store with something between: whatever a test or a mutant wants to happen around a call.

use std::{fmt::Debug, ops::Range, sync::Arc};

use afterimage::storage::{Entry, Key, Store, StoreError, Tail, Upload};
use bytes::Bytes;

/// What happens instead of a call; as it is, unless said otherwise.
pub(crate) trait Hooks: Debug + Send + Sync {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        store.create(key, body)
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        store.upload(key)
    }

    fn read(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        store.read(key)
    }

    fn read_range(
        &self,
        store: &dyn Store,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        store.read_range(key, range)
    }

    fn size(&self, store: &dyn Store, key: &Key) -> Result<u64, StoreError> {
        store.size(key)
    }

    fn hides(&self, _prefix: &Key) -> bool {
        false
    }

    fn list(
        &self,
        store: &dyn Store,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        store.list(prefix, after, limit)
    }

    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        store.delete(key)
    }

    fn settle(&self, store: &dyn Store, prefix: &Key) -> Result<(), StoreError> {
        store.settle(prefix)
    }
}

#[derive(Debug)]
struct Hooked<H> {
    store: Arc<dyn Store>,
    hooks: H,
}

/// The store with the hooks between.
pub(crate) fn hooked<H: Hooks + 'static>(store: Arc<dyn Store>, hooks: H) -> Arc<dyn Store> {
    Arc::new(Hooked { store, hooks })
}

/// Whether an object of this name is a manifest.
pub(crate) fn is_manifest(key: &Key) -> bool {
    key.as_str().contains("/manifest/")
}

impl<H: Hooks> Store for Hooked<H> {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.hooks.create(self.store.as_ref(), key, body)
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.hooks.upload(self.store.as_ref(), key)
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.hooks.read(self.store.as_ref(), key)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.hooks.read_range(self.store.as_ref(), key, range)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        self.store.read_tail(key, bytes_max)
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.hooks.size(self.store.as_ref(), key)
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        if self.hooks.hides(prefix) {
            return Ok(Vec::new());
        }
        self.hooks.list(self.store.as_ref(), prefix, after, limit)
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.hooks.delete(self.store.as_ref(), key)
    }

    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.hooks.settle(self.store.as_ref(), prefix)
    }
}
