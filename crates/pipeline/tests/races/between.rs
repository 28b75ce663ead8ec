//! What a mutant puts between a worker and the store.

use std::{fmt::Debug, ops::Range, sync::Arc};

use afterimage::storage::{Entry, Key, Operation, Store, StoreError, StoreErrorKind, Tail, Upload};
use bytes::Bytes;

/// A question to the store that a mutant may not want to hear the answer of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask<'a> {
    Size(&'a Key),
    List {
        prefix: &'a Key,
        after: Option<&'a Key>,
    },
}

/// What happens instead of a call; as it is, unless said otherwise.
pub(crate) trait Between: Debug + Send + Sync {
    /// Whether nothing is seen: a size is not found, a list is empty.
    fn hides(&self, _ask: Ask<'_>) -> bool {
        false
    }

    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        store.create(key, body)
    }

    /// What is read in place of the object.
    fn instead(&self, _key: &Key) -> Option<Bytes> {
        None
    }

    fn read(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        store.read(key)
    }
}

#[derive(Debug)]
struct Wrapped<B> {
    store: Arc<dyn Store>,
    between: B,
}

pub(crate) fn wrapped<B: Between + 'static>(store: Arc<dyn Store>, between: B) -> Arc<dyn Store> {
    Arc::new(Wrapped { store, between })
}

/// A store of which some is not seen.
pub(crate) fn blind(store: Arc<dyn Store>, hides: fn(Ask<'_>) -> bool) -> Arc<dyn Store> {
    wrapped(store, Blind(hides))
}

#[derive(Debug)]
struct Blind(fn(Ask<'_>) -> bool);

impl Between for Blind {
    fn hides(&self, ask: Ask<'_>) -> bool {
        (self.0)(ask)
    }
}

impl<B: Between> Store for Wrapped<B> {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.between.create(self.store.as_ref(), key, body)
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(key)
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        match self.between.instead(key) {
            Some(bytes) => Ok(bytes),
            None => self.between.read(self.store.as_ref(), key),
        }
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let narrow = |number: u64| usize::try_from(number).unwrap();
        match self.between.instead(key) {
            Some(bytes) => Ok(bytes.slice(narrow(range.start)..narrow(range.end))),
            None => self.store.read_range(key, range),
        }
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        let Some(bytes) = self.between.instead(key) else {
            return self.store.read_tail(key, bytes_max);
        };
        let keep = bytes.len().min(usize::try_from(bytes_max).unwrap());
        Ok(Tail {
            size: u64::try_from(bytes.len()).unwrap(),
            bytes: bytes.slice(bytes.len() - keep..),
        })
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        if self.between.hides(Ask::Size(key)) {
            let kind = StoreErrorKind::NotFound;
            return Err(StoreError::new(Operation::Size, key, kind));
        }
        self.store.size(key)
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        if self.between.hides(Ask::List { prefix, after }) {
            return Ok(Vec::new());
        }
        self.store.list(prefix, after, limit)
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(key)
    }

    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.store.settle(prefix)
    }
}
