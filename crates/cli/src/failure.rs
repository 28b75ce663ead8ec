//! Why a command failed: a message, a cause, an exit code.

use afterimage::{
    Error, ErrorKind,
    cache::CacheError,
    storage::{DiskError, StoreError},
};
use afterimage_capture::ImportError;

use crate::inspect::InspectError;

/// A command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
            cause: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(ErrorKind::Invalid, message)
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            kind: error.kind(),
            message: error.to_string(),
            cause: error.cause(),
        }
    }
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Failure {
        Error::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Error::from(error).into()
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Failure {
        Error::from(error).into()
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Failure {
        match error {
            ImportError::Cache(error) => error.into(),
            ImportError::Entry { .. } => Failure::invalid(error.to_string()),
            _ => Failure::new(ErrorKind::Corrupt, error.to_string()),
        }
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Failure {
        Failure::new(error.kind(), error.to_string())
    }
}
