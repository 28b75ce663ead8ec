//! What can go wrong with recovery points.

use std::fmt;

use afterimage_changelog::{DecodeError, OpenError};
use afterimage_fetch::{FetchError, FetchErrorKind};
use afterimage_storage::StoreError;

/// A point could not be made, found or read.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", prefix(.place, .kind))]
pub struct RecoveryError {
    /// The object, or the group.
    pub place: String,
    /// What was wrong.
    #[source]
    pub kind: RecoveryErrorKind,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryErrorKind {
    /// The store failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// An object's bytes are not what they should be.
    #[error("{0}")]
    Corrupt(#[source] DecodeError),
    /// An object is intact but is not the one that the manifest names.
    #[error("{0}")]
    Mismatch(String),
    /// Another worker has taken the group over.
    #[error("{0}; another worker owns this group now, stop this one")]
    Fenced(String),
    /// It could not be learnt whether a commit happened.
    #[error("it could not be learnt whether manifest {0} was committed; start again to find out")]
    InDoubt(u64),
    /// What was decided on an older manifest does not fit the newest one.
    #[error("{0}; look at the points again")]
    Stale(String),
    /// There is no such point, or no such disk in it.
    #[error("{0}")]
    NoSuch(String),
    /// A limit of the format would be passed.
    #[error("{0}")]
    Limit(String),
}

/// Errors of the layer below name their place themselves.
fn prefix(place: &str, kind: &RecoveryErrorKind) -> String {
    match kind {
        RecoveryErrorKind::Store(_) => String::new(),
        _ => format!("{place}: "),
    }
}

impl RecoveryError {
    /// An error at `place`.
    #[must_use]
    pub fn new(place: &(impl fmt::Display + ?Sized), kind: RecoveryErrorKind) -> RecoveryError {
        RecoveryError {
            place: place.to_string(),
            kind,
        }
    }

    /// Whether an object was not there.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        match &self.kind {
            RecoveryErrorKind::Store(error) => {
                matches!(error.kind, afterimage_storage::StoreErrorKind::NotFound)
            }
            _ => false,
        }
    }

    pub(crate) fn store(error: StoreError) -> RecoveryError {
        RecoveryError {
            place: error.key.clone(),
            kind: RecoveryErrorKind::Store(error),
        }
    }

    pub(crate) fn corrupt(
        place: &(impl fmt::Display + ?Sized),
        error: DecodeError,
    ) -> RecoveryError {
        RecoveryError::new(place, RecoveryErrorKind::Corrupt(error))
    }

    pub(crate) fn open(
        place: &(impl fmt::Display + ?Sized),
        error: OpenError<StoreError>,
    ) -> RecoveryError {
        match error {
            OpenError::Fetch(error) => RecoveryError::store(error),
            OpenError::Decode(error) => RecoveryError::corrupt(place, error),
        }
    }
}

impl From<FetchError> for RecoveryError {
    fn from(error: FetchError) -> RecoveryError {
        let FetchError { place, kind } = error;
        let kind = match kind {
            FetchErrorKind::Store(error) => RecoveryErrorKind::Store(error),
            FetchErrorKind::Corrupt(error) => RecoveryErrorKind::Corrupt(error),
        };
        RecoveryError { place, kind }
    }
}
