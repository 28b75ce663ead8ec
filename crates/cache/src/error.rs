//! What can go wrong with the cache.

use std::fmt;

use afterimage_changelog::{DecodeError, OpenError};
use afterimage_storage::{Key, StoreError};

/// A stream could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", prefix(.place, .kind))]
pub struct CacheError {
    /// The segment or stream.
    pub place: String,
    /// What was wrong.
    #[source]
    pub kind: CacheErrorKind,
}

/// What was wrong with a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheErrorKind {
    /// The store failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The segment's bytes are not what they should be.
    #[error("{0}")]
    Corrupt(#[source] DecodeError),
    /// The segment is intact but belongs elsewhere.
    #[error("the segment is intact but belongs to {0}; someone moved or copied it here")]
    Misplaced(String),
    /// Records are missing.
    #[error("{0}")]
    Gap(String),
    /// Another writer has taken the stream over.
    #[error("another writer has taken this stream over; stop this one")]
    Fenced,
    /// A write that no disk of the stream can hold.
    #[error("{0}")]
    Invalid(String),
}

/// Errors of the layer below name their place themselves.
fn prefix(place: &str, kind: &CacheErrorKind) -> String {
    match kind {
        CacheErrorKind::Store(_) => String::new(),
        _ => format!("{place}: "),
    }
}

impl CacheError {
    pub(crate) fn new(place: &(impl fmt::Display + ?Sized), kind: CacheErrorKind) -> CacheError {
        CacheError {
            place: place.to_string(),
            kind,
        }
    }

    pub(crate) fn store(error: StoreError) -> CacheError {
        CacheError {
            place: error.key.clone(),
            kind: CacheErrorKind::Store(error),
        }
    }

    pub(crate) fn corrupt(key: &Key, error: DecodeError) -> CacheError {
        CacheError::new(key, CacheErrorKind::Corrupt(error))
    }

    pub(crate) fn open(key: &Key, error: OpenError<StoreError>) -> CacheError {
        match error {
            OpenError::Fetch(error) => CacheError::store(error),
            OpenError::Decode(error) => CacheError::corrupt(key, error),
        }
    }
}
