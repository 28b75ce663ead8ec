//! A store in memory.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};

use crate::{
    disk::length,
    error::{Operation, StoreError, StoreErrorKind},
    key::Key,
    part::Part,
    store::{Entry, Store, Tail, Upload},
};

/// Objects in a map; gone with the process. Clones share the objects.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<Key, Bytes>>>,
}

impl MemoryStore {
    /// A store without objects.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Bytes>> {
        // A map insert or removal is whole or not at all, so what a panicking thread left is sound.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            let kind = StoreErrorKind::AlreadyExists;
            return Err(StoreError::new(Operation::Create, key, kind));
        }
        objects.insert(key.clone(), body);
        Ok(())
    }

    fn get(&self, operation: Operation, key: &Key) -> Result<Bytes, StoreError> {
        let object = self.objects().get(key).cloned();
        object.ok_or_else(|| StoreError::new(operation, key, StoreErrorKind::NotFound))
    }
}

impl Store for MemoryStore {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.insert(key, joined(body))
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(MemoryUpload {
            store: self.clone(),
            key: key.clone(),
            pieces: Vec::new(),
        }))
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.get(Operation::Read, key)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let body = self.get(Operation::Read, key)?;
        slice(key, &body, &Part::Range(range))
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        let body = self.get(Operation::Read, key)?;
        Ok(Tail {
            size: length(&body),
            bytes: slice(key, &body, &Part::Tail(bytes_max))?,
        })
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        Ok(length(&self.get(Operation::Size, key)?))
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        // Names between `prefix` and `prefix/` (such as `prefix-x`) are skipped one by one.
        let start = after.map_or(prefix, |after| after.max(prefix));
        let objects = self.objects();
        let from = objects.range((Bound::Excluded(start), Bound::Unbounded));
        Ok(from
            .take_while(|(key, _)| key.as_str().starts_with(prefix.as_str()))
            .filter(|(key, _)| key.is_under(prefix))
            .take(limit)
            .map(|(key, body)| Entry {
                key: key.clone(),
                size: length(body),
            })
            .collect())
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.objects().remove(key);
        Ok(())
    }

    fn settle(&self, _prefix: &Key) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Pieces kept until the upload is finished.
#[derive(Debug)]
struct MemoryUpload {
    store: MemoryStore,
    key: Key,
    pieces: Vec<Bytes>,
}

impl Upload for MemoryUpload {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.pieces.push(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.store.insert(&self.key, joined(&self.pieces))
    }
}

fn slice(key: &Key, body: &Bytes, part: &Part) -> Result<Bytes, StoreError> {
    let within = part.within(length(body)).and_then(|range| {
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?;
        Some(start..end)
    });
    within
        .map(|range| body.slice(range))
        .ok_or_else(|| StoreError::new(Operation::Read, key, StoreErrorKind::Range))
}

fn joined(pieces: &[Bytes]) -> Bytes {
    if let [only] = pieces {
        return only.clone();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}
