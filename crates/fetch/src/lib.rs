//! Frames of many objects, fetched in merged ranges and checked against their index before anyone
//! sees a byte of them.
//!
//! Ingest takes frames of segments this way, restores and replicas take frames of layers.

mod error;
mod run;

pub use error::{FetchError, FetchErrorKind};
pub use run::{FrameRef, Run, runs};

use std::{fmt::Debug, ops::Range};

use afterimage_changelog::{EncodedFrame, FrameEntry};
use afterimage_storage::StoreError;
use bytes::Bytes;

/// Objects whose frames can be fetched. The numbering of the objects is the source's own, and the
/// one that [`afterimage_coalesce::Extent::object`] uses.
pub trait FrameSource: Debug + Sync {
    /// The name of an object, for errors.
    fn name(&self, object: u32) -> String;

    /// The index entry of a frame.
    ///
    /// # Errors
    ///
    /// The index could not be read.
    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError>;

    /// Stored bytes of an object, as they are.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn read(&self, object: u32, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Fetches a frame and checks it.
    ///
    /// # Errors
    ///
    /// The store failed or the bytes are not the frame's.
    fn frame(&self, object: u32, frame: u32) -> Result<EncodedFrame, FetchError> {
        let entry = self.entry(object, frame)?;
        let stored = self
            .read(object, entry.offset..entry.end())
            .map_err(FetchError::store)?;
        entry
            .check(stored)
            .map_err(|error| FetchError::corrupt(&self.name(object), error))
    }
}
