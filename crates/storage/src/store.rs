//! The seam to objects: immutable bodies under create-only names.

use std::{fmt::Debug, ops::Range};

use bytes::Bytes;

use crate::{
    error::{StoreError, StoreErrorKind},
    key::Key,
    read_ahead::ReadAhead,
    remote::Requests,
};

/// A place that keeps immutable objects.
///
/// The words of this trait are the contract: the conformance suite of the testkit is written from
/// them, and every store passes it.
///
/// An object is created once, never changes, and may be deleted. All methods may be called from
/// many threads at once. An error says by its [`Effect`](crate::Effect) whether the operation may
/// have happened all the same.
pub trait Store: Debug + Send + Sync {
    /// Creates the object from the pieces of `body`, whole or not at all.
    ///
    /// On return it is visible and durable: it survives the loss of power. Of many creates of one
    /// name exactly one succeeds, and the object holds what that one wrote. Whether there may be
    /// both `a` and `a/b` is up to the store; nobody is to name objects so.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken, and then the object there is left as it was. It can
    /// be read, and is durable once the create of it has returned.
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError>;

    /// Begins a create whose length is not known yet.
    ///
    /// Nothing is visible under the name until [`Upload::finish`], which holds what
    /// [`create`](Store::create) does. The name is not reserved.
    ///
    /// # Errors
    ///
    /// Those of `create`; a name that is taken may be found only by `finish`.
    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError>;

    /// The whole object.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    fn read(&self, key: &Key) -> Result<Bytes, StoreError>;

    /// Exactly the bytes of `range`.
    ///
    /// An empty range inside the object or at its end gives no bytes.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no object, `Range` where the range ends before it starts or
    /// reaches beyond the end of the object.
    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// The last `bytes_max` bytes of the object, or all of a smaller one, and its size.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError>;

    /// The size of the object in bytes.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    fn size(&self, key: &Key) -> Result<u64, StoreError>;

    /// Whether there is an object of this name.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from answering.
    fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        match self.size(key) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The objects below `prefix/` at any depth, ascending by key, strictly after `after` where it
    /// is given, at most `limit` of them.
    ///
    /// An object named `prefix` is not below it, nor is one whose name only begins alike: `a/bc` is
    /// not below `a/b`. Where nothing is below, the list is empty. Every object that was created
    /// before the call and not deleted is seen; of two objects of which one is created before the
    /// other is deleted, at least one is, whatever happens during the call.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from answering; a prefix that does not exist is no error.
    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Deletes the object; it is no error where there is none.
    ///
    /// It need not be durable: the object may be there again after a crash.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from deleting.
    fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// Deletes objects, as [`delete`](Store::delete) does with one, with as few requests as the store
    /// takes. After an error some of them may be gone.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from deleting one of them.
    fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| self.delete(key))
    }

    /// Begins to fetch ranges that will be read soon, each once and about in this order; `None` where
    /// reading early gains nothing. It changes nothing that is read.
    fn read_ahead(&self, _wanted: &[(Key, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        None
    }

    /// What was asked of a server so far; `None` where nobody bills it.
    fn requests(&self) -> Option<Requests> {
        None
    }

    /// Whether each request is billed, and has to come back over a network before the next.
    fn is_billed(&self) -> bool {
        self.requests().is_some()
    }

    /// Makes durable every object that is visible below `prefix/` now.
    ///
    /// What another process created may be visible before it is durable, if that process died on
    /// its way; nothing found after a start is to be trusted before this returned. Does nothing
    /// where visible implies durable.
    ///
    /// # Errors
    ///
    /// `NotDurable` where a sync failed.
    fn settle(&self, prefix: &Key) -> Result<(), StoreError>;
}

/// An object on its way into a store.
///
/// Dropping it abandons it and leaves nothing under the name.
pub trait Upload: Debug + Send {
    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from taking them; the upload can only be dropped then.
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Creates the object from all that was written, with the promises of [`Store::create`].
    ///
    /// # Errors
    ///
    /// Those of [`Store::create`].
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// One object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
}

/// The end of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The size of the whole object in bytes.
    pub size: u64,
    /// Its last bytes.
    pub bytes: Bytes,
}

impl Tail {
    /// A range of the object, where all of it is in the tail.
    #[must_use]
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let len = u64::try_from(self.bytes.len()).ok()?;
        let tail_start = self.size.checked_sub(len)?;
        let start = range.start.checked_sub(tail_start)?;
        let is_within = range.start <= range.end && range.end <= self.size;
        let start = usize::try_from(start).ok()?;
        let end = usize::try_from(range.end.checked_sub(tail_start)?).ok()?;
        is_within.then(|| self.bytes.slice(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_gives_what_is_in_it() {
        let tail = Tail {
            size: 10,
            bytes: Bytes::from_static(b"6789"),
        };
        assert_eq!(tail.get(&(7..9)), Some(Bytes::from_static(b"78")));
        assert_eq!(tail.get(&(6..10)), Some(Bytes::from_static(b"6789")));
        assert_eq!(tail.get(&(10..10)), Some(Bytes::new()));
        for range in [5..7, 9..11, 0..3, 11..11] {
            assert_eq!(tail.get(&range), None);
        }
        #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
        let reversed = 9..7;
        assert_eq!(tail.get(&reversed), None);
    }
}
