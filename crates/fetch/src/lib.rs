//! Frames of many objects, fetched in merged ranges and checked against their index before anyone
//! sees a byte of them.
//!
//! Ingest takes frames of segments this way, restores and replicas take frames of layers.

mod ahead;
mod error;
mod run;

pub use ahead::Ahead;
pub use error::{FetchError, FetchErrorKind};
pub use run::{BILLED_RUN_BYTES_MAX, FrameRef, Run, batches, runs};

use std::{fmt::Debug, ops::Range};

use afterimage_changelog::{EncodedFrame, FrameEntry};
use afterimage_storage::{ReadAhead, StoreError};
use bytes::Bytes;

/// Objects whose frames can be fetched. The numbering of the objects is the source's own, and the
/// one that [`afterimage_coalesce::Extent::object`] uses. A frame lies in a *place*: the object
/// itself, unless that is an index over others.
pub trait FrameSource: Debug + Sync {
    /// The name of a place, for errors.
    fn name(&self, place: u32) -> String;

    /// The place of a frame that an object's index has this entry for.
    fn place(&self, object: u32, _entry: &FrameEntry) -> u32 {
        object
    }

    /// The index entry of a frame.
    ///
    /// # Errors
    ///
    /// The index could not be read.
    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError>;

    /// Stored bytes of a place, as they are.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn read(&self, place: u32, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Whether each request is billed and has to come back before its bytes are there: few large ones
    /// are better then, even where they fetch what nobody needs.
    fn is_billed(&self) -> bool {
        false
    }

    /// Begins to fetch stored bytes of places that will be read soon; `None` where that gains nothing.
    fn read_ahead(&self, _wanted: &[(u32, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        None
    }

    /// Fetches a frame and checks it.
    ///
    /// # Errors
    ///
    /// The store failed or the bytes are not the frame's.
    fn frame(&self, object: u32, frame: u32) -> Result<EncodedFrame, FetchError> {
        let entry = self.entry(object, frame)?;
        let place = self.place(object, &entry);
        let stored = self
            .read(place, entry.offset..entry.end())
            .map_err(FetchError::store)?;
        entry
            .check(stored)
            .map_err(|error| FetchError::corrupt(&self.name(place), error))
    }

    /// A frame that is needed.
    ///
    /// # Errors
    ///
    /// The index could not be read.
    fn needed(&self, object: u32, frame: u32) -> Result<FrameRef, FetchError> {
        let entry = self.entry(object, frame)?;
        Ok(FrameRef {
            object,
            frame,
            place: self.place(object, &entry),
            entry,
        })
    }
}
