//! From guest writes to points and back, against plain arrays.

use std::sync::Arc;

use afterimage::{Ingest, PointReader};
use afterimage_cache::{StreamReader, StreamWriter};
use afterimage_changelog::{Disk, MarkerKind, Name, ObjectId, SECTOR, SectorSize, Timestamp, size};
use afterimage_storage::{Nonces, Store};
use afterimage_testkit::{PlainDisk, Random};

use crate::{
    choices::Choices,
    sample::{WriterParts, disk, ingest_parts, memory_store, writer},
};

/// Operations taken from one input.
const OPERATIONS_MAX: usize = 100;
/// Markers, each of which costs a copy of the plain disks.
const MARKERS_MAX: usize = 12;
const NOW: Timestamp = Timestamp(1_650_000_000_000_000);

/// Lets a small group live as the bytes say: writes, zeroes, markers, seals, restarts of the writer and
/// of the ingest. Every point then reads as the plain disks were at its marker.
///
/// # Panics
///
/// Where one does not.
pub fn point_reader(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut life = Life::new(4096 << (choices.u8() % 3));
    for _ in 0..OPERATIONS_MAX {
        if choices.is_empty() {
            break;
        }
        life.step(&mut choices);
    }
    life.mark();
    life.replicate();
    life.check(choices.u64());
}

struct Life {
    cache: Arc<dyn Store>,
    target: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    parts: WriterParts,
    writer: StreamWriter,
    plain: Vec<PlainDisk>,
    /// The disks at each marker.
    marked: Vec<Vec<PlainDisk>>,
    writes: u64,
}

impl Life {
    fn new(frame_bytes: u32) -> Life {
        let (cache, target) = (memory_store(), memory_store());
        let nonces = Arc::new(Nonces::seeded(5));
        let mut parts = writer(&cache, &nonces, frame_bytes);
        parts.options.disks = vec![
            disk("one", 64, SectorSize::B512),
            disk("two", 32, SectorSize::B4096),
        ];
        let writer = parts.open();
        let plain = writer
            .disks()
            .iter()
            .map(|disk| PlainDisk::new(disk.bytes()))
            .collect();
        Life {
            cache,
            target,
            nonces,
            parts,
            writer,
            plain,
            marked: Vec::new(),
            writes: 0,
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.u8() % 16 {
            0..=8 => self.write(choices, false),
            9..=11 => self.write(choices, true),
            12..=13 => self.mark(),
            14 => self.restart(),
            _ => self.replicate(),
        }
    }

    fn write(&mut self, choices: &mut Choices<'_>, is_zero: bool) {
        let number = usize::from(choices.u8() % 2);
        let disk = self.writer.disks().get(number).expect("it has two").clone();
        let step = disk.sector_size.bytes() / SECTOR;
        let start = choices.below(disk.sectors / step) * step;
        let sectors = (1 + choices.below(32)) * step;
        let sectors = sectors.min(disk.sectors - start);
        let index = u16::try_from(number).expect("it has two");
        self.writes += 1;
        let plain = self.plain.get_mut(number).expect("there are as many");
        let written = if is_zero {
            plain.zero(start * SECTOR, sectors * SECTOR);
            self.writer.zero(index, start, sectors, NOW)
        } else {
            let data = payload(self.writes, sectors, choices.flag());
            plain.write(start * SECTOR, &data);
            self.writer.write(index, start, &data, NOW)
        };
        written.expect("the write is on the disk");
    }

    fn mark(&mut self) {
        if self.marked.len() > MARKERS_MAX {
            return;
        }
        let cut = ObjectId(self.nonces.next());
        self.writer
            .mark(MarkerKind::Crash, "", cut, NOW)
            .expect("memory does not fail");
        self.marked.push(self.plain.clone());
    }

    /// Another agent takes over: what was sealed is what it goes on from.
    fn restart(&mut self) {
        self.writer.seal().expect("memory does not fail");
        self.writer = self.parts.open();
    }

    /// Another worker takes over, and goes on behind the last point.
    fn replicate(&mut self) {
        self.writer.seal().expect("memory does not fail");
        let mut parts = ingest_parts(&self.cache, &self.target);
        // Ids are never used twice, whichever worker takes them.
        parts.nonces = Arc::clone(&self.nonces);
        let mut ingest = Ingest::open(parts.clone()).expect("it is there");
        let at = ingest.position();
        let mut reader = StreamReader::new(Arc::clone(&self.cache), parts.group, parts.stream, at);
        while let Some(segment) = reader.next_segment().expect("the chain is whole") {
            ingest
                .push(segment, &mut |_| ())
                .expect("memory does not fail");
        }
        assert_eq!(ingest.head().manifest.points.len(), self.marked.len());
    }

    fn check(&self, seed: u64) {
        let parts = ingest_parts(&self.cache, &self.target);
        let head = afterimage_recovery::load_head(self.target.as_ref(), &parts.group);
        let manifest = head.expect("it is there").expect("it is there").manifest;
        assert_eq!(manifest.points.len(), self.marked.len());
        let mut random = Random::new(seed);
        for (point, expected) in manifest.points.iter().zip(&self.marked) {
            let reader = PointReader::open(&self.target, &manifest, point.id).expect("it is whole");
            for (disk, expected) in reader.disks().iter().zip(expected) {
                let middle = random.below(disk.bytes());
                let len = 1 + random.below((disk.bytes() - middle).min(9000));
                for (offset, len) in [(0, disk.bytes()), (middle, len)] {
                    assert_same(&reader, disk, expected, offset, len);
                }
            }
        }
    }
}

fn assert_same(reader: &PointReader, disk: &Disk, expected: &PlainDisk, offset: u64, len: u64) {
    let mut found = vec![0xee; size(len)];
    let name: &Name = &disk.name;
    reader
        .read_at(name, offset, &mut found)
        .expect("the range is on the disk");
    let expected = expected.bytes().get(size(offset)..size(offset + len));
    let is_same = expected == Some(found.as_slice());
    assert!(
        is_same,
        "point {}, disk {name}: {len} bytes at {offset}",
        reader.point().id
    );
}

/// Data of a write that no other write has, which compresses or does not.
fn payload(number: u64, sectors: u64, is_noise: bool) -> Vec<u8> {
    let mut data = vec![0; size(sectors * SECTOR)];
    if is_noise {
        Random::new(number).fill(&mut data);
    } else {
        let word = number.to_le_bytes();
        data.iter_mut()
            .zip(word.iter().cycle())
            .for_each(|(to, from)| *to = *from);
    }
    data
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let walk = |step: u8| {
        (0..=250u8)
            .map(move |n| n.wrapping_mul(step) ^ (n >> 3))
            .collect()
    };
    let mut hot = vec![3];
    for n in 0..40u8 {
        hot.extend([n % 3, 0, n % 7, 0, n % 11, 0, n & 1]);
        if n % 8 == 7 {
            hot.extend([12 + n % 4]);
        }
    }
    vec![walk(7), walk(29), hot]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that would see nothing proves nothing: the array is spoiled by one byte.
    #[test]
    #[should_panic(expected = "point 1, disk two")]
    fn a_byte_that_differs_is_seen() {
        let mut life = Life::new(4096);
        life.step(&mut Choices::new(&[0, 0, 9, 0, 3, 0, 0]));
        life.mark();
        life.marked[0][1].write(777, &[1]);
        life.replicate();
        life.check(0);
    }
}
