//! What can go wrong when a disk is written.

use afterimage_changelog::DecodeError;
use afterimage_fetch::{FetchError, FetchErrorKind};
use afterimage_storage::{DiskError, StoreError};

/// A disk could not be brought to a point.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", prefix(.place, .kind))]
pub struct TargetError {
    /// The disk or the object.
    pub place: String,
    /// What was wrong.
    #[source]
    pub kind: TargetErrorKind,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetErrorKind {
    /// The disk failed.
    #[error("{0}")]
    Disk(#[source] DiskError),
    /// The store failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// A layer is damaged.
    #[error("{0}")]
    Corrupt(#[source] DecodeError),
    /// It was told to stop.
    #[error("stopped before it was done")]
    Stopped,
    /// The disk is not what it should be.
    #[error("{0}")]
    Unfit(String),
}

/// Errors of the layer below name their place themselves.
fn prefix(place: &str, kind: &TargetErrorKind) -> String {
    match kind {
        TargetErrorKind::Store(_) | TargetErrorKind::Disk(_) => String::new(),
        _ => format!("{place}: "),
    }
}

impl TargetError {
    /// The disk cannot be used as it is.
    #[must_use]
    pub fn unfit(place: String, what: String) -> TargetError {
        TargetError {
            place,
            kind: TargetErrorKind::Unfit(what),
        }
    }
}

impl From<DiskError> for TargetError {
    fn from(error: DiskError) -> TargetError {
        TargetError {
            place: error.name.clone(),
            kind: TargetErrorKind::Disk(error),
        }
    }
}

impl From<FetchError> for TargetError {
    fn from(error: FetchError) -> TargetError {
        let FetchError { place, kind } = error;
        let kind = match kind {
            FetchErrorKind::Store(error) => TargetErrorKind::Store(error),
            FetchErrorKind::Corrupt(error) => TargetErrorKind::Corrupt(error),
        };
        TargetError { place, kind }
    }
}
