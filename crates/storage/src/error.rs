//! What can go wrong at the two seams.

use std::{error, fmt, io};

/// The cause below a [`StoreError`] or a [`DiskError`].
pub type Cause = Box<dyn error::Error + Send + Sync>;

/// A store could not do what it was asked.
#[derive(Debug)]
pub struct StoreError {
    /// What was asked.
    pub operation: Operation,
    /// The object or prefix it was asked of.
    pub key: String,
    /// What was wrong.
    pub kind: StoreErrorKind,
    /// Whether it may have happened all the same.
    pub effect: Effect,
    /// What the layer below reported.
    pub source: Option<Cause>,
}

/// What a store was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reach the store.
    Open,
    /// Create an object, at once or by an upload.
    Create,
    /// Read an object or a part of it.
    Read,
    /// Learn the size of an object.
    Size,
    /// List the objects under a prefix.
    List,
    /// Delete an object.
    Delete,
    /// Make what is visible durable.
    Settle,
}

/// What was wrong with a store operation; says what the caller can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No object has this name.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// There is no room left (ENOSPC, EDQUOT); it may work once there is.
    Full,
    /// The store does not let us.
    Denied,
    /// There is no such bucket or container.
    NoStore,
    /// The store did not answer or failed; it may work another time.
    Unavailable,
    /// The asked range reaches beyond the end of the object.
    Range,
    /// A sync failed: what was written may be lost although it can be read. Fatal to a writer.
    NotDurable,
}

/// Whether an operation that failed may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It did not happen and will not.
    None,
    /// It may have happened, or may happen later: read back before deciding anything.
    Unknown,
}

impl StoreError {
    /// An error without effect and without a cause below it.
    #[must_use]
    pub fn new(operation: Operation, key: impl fmt::Display, kind: StoreErrorKind) -> StoreError {
        StoreError {
            operation,
            key: key.to_string(),
            kind,
            effect: Effect::None,
            source: None,
        }
    }

    /// The same error, with what it may have done.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> StoreError {
        self.effect = effect;
        self
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Cause>) -> StoreError {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.operation {
            Operation::Open => "open",
            Operation::Create => "create",
            Operation::Read => "read",
            Operation::Size => "learn the size of",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Settle => "settle",
        };
        let kind = match self.kind {
            StoreErrorKind::NotFound => "it does not exist",
            StoreErrorKind::AlreadyExists => "it exists already",
            StoreErrorKind::Full => "the store is full",
            StoreErrorKind::Denied => "the store denies it",
            StoreErrorKind::NoStore => "there is no such bucket or container",
            StoreErrorKind::Unavailable => "the store is not available",
            StoreErrorKind::Range => "the range reaches beyond its end",
            StoreErrorKind::NotDurable => "a sync failed, so it may not be durable",
        };
        write!(f, "cannot {verb} {}: {kind}", self.key)?;
        match self.effect {
            Effect::None => Ok(()),
            Effect::Unknown => f.write_str(" (it may have taken effect)"),
        }
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        source_of(self.source.as_ref())
    }
}

/// A disk could not do what it was asked.
#[derive(Debug)]
pub struct DiskError {
    /// What was asked.
    pub operation: DiskOperation,
    /// The path or name of the disk.
    pub name: String,
    /// First byte asked for; 0 where the operation is about the whole disk.
    pub offset: u64,
    /// Bytes asked for; 0 where the operation is about the whole disk.
    pub len: u64,
    /// What was wrong.
    pub kind: DiskErrorKind,
    /// What the layer below reported.
    pub source: Option<Cause>,
}

/// What a disk was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskOperation {
    /// Open an existing disk.
    Open,
    /// Create a disk, or give a drafted one its name.
    Create,
    /// Read bytes.
    Read,
    /// Write bytes.
    Write,
    /// Fill bytes with zeroes.
    Zero,
    /// Make what was written durable.
    Flush,
    /// Change the size.
    Resize,
}

/// What was wrong with a disk operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskErrorKind {
    /// There is no such file or device.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// There is no room left (ENOSPC, EDQUOT); it may work once there is.
    Full,
    /// The disk failed.
    Io,
    /// The bytes asked for are not all on the disk.
    Range,
    /// A flush failed: what was written before it may be lost. Fatal to a writer.
    NotDurable,
    /// The disk was opened for reading.
    ReadOnly,
    /// Another process has locked it, or it is mounted.
    Locked,
    /// The system does not allow it, or it is no file.
    Denied,
}

impl DiskError {
    /// An error about the whole disk, without a cause below it.
    #[must_use]
    pub fn new(
        operation: DiskOperation,
        name: impl Into<String>,
        kind: DiskErrorKind,
    ) -> DiskError {
        DiskError {
            operation,
            name: name.into(),
            offset: 0,
            len: 0,
            kind,
            source: None,
        }
    }

    /// An error of the operating system about the whole disk.
    pub(crate) fn from_io(operation: DiskOperation, name: &str, error: io::Error) -> DiskError {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => DiskErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => DiskErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::Full,
            io::ErrorKind::ResourceBusy => DiskErrorKind::Locked,
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => DiskErrorKind::Denied,
            _ => DiskErrorKind::Io,
        };
        DiskError::new(operation, name, kind).with_source(error)
    }

    /// The same error, with the bytes it is about.
    #[must_use]
    pub fn at(mut self, offset: u64, len: u64) -> DiskError {
        self.offset = offset;
        self.len = len;
        self
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Cause>) -> DiskError {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.operation {
            DiskOperation::Open => "open",
            DiskOperation::Create => "create",
            DiskOperation::Read => "read",
            DiskOperation::Write => "write",
            DiskOperation::Zero => "zero",
            DiskOperation::Flush => "flush",
            DiskOperation::Resize => "resize",
        };
        let kind = match self.kind {
            DiskErrorKind::NotFound => "it does not exist",
            DiskErrorKind::AlreadyExists => "it exists already",
            DiskErrorKind::Locked => "another process is using it",
            DiskErrorKind::Denied => "the system does not allow it",
            DiskErrorKind::Full => "there is no room left",
            DiskErrorKind::Io => "the disk failed",
            DiskErrorKind::Range => "the range is not on the disk",
            DiskErrorKind::NotDurable => "a flush failed, so earlier writes may be lost",
            DiskErrorKind::ReadOnly => "the disk is open for reading only",
        };
        match self.operation {
            DiskOperation::Read | DiskOperation::Write | DiskOperation::Zero => write!(
                f,
                "cannot {verb} {} bytes at {} of {}: {kind}",
                self.len, self.offset, self.name
            ),
            _ => write!(f, "cannot {verb} {}: {kind}", self.name),
        }
    }
}

impl error::Error for DiskError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        source_of(self.source.as_ref())
    }
}

fn source_of(cause: Option<&Cause>) -> Option<&(dyn error::Error + 'static)> {
    cause.map(|cause| {
        let cause: &(dyn error::Error + 'static) = cause.as_ref();
        cause
    })
}
