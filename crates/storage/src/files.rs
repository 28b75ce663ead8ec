//! The seam below the local store: the few things it asks of a file system.
//!
//! It exists so that a simulated machine, which forgets what was not synced, can be put under the
//! real [`LocalStore`](crate::LocalStore).

use std::{fmt::Debug, io, path::Path};

use bytes::Bytes;

use crate::part::Part;

/// A file system, as far as the local store needs one.
///
/// A change of a directory (a directory made, a draft linked, a name unlinked) is visible at once
/// and durable after [`sync_dir`](Files::sync_dir) of that directory.
pub trait Files: Debug + Send + Sync {
    /// Makes the directory; the one above it exists.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken, by whatever it is.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in the directory durable.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports; names changed since the last success may be lost then.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Begins a file without a name, to be linked later into `dir` or below it.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>>;

    /// A part of a file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] where the part is not within the file. A symbolic link is
    /// refused, not followed.
    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents>;

    /// The size of a file in bytes.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    fn size(&self, path: &Path) -> io::Result<u64>;

    /// The files and directories in a directory, in any order. Others are left out.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// Removes the name of a file.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn unlink(&self, path: &Path) -> io::Result<()>;
}

/// A file that has no name yet. Dropped before it is linked, it is gone.
pub trait Draft: Debug + Send {
    /// Appends the pieces, one behind the other.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports; any part may have been appended then.
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports; what was written may be lost then, and to sync again does
    /// not help.
    fn sync(&mut self) -> io::Result<()>;

    /// Gives the file a name, once.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn link(&mut self, path: &Path) -> io::Result<()>;
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The size of the whole file.
    pub size: u64,
    /// The bytes asked for.
    pub bytes: Bytes,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory; a file otherwise.
    pub is_dir: bool,
}
