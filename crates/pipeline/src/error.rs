//! One kind of error for operators: it says what to do.

use std::{error, fmt};

use afterimage_cache::{CacheError, CacheErrorKind};
use afterimage_fetch::{FetchError, FetchErrorKind};
use afterimage_recovery::{RecoveryError, RecoveryErrorKind};
use afterimage_storage::{DiskError, DiskErrorKind, StoreError, StoreErrorKind};
use afterimage_target::{TargetError, TargetErrorKind};

/// What an operator does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fix the call: a flag, a name, a point that is not there.
    Invalid,
    /// Try again, or make room: the store did not answer or is full.
    Unavailable,
    /// Resynchronise: records are missing, so order was lost. Older points stay usable.
    Gap,
    /// Fetch another copy and keep this one: an object is damaged or is another one.
    Corrupt,
    /// Look at the disk that is written.
    Target,
    /// Stop this worker: another one owns the group or stream.
    Fenced,
    /// Do it again: it was told to stop before it was done.
    Stopped,
}

impl ErrorKind {
    /// The exit code of the command line for errors of this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Invalid => 2,
            ErrorKind::Unavailable => 3,
            ErrorKind::Gap => 4,
            ErrorKind::Corrupt => 5,
            ErrorKind::Target => 6,
            ErrorKind::Fenced => 7,
            ErrorKind::Stopped => 130,
        }
    }

    /// The word that people and JSON see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Gap => "gap",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Target => "target",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Stopped => "stopped",
        }
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "correct the call",
            ErrorKind::Unavailable => "nothing is lost; try again, or make room",
            ErrorKind::Gap => "points made before stay usable; begin a new group from a fresh copy",
            ErrorKind::Corrupt => "keep the object and fetch another copy of it",
            ErrorKind::Target => "look at the disk that was being written",
            ErrorKind::Fenced => "stop this worker; another one goes on",
            ErrorKind::Stopped => "nothing is wrong; run the same command again to finish",
        }
    }
}

/// An error of the facade.
#[expect(
    clippy::error_impl_error,
    reason = "the one error of the facade, `afterimage::Error`"
)]
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A call that cannot be carried out as it is.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::Invalid,
            message: message.into(),
            source: None,
        }
    }

    /// The same error once more, without its causes.
    pub(crate) fn again(&self) -> Error {
        let cause = self
            .cause()
            .map_or(String::new(), |cause| format!(" ({cause})"));
        Error {
            kind: self.kind,
            message: format!("{}{cause}", self.message),
            source: None,
        }
    }

    /// An object is damaged or another one.
    pub(crate) fn corrupt(message: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::Corrupt,
            ..Error::invalid(message)
        }
    }

    /// It is not known what came of it.
    pub(crate) fn unavailable(message: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::Unavailable,
            ..Error::invalid(message)
        }
    }

    /// Whoever was to do it has stopped.
    pub(crate) fn stopped(message: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::Stopped,
            ..Error::invalid(message)
        }
    }

    /// Another worker owns the group.
    pub(crate) fn fenced(message: String) -> Error {
        Error {
            kind: ErrorKind::Fenced,
            message,
            source: None,
        }
    }

    fn from_layer(kind: ErrorKind, error: impl error::Error + Send + Sync + 'static) -> Error {
        Error {
            kind,
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }

    /// The cause at the bottom, where it says more than the message.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        let mut below: Option<&(dyn error::Error + 'static)> = error::Error::source(self);
        let mut last = None;
        while let Some(error) = below {
            last = Some(error.to_string());
            below = error.source();
        }
        last.filter(|cause| !self.message.contains(cause.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn error::Error + 'static))
    }
}

/// A store that denies us or is not there is a call to fix; all else may pass.
fn kind_of_store(error: &StoreError) -> ErrorKind {
    match error.kind {
        StoreErrorKind::Denied | StoreErrorKind::NoStore => ErrorKind::Invalid,
        // The disk below failed to make durable what it was given: waiting does not mend that.
        StoreErrorKind::NotDurable => ErrorKind::Target,
        // An object that is named but not there, or shorter than its index says, is damage.
        StoreErrorKind::NotFound | StoreErrorKind::Range => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::from_layer(kind_of_store(&error), error)
    }
}

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Error {
        let kind = match &error.kind {
            CacheErrorKind::Store(error) => kind_of_store(error),
            CacheErrorKind::Corrupt(_) | CacheErrorKind::Misplaced(_) => ErrorKind::Corrupt,
            CacheErrorKind::Gap(_) => ErrorKind::Gap,
            CacheErrorKind::Fenced => ErrorKind::Fenced,
            _ => ErrorKind::Invalid,
        };
        Error::from_layer(kind, error)
    }
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Error {
        let kind = match &error.kind {
            FetchErrorKind::Store(error) => kind_of_store(error),
            FetchErrorKind::Corrupt(_) => ErrorKind::Corrupt,
        };
        Error::from_layer(kind, error)
    }
}

impl From<RecoveryError> for Error {
    fn from(error: RecoveryError) -> Error {
        let kind = match &error.kind {
            RecoveryErrorKind::Store(error) => kind_of_store(error),
            RecoveryErrorKind::Corrupt(_) | RecoveryErrorKind::Mismatch(_) => ErrorKind::Corrupt,
            RecoveryErrorKind::Fenced(_) => ErrorKind::Fenced,
            RecoveryErrorKind::InDoubt(_) | RecoveryErrorKind::Stale(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        };
        Error::from_layer(kind, error)
    }
}

impl From<TargetError> for Error {
    fn from(error: TargetError) -> Error {
        let kind = match &error.kind {
            TargetErrorKind::Store(error) => kind_of_store(error),
            TargetErrorKind::Corrupt(_) => ErrorKind::Corrupt,
            TargetErrorKind::Disk(error) => kind_of_disk(error),
            TargetErrorKind::Stopped => ErrorKind::Stopped,
            _ => ErrorKind::Target,
        };
        Error::from_layer(kind, error)
    }
}

/// A path that is not there, or is taken, is a call to fix; all else is the disk's.
const fn kind_of_disk(error: &DiskError) -> ErrorKind {
    match error.kind {
        DiskErrorKind::NotFound | DiskErrorKind::AlreadyExists | DiskErrorKind::Denied => {
            ErrorKind::Invalid
        }
        // Nothing was written; there is room some other time.
        DiskErrorKind::Full => ErrorKind::Unavailable,
        _ => ErrorKind::Target,
    }
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Error {
        Error::from_layer(kind_of_disk(&error), error)
    }
}
