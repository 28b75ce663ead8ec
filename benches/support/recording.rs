//! The writes of a guest, with their bytes, and the way through cache and pipeline.

use std::sync::Arc;

use afterimage::{
    MarkerKind, Name, Pipeline, Timestamp,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, SECTOR, SectorSize, count},
    storage::{Nonces, Store},
};
use afterimage_testkit::{PlainDisk, Workload, Write};
use bytes::Bytes;

const SEED: u64 = 1;

/// What one guest wrote to its one disk, in memory, so that making it up costs the benches nothing.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The writes, and the bytes of those that are not zeroes.
    pub writes: Vec<(Write, Bytes)>,
    /// Bytes they write, other than zeroes.
    pub written_bytes: u64,
    /// Size of the disk in bytes.
    pub disk_bytes: u64,
}

/// The first writes of a guest with one disk that together write `bytes` bytes, zeroes not counted.
///
/// # Panics
///
/// Where the disk is none that a workload can have.
#[must_use]
pub fn writes_of(workload: Workload, seed: u64, disk_bytes: u64, bytes: u64) -> Vec<Write> {
    let mut number = 1024;
    loop {
        let mut writes = workload.writes(seed, 1, disk_bytes, number);
        let mut total = 0;
        let enough = writes.iter().position(|write| {
            total += payload_bytes(write);
            total >= bytes
        });
        if let Some(last) = enough {
            writes.truncate(last + 1);
            return writes;
        }
        number *= 2;
    }
}

fn payload_bytes(write: &Write) -> u64 {
    if write.zero { 0 } else { u64::from(write.len) }
}

impl Recording {
    /// Of a guest that writes `bytes` bytes to a disk of a quarter of that: what makes coalescing
    /// worth its while and still leaves much alive.
    #[must_use]
    pub fn new(workload: Workload, bytes: u64) -> Recording {
        let disk_bytes = (bytes / 4).next_multiple_of(4096);
        let writes = writes_of(workload, SEED, disk_bytes, bytes);
        let written_bytes = writes.iter().map(payload_bytes).sum();
        let with_bytes = |(write, sequence): (Write, u64)| {
            let body = if write.zero {
                Vec::new()
            } else {
                write.body(SEED, sequence)
            };
            (write, Bytes::from(body))
        };
        Recording {
            writes: writes.into_iter().zip(0..).map(with_bytes).collect(),
            written_bytes,
            disk_bytes,
        }
    }

    /// The group it is recorded in.
    ///
    /// # Panics
    ///
    /// Never: the name is valid.
    #[must_use]
    pub fn group() -> Name {
        "bench".parse().expect("the name is valid")
    }

    /// Its stream.
    ///
    /// # Panics
    ///
    /// Never: the name is valid.
    #[must_use]
    pub fn stream() -> Name {
        "main".parse().expect("the name is valid")
    }

    /// The name of its disk.
    ///
    /// # Panics
    ///
    /// Never: the name is valid.
    #[must_use]
    pub fn disk() -> Name {
        "root".parse().expect("the name is valid")
    }

    /// Where its segments are, below the folder of a local store.
    pub const SEGMENTS: &str = "bench/main";

    /// Its disk.
    ///
    /// # Panics
    ///
    /// Never: the size was rounded to what a disk can have.
    #[must_use]
    pub fn geometry(&self) -> Disk {
        Disk::new(Recording::disk(), self.disk_bytes, SectorSize::B512)
            .expect("the size is a whole number of sectors")
    }

    /// Puts it into a cache in `intervals` intervals of about as many writes each, durable on return.
    ///
    /// # Panics
    ///
    /// Where the store fails.
    pub fn put(&self, cache: &Arc<dyn Store>, intervals: usize) {
        let options = WriterOptions {
            group: Recording::group(),
            stream: Recording::stream(),
            disks: vec![self.geometry()],
            limits: SegmentLimits::default(),
            level: 1,
        };
        let nonces = Arc::new(Nonces::seeded(SEED));
        let mut writer =
            StreamWriter::open(Arc::clone(cache), nonces, options).expect("the cache opens");
        let mut start = 0;
        for (interval, number) in (1..=intervals).zip(0u64..) {
            let end = self.writes.len() * interval / intervals;
            let writes = self.writes.get(start..end).unwrap_or_default();
            start = end;
            let now = Timestamp(number);
            for (write, body) in writes {
                let (start, sectors) = (write.offset / SECTOR, u64::from(write.len) / SECTOR);
                let put = if write.zero {
                    writer.zero(write.disk, start, sectors, now)
                } else {
                    writer.write(write.disk, start, body, now)
                };
                put.expect("the cache takes a write");
            }
            let cut = ObjectId(u128::from(number).to_le_bytes());
            writer
                .mark(MarkerKind::Crash, "", cut, now)
                .expect("the cache takes a marker");
        }
        writer.seal().expect("the last segment is sealed");
    }

    /// What the disk holds in the end, from a disk that cannot be wrong.
    #[must_use]
    pub fn oracle(&self) -> PlainDisk {
        let mut disk = PlainDisk::new(self.disk_bytes);
        for (write, body) in &self.writes {
            if write.zero {
                disk.zero(write.offset, u64::from(write.len));
            } else {
                disk.write(write.offset, body);
            }
        }
        disk
    }

    /// Leaves only the writes before the first one that goes back to the start of the disk.
    pub fn keep_first_lap(&mut self) {
        let laps = self
            .writes
            .iter()
            .skip(1)
            .position(|(write, _)| write.offset == 0);
        self.writes.truncate(laps.map_or(usize::MAX, |lap| lap + 1));
        self.written_bytes = self
            .writes
            .iter()
            .map(|(write, _)| payload_bytes(write))
            .sum();
    }

    /// Number of its writes.
    #[must_use]
    pub fn records(&self) -> u64 {
        count(self.writes.len())
    }
}

/// Makes every interval of the cache a durable point; gives how many there were.
///
/// # Panics
///
/// Where a store fails.
pub fn make_points(cache: &Arc<dyn Store>, target: &Arc<dyn Store>) -> u64 {
    let builder = Pipeline::builder(Recording::group(), Arc::clone(cache), Arc::clone(target));
    let pipeline = builder.build().expect("the settings are valid");
    let outcome = pipeline.run_once(&mut |_| ());
    outcome.expect("the points are made").points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_writes_as_much_as_asked_for_and_no_write_more() {
        for workload in Workload::ALL {
            let writes = writes_of(workload, 3, 1 << 20, 5 << 20);
            let total: u64 = writes.iter().map(payload_bytes).sum();
            let last = payload_bytes(writes.last().unwrap());
            assert!(total >= 5 << 20 && total - last < 5 << 20, "{workload:?}");
        }
    }
}
