//! A disk in a raw file or on a block device.

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::OFlags;

use crate::{
    disk::{Disk, Stamp},
    draft_file::{parent_of, sync_dir},
    error::{DiskError, DiskErrorKind, DiskOperation},
    nonce::Nonces,
    raw_file::RawFile,
};

/// A raw file or a block device, read and written in place.
///
/// After a flush that failed it takes no write and no flush any more: what the system lost then, a
/// second flush does not bring back.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    raw: RawFile,
    size: AtomicU64,
}

impl FileDisk {
    /// Opens an existing raw file or block device.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, and whatever the system reports.
    ///
    /// A block device that is written must not be mounted: it is opened for this process alone.
    #[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
    pub fn open(path: &Path, writable: bool) -> Result<FileDisk, DiskError> {
        let raw = RawFile::new(path.display().to_string(), writable);
        let mut options = OpenOptions::new();
        options.read(true).write(writable);
        let is_device = |found: Metadata| found.file_type().is_block_device();
        if writable && path.metadata().is_ok_and(is_device) {
            options.custom_flags(OFlags::EXCL.bits().cast_signed());
        }
        let opened = options.open(path);
        let measured = opened.and_then(|mut file| {
            // The metadata of a block device do not hold its size, its end does.
            let size = file.seek(SeekFrom::End(0))?;
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((file, size))
        });
        match measured {
            Ok((file, size)) => Ok(FileDisk {
                file,
                raw,
                size: AtomicU64::new(size),
            }),
            Err(error) => Err(raw.failed(DiskOperation::Open, error)),
        }
    }

    /// Makes a raw file full of zeroes, which survives the loss of power from here on.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken, and whatever the system reports. A file that was
    /// made before the error may stay.
    pub fn create_new(path: &Path, size: u64) -> Result<FileDisk, DiskError> {
        let raw = RawFile::new(path.display().to_string(), true);
        match create_durable(path, size) {
            Ok(file) => Ok(FileDisk {
                file,
                raw,
                size: AtomicU64::new(size),
            }),
            Err(error) => Err(raw.failed(DiskOperation::Create, error)),
        }
    }

    /// Keeps every other process that asks from locking the same file, until this disk is dropped.
    ///
    /// # Errors
    ///
    /// `Locked` where another process has it, and whatever the system reports.
    pub fn lock(&self) -> Result<(), DiskError> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                DiskError::new(DiskOperation::Open, self.raw.name(), DiskErrorKind::Locked)
            }
            TryLockError::Error(error) => self.raw.failed(DiskOperation::Open, error),
        })
    }

    /// Makes the raw file larger, with zeroes, or smaller. Durable after the next flush.
    ///
    /// # Errors
    ///
    /// Whatever the system reports; a block device keeps its size.
    pub fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.raw.check_writable(DiskOperation::Resize)?;
        let resized = self.file.set_len(size);
        resized.map_err(|error| self.raw.failed(DiskOperation::Resize, error))?;
        self.size.store(size, Ordering::Release);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
fn create_durable(path: &Path, size: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(path)?;
    file.set_len(size)?;
    file.sync_all()?;
    sync_dir(parent_of(path))?;
    Ok(file)
}

/// Unlike that of any other process.
fn process_stamp() -> u64 {
    static STAMP: OnceLock<u64> = OnceLock::new();
    *STAMP.get_or_init(|| {
        let [a, b, c, d, e, f, g, h, ..] = Nonces::from_os().next();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    })
}

impl Disk for FileDisk {
    fn stamp(&self) -> Result<Stamp, DiskError> {
        let found = self.file.metadata();
        let found = found.map_err(|error| self.raw.failed(DiskOperation::Read, error))?;
        if !found.is_file() {
            let file = process_stamp() ^ found.rdev();
            return Ok(Stamp { file, content: 0 });
        }
        // The time of the last change of anything, which no tool can put back. Seconds and nanoseconds
        // in one number: their sum is as good as any other mix.
        let second = found.ctime().cast_unsigned().wrapping_mul(1_000_000_000);
        let changed = second.wrapping_add(found.ctime_nsec().cast_unsigned());
        Ok(Stamp {
            file: found.ino(),
            content: changed ^ found.size().rotate_left(24),
        })
    }

    fn forget_memory(&self) -> Result<(), DiskError> {
        self.flush()?;
        let dropped = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        dropped.map_err(|error| self.raw.failed(DiskOperation::Read, error.into()))
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.raw.read_at(&self.file, self.size(), offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.write_all_at(offset, &[data])
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.raw.zero_at(&self.file, self.size(), offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.raw.flush(&self.file)
    }

    fn write_all_at(&self, offset: u64, pieces: &[&[u8]]) -> Result<(), DiskError> {
        self.raw
            .write_all_at(&self.file, self.size(), offset, pieces)
    }
}
