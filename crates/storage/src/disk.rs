//! The seam to blocks: a disk of a known size that is read and written in place.

use std::fmt::Debug;

use crate::error::{DiskError, DiskErrorKind, DiskOperation};

/// A disk.
///
/// All methods may be called from many threads at once; what two overlapping writes leave is one or
/// the other, sector by sector.
pub trait Disk: Debug + Send + Sync {
    /// Bytes on the disk.
    fn size(&self) -> u64;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    ///
    /// `Range` where not all of the bytes are on the disk; `into` is left in any state.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError>;

    /// Writes `data` at `offset`. A crash before [`flush`](Disk::flush) may lose or tear it.
    ///
    /// # Errors
    ///
    /// `Range` where not all of the bytes are on the disk, and then nothing is written. After any
    /// other error each sector holds the old or the new content.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError>;

    /// Fills `len` bytes at `offset` with zeroes, as a hole where the disk can have one. A crash
    /// before [`flush`](Disk::flush) may lose or tear it.
    ///
    /// # Errors
    ///
    /// Those of [`write_at`](Disk::write_at).
    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError>;

    /// Makes every write and zero that returned before the call durable.
    ///
    /// # Errors
    ///
    /// `NotDurable` where it failed: nothing since the last flush may be trusted, and to flush again
    /// does not help.
    fn flush(&self) -> Result<(), DiskError>;

    /// What tells this disk and its content from another: see [`Stamp`].
    ///
    /// # Errors
    ///
    /// Whatever the disk reports.
    fn stamp(&self) -> Result<Stamp, DiskError> {
        Ok(Stamp::default())
    }

    /// Makes reads that follow come from the disk and not from memory that may not be on it, as after
    /// a flush that failed in another life.
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Disk::flush).
    fn forget_memory(&self) -> Result<(), DiskError> {
        self.flush()
    }

    /// Writes `pieces` one behind the other from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of [`write_at`](Disk::write_at).
    fn write_all_at(&self, offset: u64, pieces: &[&[u8]]) -> Result<(), DiskError> {
        // Checked as a whole first, so that a range error has written nothing.
        let total: u64 = pieces.iter().map(|piece| length(piece)).sum();
        if !fits(offset, total, self.size()) {
            return Err(
                DiskError::new(DiskOperation::Write, "the disk", DiskErrorKind::Range)
                    .at(offset, total),
            );
        }
        let mut at = offset;
        for piece in pieces {
            self.write_at(at, piece)?;
            at += length(piece);
        }
        Ok(())
    }
}

/// What a disk was when somebody knew its content. Where it is the same later, nobody else has
/// written it; where it differs, somebody may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Which file it is. A device has another one in every process, since nothing tells whether it was
    /// written in between.
    pub file: u64,
    /// Its size and the time of its last change, mixed.
    pub content: u64,
}

/// Whether `len` bytes at `offset` are all on a disk of `size` bytes.
pub(crate) fn fits(offset: u64, len: u64, size: u64) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= size)
}

/// The length of `data` in the width of disks and objects.
pub(crate) fn length(data: &[u8]) -> u64 {
    count(data.len())
}

/// A number of bytes in memory in the width of disks and objects.
pub(crate) fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("usize is at most 64 bits")
}
