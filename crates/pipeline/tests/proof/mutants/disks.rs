//! Flushes that do nothing, and writes that come in another order.

use std::sync::{Arc, Mutex};

use afterimage::storage::{Disk, DiskError};

use super::{Sweep, killed};
use crate::support::{DiskPair, Wraps};

/// A disk whose flush does nothing and says it did.
#[derive(Debug)]
struct Unflushed(Arc<dyn Disk>);

impl Disk for Unflushed {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.0.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.0.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.0.zero_at(offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// What a disk was given and has not written yet.
#[derive(Debug, Default)]
struct Held(Mutex<Vec<(u64, Vec<u8>)>>);

/// A disk that keeps writes back; its flush does nothing.
#[derive(Debug)]
struct HeldBack {
    disk: Arc<dyn Disk>,
    held: Arc<Held>,
}

impl HeldBack {
    fn release(&self) -> Result<(), DiskError> {
        for (offset, data) in std::mem::take(&mut *self.held.0.lock().unwrap()) {
            self.disk.write_at(offset, &data)?;
        }
        Ok(())
    }
}

impl Disk for HeldBack {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.release()?;
        self.disk.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let mut held = self.held.0.lock().unwrap();
        held.push((offset, data.to_vec()));
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.write_at(offset, &vec![0; usize::try_from(len).unwrap()])
    }

    fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A record whose flush lets the writes go that its disk has kept back.
#[derive(Debug)]
struct Releasing {
    record: Arc<dyn Disk>,
    data: HeldBack,
}

impl Disk for Releasing {
    fn size(&self) -> u64 {
        self.record.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.record.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.record.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.record.zero_at(offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.record.flush()?;
        self.data.release()?;
        self.data.disk.flush()
    }
}

/// A record that is always written to the first slot, over the one that counts.
#[derive(Debug)]
struct FirstSlot(Arc<dyn Disk>);

impl Disk for FirstSlot {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.0.read_at(offset, into)
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.0.write_at(0, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.0.zero_at(offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.0.flush()
    }
}

#[test]
fn a_replica_disk_that_is_not_flushed_is_noticed() {
    let replica = |pair: DiskPair| DiskPair {
        data: Arc::new(Unflushed(pair.data)),
        ..pair
    };
    killed(
        "replica data not flushed",
        Sweep::Crashes,
        Wraps {
            replica,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_replica_record_that_is_not_flushed_is_noticed() {
    let replica = |pair: DiskPair| DiskPair {
        record: Arc::new(Unflushed(pair.record)),
        ..pair
    };
    killed(
        "replica record not flushed",
        Sweep::Crashes,
        Wraps {
            replica,
            ..Wraps::NONE
        },
    );
}

#[test]
fn progress_before_the_data_is_noticed() {
    let replica = |DiskPair { data, record }: DiskPair| {
        let held = Arc::new(Held::default());
        let held_back = || HeldBack {
            disk: Arc::clone(&data),
            held: Arc::clone(&held),
        };
        DiskPair {
            record: Arc::new(Releasing {
                record,
                data: held_back(),
            }),
            data: Arc::new(held_back()),
        }
    };
    killed(
        "progress before data",
        Sweep::Crashes,
        Wraps {
            replica,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_record_over_the_one_that_counts_is_noticed() {
    let replica = |pair: DiskPair| DiskPair {
        record: Arc::new(FirstSlot(pair.record)),
        ..pair
    };
    killed(
        "first slot only",
        Sweep::Crashes,
        Wraps {
            replica,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_restored_disk_that_gets_its_name_before_it_is_flushed_is_noticed() {
    let draft = |disk| -> Arc<dyn Disk> { Arc::new(Unflushed(disk)) };
    killed(
        "restored disk not flushed",
        Sweep::Crashes,
        Wraps {
            draft,
            ..Wraps::NONE
        },
    );
}
