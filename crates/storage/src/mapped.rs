//! Ranges of files as [`Bytes`], without a copy.

use std::{fs::File, io};

use bytes::Bytes;
use memmap2::MmapOptions;

/// Maps `len` bytes of `file` from `start` on; they are all in the file, and `len` is not zero.
///
/// Only the pages of the range are mapped, they are read in at once, and they are unmapped when the
/// last slice of them is dropped.
#[expect(unsafe_code, reason = "a file can only be mapped by an unsafe call")]
pub(crate) fn map(file: &File, start: u64, len: usize) -> io::Result<Bytes> {
    let mut options = MmapOptions::new();
    options.offset(start).len(len).populate();
    // SAFETY: a mapping must not change while it is borrowed. Objects are written before they get
    // their name, are never written or truncated after that, and a deleted one lives on until it is
    // unmapped. Somebody else with the rights of this process could still change a file below the
    // root; written bytes would then show here, which readers find by their digests, and a
    // truncation ends the process with SIGBUS instead of giving it wrong bytes.
    let mapping = unsafe { options.map(file)? };
    Ok(Bytes::from_owner(mapping))
}
