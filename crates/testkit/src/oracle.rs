//! A disk too simple to be wrong, to compare others with.

use afterimage_storage::Disk;

use crate::{
    stamp::{STAMP_LEN, Stamp},
    workload::Write,
};

/// Bytes compared at a time.
const COMPARED_BYTES: usize = 64 << 10;

/// A plain array of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainDisk(Vec<u8>);

impl PlainDisk {
    /// A disk of `size` bytes, full of zeroes.
    ///
    /// # Panics
    ///
    /// Where so many bytes do not fit into memory.
    #[must_use]
    pub fn new(size: u64) -> PlainDisk {
        PlainDisk(vec![0; narrow(size)])
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Writes `data` at `offset`.
    ///
    /// # Panics
    ///
    /// Where it leaves the disk.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let start = narrow(offset);
        let target = self.0.get_mut(start..start + data.len());
        target
            .expect("a write stays on the disk")
            .copy_from_slice(data);
    }

    /// Fills `len` bytes at `offset` with zeroes.
    ///
    /// # Panics
    ///
    /// Where it leaves the disk.
    pub fn zero(&mut self, offset: u64, len: u64) {
        let start = narrow(offset);
        let target = self.0.get_mut(start..start + narrow(len));
        target.expect("a zero stays on the disk").fill(0);
    }

    /// Does what a write of a workload does, with the stamps of [`Write::body`].
    ///
    /// # Panics
    ///
    /// Where it leaves the disk.
    pub fn apply(&mut self, write: &Write, seed: u64, sequence: u64) {
        if write.zero {
            self.zero(write.offset, u64::from(write.len));
        } else {
            self.write(write.offset, &write.body(seed, sequence));
        }
    }

    /// Checks that `disk` holds the same bytes; `what` names it where it does not.
    ///
    /// # Panics
    ///
    /// Where it does not, with the first sector that differs and the writes both come from.
    pub fn assert_same(&self, disk: &dyn Disk, what: &str) {
        let size = u64::try_from(self.0.len()).expect("usize is at most 64 bits");
        assert_eq!(disk.size(), size, "the size of {what}");
        let mut found = vec![0; COMPARED_BYTES.min(self.0.len())];
        let mut offset = 0;
        for expected in self.0.chunks(COMPARED_BYTES) {
            let found = found
                .get_mut(..expected.len())
                .expect("a chunk is not larger");
            let read = disk.read_at(offset, found);
            read.unwrap_or_else(|error| panic!("reading {what} failed: {error}"));
            if let Some(difference) = difference(expected, found) {
                let sector = offset / 512 + difference.sector;
                panic!(
                    "sector {sector} of {what}: expected {}, found {}",
                    difference.expected, difference.found
                );
            }
            offset += u64::try_from(expected.len()).expect("usize is at most 64 bits");
        }
    }
}

impl From<Vec<u8>> for PlainDisk {
    fn from(bytes: Vec<u8>) -> PlainDisk {
        PlainDisk(bytes)
    }
}

/// The first sector in which two chunks differ, and what both hold there.
struct Difference {
    sector: u64,
    expected: String,
    found: String,
}

fn difference(expected: &[u8], found: &[u8]) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let sectors = expected.chunks(STAMP_LEN).zip(found.chunks(STAMP_LEN));
    let mut sectors = (0..).zip(sectors);
    let (sector, (expected, found)) = sectors.find(|(_, (expected, found))| expected != found)?;
    Some(Difference {
        sector,
        expected: Stamp::describe(expected),
        found: Stamp::describe(found),
    })
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).expect("a disk in memory fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::stamp;
    use afterimage_storage::MemoryDisk;

    #[test]
    #[should_panic(
        expected = "sector 3 of the replica: expected write 9 to sector 3 of disk 0 (seed 1), found write 8 to sector 3 of disk 0 (seed 1)"
    )]
    fn a_wrong_sector_names_both_writes() {
        let mut plain = PlainDisk::new(4096);
        plain.write(3 * 512, &stamp(1, 0, 3, 9));
        let disk = MemoryDisk::new(4096);
        disk.write_at(3 * 512, &stamp(1, 0, 3, 8)).unwrap();
        plain.assert_same(&disk, "the replica");
    }
}
