//! A disk in memory.

use std::{
    ops::Range,
    sync::{PoisonError, RwLock},
};

use crate::{
    disk::{Disk, fits, length},
    error::{DiskError, DiskErrorKind, DiskOperation},
};

/// A plain array of bytes; gone with the process.
#[derive(Debug)]
pub struct MemoryDisk {
    size: u64,
    content: RwLock<Vec<u8>>,
}

impl MemoryDisk {
    /// A disk of `size` bytes, full of zeroes.
    ///
    /// # Panics
    ///
    /// Where so many bytes do not fit into memory.
    #[must_use]
    pub fn new(size: u64) -> MemoryDisk {
        let len = usize::try_from(size).expect("a disk in memory fits into memory");
        MemoryDisk::from(vec![0; len])
    }

    /// A copy of all bytes.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.content
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn range(
        &self,
        operation: DiskOperation,
        offset: u64,
        len: u64,
    ) -> Result<Range<usize>, DiskError> {
        let error = || DiskError::new(operation, "memory", DiskErrorKind::Range).at(offset, len);
        if !fits(offset, len, self.size) {
            return Err(error());
        }
        let start = usize::try_from(offset).map_err(|_| error())?;
        let len = usize::try_from(len).map_err(|_| error())?;
        Ok(start..start + len)
    }

    fn change(&self, range: Range<usize>, change: impl FnOnce(&mut [u8])) {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        change(
            content
                .get_mut(range)
                .expect("the range was checked against the size"),
        );
    }
}

impl From<Vec<u8>> for MemoryDisk {
    fn from(content: Vec<u8>) -> MemoryDisk {
        MemoryDisk {
            size: length(&content),
            content: RwLock::new(content),
        }
    }
}

impl Disk for MemoryDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        let range = self.range(DiskOperation::Read, offset, length(into))?;
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        into.copy_from_slice(
            content
                .get(range)
                .expect("the range was checked against the size"),
        );
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let range = self.range(DiskOperation::Write, offset, length(data))?;
        self.change(range, |bytes| bytes.copy_from_slice(data));
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        let range = self.range(DiskOperation::Zero, offset, len)?;
        self.change(range, |bytes| bytes.fill(0));
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }
}
