//! Whole indexes in memory, where each request to the store is billed and has to come back before the next.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use afterimage_changelog::{Container, length, size};
use afterimage_storage::{Key, Store, Tail};
use bytes::Bytes;

use crate::error::RecoveryError;

/// Bytes of the largest index that is kept whole.
const INDEX_BYTES_MAX: u64 = 16 << 20;
/// Bytes of all that are kept, of all readers of the process; beyond them pages are read one by one.
const KEPT_BYTES_MAX: u64 = 32 << 20;

/// Bytes that are kept now.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// The index of an object.
#[derive(Debug)]
pub(crate) struct Preloaded {
    start: u64,
    bytes: Bytes,
}

impl Preloaded {
    /// Takes an index out of the object's tail, or reads it with one request, where that is worth it and
    /// there is room.
    pub(crate) fn of(
        store: &dyn Store,
        key: &Key,
        container: &Container,
        tail: &Tail,
    ) -> Result<Option<Preloaded>, RecoveryError> {
        let range = container.index_range();
        let bytes = range.end.saturating_sub(range.start);
        if !store.is_billed() || bytes == 0 || bytes > INDEX_BYTES_MAX {
            return Ok(None);
        }
        if KEPT.fetch_add(bytes, Ordering::Relaxed) + bytes > KEPT_BYTES_MAX {
            KEPT.fetch_sub(bytes, Ordering::Relaxed);
            return Ok(None);
        }
        let read = match tail.get(&range) {
            // A copy, for the tail is larger.
            Some(bytes) => Ok(Bytes::copy_from_slice(&bytes)),
            None => store.read_range(key, range.clone()),
        };
        match read {
            Ok(read) => Ok(Some(Preloaded {
                start: range.start,
                bytes: read,
            })),
            Err(error) => {
                KEPT.fetch_sub(bytes, Ordering::Relaxed);
                Err(RecoveryError::store(error))
            }
        }
    }

    /// A part of the object, where it is in the index.
    pub(crate) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = range.start.checked_sub(self.start)?;
        let end = range.end.checked_sub(self.start)?;
        let is_within = start <= end && end <= length(&self.bytes);
        is_within.then(|| self.bytes.slice(size(start)..size(end)))
    }
}

impl Drop for Preloaded {
    fn drop(&mut self) {
        KEPT.fetch_sub(length(&self.bytes), Ordering::Relaxed);
    }
}
