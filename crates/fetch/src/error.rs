//! What can go wrong when a frame is fetched.

use std::fmt;

use afterimage_changelog::{DecodeError, OpenError};
use afterimage_storage::StoreError;

/// A frame or an index could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", prefix(.place, .kind))]
pub struct FetchError {
    /// The object.
    pub place: String,
    /// What was wrong.
    #[source]
    pub kind: FetchErrorKind,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
pub enum FetchErrorKind {
    /// The store failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The object's bytes are not what they should be.
    #[error("{0}")]
    Corrupt(#[source] DecodeError),
}

/// Errors of the layer below name their place themselves.
fn prefix(place: &str, kind: &FetchErrorKind) -> String {
    match kind {
        FetchErrorKind::Store(_) => String::new(),
        _ => format!("{place}: "),
    }
}

impl FetchError {
    /// The store failed.
    #[must_use]
    pub fn store(error: StoreError) -> FetchError {
        FetchError {
            place: error.key.clone(),
            kind: FetchErrorKind::Store(error),
        }
    }

    /// The object at `place` is damaged.
    #[must_use]
    pub fn corrupt(place: &(impl fmt::Display + ?Sized), error: DecodeError) -> FetchError {
        FetchError {
            place: place.to_string(),
            kind: FetchErrorKind::Corrupt(error),
        }
    }

    /// The object at `place` could not be opened.
    #[must_use]
    pub fn open(place: &(impl fmt::Display + ?Sized), error: OpenError<StoreError>) -> FetchError {
        match error {
            OpenError::Fetch(error) => FetchError::store(error),
            OpenError::Decode(error) => FetchError::corrupt(place, error),
        }
    }
}
