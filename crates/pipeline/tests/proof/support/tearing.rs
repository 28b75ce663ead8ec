//! A disk that tears within a sector, which the simulated disks do not do by themselves.

use std::sync::Arc;

use afterimage::storage::{Disk, DiskError};

/// Bytes of a record up to its counter, before what it says.
const FRONT: usize = 32;

/// Writes the front of what it is given before the whole, so that a crash may leave only that.
/// Replicas' records are on such disks: they have to survive it.
#[derive(Debug)]
pub(crate) struct Tearing(pub(crate) Arc<dyn Disk>);

impl Disk for Tearing {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.0.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.0.write_at(offset, &data[..data.len().min(FRONT)])?;
        self.0.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.0.zero_at(offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.0.flush()
    }
}
