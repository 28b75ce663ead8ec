//! Reads and writes in place on an open file or block device: what the disks made of files share.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::FallocateFlags;

use crate::{
    disk::{fits, length},
    early_writeback::Scattered,
    error::{DiskError, DiskErrorKind, DiskOperation},
    vectored,
};

/// Zeroes written by one call where the file system has no call for it.
const ZEROES: &[u8] = &[0; 64 << 10];

/// What is known of an open file beside its size.
#[derive(Debug)]
pub(crate) struct RawFile {
    name: String,
    writable: bool,
    /// Set by the first flush that fails. A later one may succeed without having written what the
    /// first lost, so there is no later one.
    flush_failed: AtomicBool,
    written: Scattered,
}

impl RawFile {
    pub(crate) fn new(name: String, writable: bool) -> RawFile {
        RawFile {
            name,
            writable,
            flush_failed: AtomicBool::new(false),
            written: Scattered::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn failed(&self, operation: DiskOperation, error: io::Error) -> DiskError {
        DiskError::from_io(operation, &self.name, error)
    }

    pub(crate) fn read_at(
        &self,
        file: &File,
        size: u64,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), DiskError> {
        let len = length(into);
        self.check_range(DiskOperation::Read, offset, len, size)?;
        file.read_exact_at(into, offset)
            .map_err(|error| self.failed(DiskOperation::Read, error).at(offset, len))
    }

    pub(crate) fn write_all_at(
        &self,
        file: &File,
        size: u64,
        offset: u64,
        pieces: &[&[u8]],
    ) -> Result<(), DiskError> {
        let len = pieces.iter().map(|piece| length(piece)).sum();
        self.check_range(DiskOperation::Write, offset, len, size)?;
        self.check_writable(DiskOperation::Write)
            .map_err(|error| error.at(offset, len))?;
        let written = vectored::write_all(pieces, |before, slices| match slices {
            [only] => file.write_at(only, offset + before),
            several => Ok(rustix::io::pwritev(file, several, offset + before)?),
        });
        written.map_err(|error| self.failed(DiskOperation::Write, error).at(offset, len))?;
        self.written.wrote(file, &(offset..offset + len));
        Ok(())
    }

    /// Makes a hole; where the file cannot have one asks for zeroes, and writes them where that is
    /// not possible either (a device that only does it for whole blocks, a simple file system).
    pub(crate) fn zero_at(
        &self,
        file: &File,
        size: u64,
        offset: u64,
        len: u64,
    ) -> Result<(), DiskError> {
        self.check_range(DiskOperation::Zero, offset, len, size)?;
        self.check_writable(DiskOperation::Zero)
            .map_err(|error| error.at(offset, len))?;
        if len == 0 {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let zeroes = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        for ask in [hole, zeroes] {
            if rustix::fs::fallocate(file, ask, offset, len).is_ok() {
                return Ok(());
            }
        }
        write_zeroes(file, offset, len)
            .map_err(|error| self.failed(DiskOperation::Zero, error).at(offset, len))
    }

    pub(crate) fn flush(&self, file: &File) -> Result<(), DiskError> {
        let lost = || DiskError::new(DiskOperation::Flush, self.name(), DiskErrorKind::NotDurable);
        if self.flush_failed.load(Ordering::Acquire) {
            return Err(lost().with_source("a flush failed before, open the disk anew"));
        }
        file.sync_data().map_err(|error| {
            self.flush_failed.store(true, Ordering::Release);
            lost().with_source(error)
        })?;
        self.written.synced();
        Ok(())
    }

    pub(crate) fn check_writable(&self, operation: DiskOperation) -> Result<(), DiskError> {
        let refuse = |kind| Err(DiskError::new(operation, self.name(), kind));
        if !self.writable {
            return refuse(DiskErrorKind::ReadOnly);
        }
        if self.flush_failed.load(Ordering::Acquire) {
            return refuse(DiskErrorKind::NotDurable);
        }
        Ok(())
    }

    fn check_range(
        &self,
        operation: DiskOperation,
        offset: u64,
        len: u64,
        size: u64,
    ) -> Result<(), DiskError> {
        if fits(offset, len, size) {
            return Ok(());
        }
        let kind = DiskErrorKind::Range;
        Err(DiskError::new(operation, self.name(), kind).at(offset, len))
    }
}

fn write_zeroes(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let mut at = offset;
    let end = offset + len;
    while at < end {
        let take = length(ZEROES).min(end - at);
        let take = usize::try_from(take).expect("it is at most the length of a slice");
        let zeroes = ZEROES.get(..take).expect("it is at most the length");
        file.write_all_at(zeroes, at)?;
        at += length(zeroes);
    }
    Ok(())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests look at what is on the disk"
)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_are_written_exactly_where_no_hole_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![1; 200_000]).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        write_zeroes(&file, 100, 150_001).unwrap();
        let mut expected = vec![1; 200_000];
        expected[100..150_101].fill(0);
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
