//! A raw file that has no name until it is whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    disk::Disk,
    draft_file::{DraftFile, parent_of, sync_dir},
    error::{DiskError, DiskErrorKind, DiskOperation},
    raw_file::RawFile,
};

/// A disk that is written first and named at the end.
///
/// Dropped before it is published, it leaves nothing.
#[derive(Debug)]
pub struct DraftDisk {
    draft: DraftFile,
    raw: RawFile,
    path: PathBuf,
    size: u64,
}

impl DraftDisk {
    /// Begins a disk full of zeroes that is to become the file `path`.
    ///
    /// # Errors
    ///
    /// Whatever the system reports. A name that is taken is found by [`publish`](Self::publish).
    pub fn new(path: &Path, size: u64) -> Result<DraftDisk, DiskError> {
        let raw = RawFile::new(path.display().to_string(), true);
        let begun = DraftFile::create(parent_of(path)).and_then(|draft| {
            draft.file().set_len(size)?;
            Ok(draft)
        });
        match begun {
            Ok(draft) => Ok(DraftDisk {
                draft,
                raw,
                path: path.to_path_buf(),
                size,
            }),
            Err(error) => Err(raw.failed(DiskOperation::Create, error)),
        }
    }

    /// Gives the disk its name, durable on return.
    ///
    /// 1. syncs the content: a crash leaves what was there before;
    /// 2. links it under its name or, where it may `overwrite`, renames it over what has the name:
    ///    a crash leaves what was there before or the whole disk;
    /// 3. syncs the directory: from here on it stays.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken and may not be overwritten, `NotDurable` where a sync
    /// failed, and whatever the system reports.
    pub fn publish(self, overwrite: bool) -> Result<(), DiskError> {
        let DraftDisk {
            draft, raw, path, ..
        } = self;
        let not_durable = |error: io::Error| {
            let kind = DiskErrorKind::NotDurable;
            DiskError::new(DiskOperation::Create, raw.name(), kind).with_source(error)
        };
        raw.check_writable(DiskOperation::Create)?;
        draft.file().sync_all().map_err(not_durable)?;
        let named = if overwrite {
            draft.replace(&path)
        } else {
            draft.link(&path)
        };
        named.map_err(|error| raw.failed(DiskOperation::Create, error))?;
        sync_dir(parent_of(&path)).map_err(not_durable)
    }
}

impl Disk for DraftDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.raw.read_at(self.draft.file(), self.size, offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.write_all_at(offset, &[data])
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.raw.zero_at(self.draft.file(), self.size, offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.raw.flush(self.draft.file())
    }

    fn write_all_at(&self, offset: u64, pieces: &[&[u8]]) -> Result<(), DiskError> {
        self.raw
            .write_all_at(self.draft.file(), self.size, offset, pieces)
    }
}
