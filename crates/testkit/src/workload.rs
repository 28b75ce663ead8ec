//! Writes as guests make them, from a seed.

use crate::{random::Random, stamp::stamp};

const SECTOR: u64 = 512;

/// One write of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The disk it goes to.
    pub disk: u16,
    /// The first byte; a multiple of 512.
    pub offset: u64,
    /// Bytes; a multiple of 512, not zero.
    pub len: u32,
    /// Whether it only fills with zeroes.
    pub zero: bool,
}

/// Kinds of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Large writes one behind the other, over and over.
    Sequential,
    /// Writes of all sizes everywhere, some of them zeroes, at any sector.
    Uniform,
    /// Nine of ten writes go to a hundredth of the disk.
    HotSpot,
    /// Small writes to a log that runs round, and between them pages, a few of which are hot.
    Database,
}

impl Workload {
    /// Every kind.
    pub const ALL: [Workload; 4] = [
        Workload::Sequential,
        Workload::Uniform,
        Workload::HotSpot,
        Workload::Database,
    ];

    /// The first `count` writes of a guest with `disks` disks of `size` bytes each.
    ///
    /// # Panics
    ///
    /// If there is no disk, or `size` is below 64 KiB or no multiple of 4 KiB.
    #[must_use]
    pub fn writes(self, seed: u64, disks: u16, size: u64, count: usize) -> Vec<Write> {
        assert!(disks > 0, "a guest has a disk");
        assert!(
            size >= 64 << 10 && size.is_multiple_of(4096),
            "{size} bytes are no disk"
        );
        let mut guest = Guest {
            random: Random::new(seed),
            disks,
            sectors: size / SECTOR,
            front: 0,
        };
        (0..count).map(|_| guest.write(self)).collect()
    }
}

impl Write {
    /// The bytes it writes: each sector stamped with its place and the number of the write.
    #[must_use]
    pub fn body(&self, seed: u64, sequence: u64) -> Vec<u8> {
        let sectors = u64::from(self.len) / SECTOR;
        let first = self.offset / SECTOR;
        let mut body = Vec::new();
        for sector in first..first + sectors {
            body.extend_from_slice(&stamp(seed, self.disk, sector, sequence));
        }
        body
    }
}

/// A guest at work.
struct Guest {
    random: Random,
    disks: u16,
    sectors: u64,
    /// Where the next write of a sequence or a log goes.
    front: u64,
}

impl Guest {
    fn write(&mut self, workload: Workload) -> Write {
        match workload {
            Workload::Sequential => self.sequential(),
            Workload::Uniform => self.uniform(),
            Workload::HotSpot => self.hot_spot(),
            Workload::Database => self.database(),
        }
    }

    fn sequential(&mut self) -> Write {
        self.next_in(0, self.sectors, 64, 0)
    }

    fn uniform(&mut self) -> Write {
        let disk = self.random.below(u64::from(self.disks));
        let first = self.random.below(self.sectors);
        let len = 1 + self.random.below(64);
        let zero = self.random.percent(10);
        self.make(disk, first, len, zero)
    }

    fn hot_spot(&mut self) -> Write {
        let hot = (self.sectors / 100).max(1);
        let disk = self.random.below(u64::from(self.disks));
        let first = if self.random.percent(90) {
            self.sectors / 3 + self.random.below(hot)
        } else {
            self.random.below(self.sectors)
        };
        let len = 1 + self.random.below(8);
        self.make(disk, first, len, false)
    }

    /// The log is the first eighth of the first disk; pages are 8 KiB, and half of the writes of
    /// pages go to 8 of them on each disk.
    fn database(&mut self) -> Write {
        const PAGE: u64 = 16;
        let log = self.sectors / 8;
        if self.random.percent(60) {
            let len = 1 + self.random.below(8);
            return self.next_in(0, log, len, 0);
        }
        let disk = self.random.below(u64::from(self.disks));
        let pages = (self.sectors - log) / PAGE;
        let page = if self.random.percent(50) {
            self.random.below(pages.min(8))
        } else {
            self.random.below(pages)
        };
        let zero = self.random.percent(2);
        self.make(disk, log + page * PAGE, PAGE, zero)
    }

    /// The next of a run of writes that goes round in `first..end`.
    fn next_in(&mut self, first: u64, end: u64, len: u64, disk: u64) -> Write {
        if self.front < first || self.front >= end {
            self.front = first;
        }
        let len = len.min(end - self.front);
        let write = self.make(disk, self.front, len, false);
        self.front += len;
        write
    }

    fn make(&self, disk: u64, first: u64, len: u64, zero: bool) -> Write {
        let len = len.min(self.sectors - first) * SECTOR;
        Write {
            disk: u16::try_from(disk).expect("it is below the count of disks"),
            offset: first * SECTOR,
            len: u32::try_from(len).expect("writes are small"),
            zero,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_whole_sectors_on_the_disks() {
        let size = 1 << 20;
        for workload in Workload::ALL {
            let writes = workload.writes(7, 3, size, 5000);
            assert_eq!(writes.len(), 5000);
            for write in &writes {
                assert!(write.disk < 3 && write.len > 0, "{write:?}");
                assert_eq!((write.offset % 512, write.len % 512), (0, 0), "{write:?}");
                assert!(write.offset + u64::from(write.len) <= size, "{write:?}");
                assert_eq!(write.body(7, 1).len(), usize::try_from(write.len).unwrap());
            }
            assert_eq!(
                writes,
                workload.writes(7, 3, size, 5000),
                "a seed repeats its writes"
            );
        }
        let uniform = |seed| Workload::Uniform.writes(seed, 3, size, 50);
        assert_ne!(uniform(1), uniform(2));
    }
}
