//! A small history of two disks, and what each of its points must hold.

use std::sync::LazyLock;

use afterimage::changelog::{Disk, Name, ObjectId, SECTOR, SectorSize, size};
use afterimage_testkit::{PlainDisk, Random, stamp};

/// Seed of the history and of the stamps in its sectors.
const SEED: u64 = 11;

/// One record of the stream; the one at index `n` has the sequence `n + 1`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record {
    Write { disk: u16, start: u64, sectors: u64 },
    Zero { disk: u16, start: u64, sectors: u64 },
    Mark,
}

/// A history: what the source machine did, and the plain truth of it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) disks: Vec<Disk>,
    pub(crate) records: Vec<Record>,
    /// Records up to the end of each segment.
    pub(crate) segments: Vec<usize>,
    /// The disks at each marker; the first entry is the blank disks before any.
    pub(crate) points: Vec<Vec<PlainDisk>>,
}

/// The history that all sweeps run: markers in the middle of segments, at their ends, and right
/// behind each other; the last records are behind the last marker.
pub(crate) static HISTORY: LazyLock<Scenario> = LazyLock::new(|| {
    let steps = [7, 0, 4, 1, 3, 0, 4, 0, 1, 5, 0, 3, 1, 4, 0, 0, 2, 1];
    let mut random = Random::new(SEED);
    let disks = vec![
        disk("boot", 63 * 512, SectorSize::B512),
        disk("data", 12 * 4096, SectorSize::B4096),
    ];
    let mut records = Vec::new();
    let mut segments = Vec::new();
    for step in steps {
        match step {
            0 => records.push(Record::Mark),
            1 => segments.push(records.len()),
            writes => records.extend((0..writes).map(|_| written(&mut random))),
        }
    }
    Scenario::new(disks, records, segments)
});

pub(crate) fn disk(name: &str, bytes: u64, sector_size: SectorSize) -> Disk {
    Disk::new(name.parse().unwrap(), bytes, sector_size).unwrap()
}

/// A write or zero; most go to a few places, so that much is overwritten before the next marker.
fn written(random: &mut Random) -> Record {
    let is_data = random.percent(40);
    let (start, sectors) = if is_data {
        (8 * random.below(6), 8)
    } else {
        (random.below(24), 1 + random.below(4))
    };
    let disk = u16::from(is_data);
    if random.percent(20) {
        Record::Zero {
            disk,
            start,
            sectors,
        }
    } else {
        Record::Write {
            disk,
            start,
            sectors,
        }
    }
}

impl Scenario {
    pub(crate) fn new(disks: Vec<Disk>, records: Vec<Record>, segments: Vec<usize>) -> Scenario {
        let mut now: Vec<PlainDisk> = disks
            .iter()
            .map(|disk| PlainDisk::new(disk.bytes()))
            .collect();
        let mut points = vec![now.clone()];
        for (index, record) in records.iter().enumerate() {
            match *record {
                Record::Write { disk, start, .. } => {
                    let body = body(record, index);
                    now[usize::from(disk)].write(start * SECTOR, &body);
                }
                Record::Zero {
                    disk,
                    start,
                    sectors,
                } => {
                    now[usize::from(disk)].zero(start * SECTOR, sectors * SECTOR);
                }
                Record::Mark => points.push(now.clone()),
            }
        }
        Scenario {
            disks,
            records,
            segments,
            points,
        }
    }

    pub(crate) fn group() -> Name {
        "shop".parse().unwrap()
    }

    pub(crate) fn stream() -> Name {
        "web".parse().unwrap()
    }

    /// Markers in the whole history.
    pub(crate) fn markers(&self) -> usize {
        self.points.len() - 1
    }

    /// Markers that a segment sealed in full has brought into the cache.
    pub(crate) fn markers_within(&self, records: u64) -> usize {
        let records = self.records.iter().take(size(records));
        records
            .filter(|record| matches!(record, Record::Mark))
            .count()
    }
}

/// The cut of the marker with this number, from 1.
pub(crate) fn cut(marker: usize) -> ObjectId {
    let mut id = [0xc5; 16];
    id[0] = u8::try_from(marker).unwrap();
    ObjectId(id)
}

/// The bytes of a write: each sector says its place and the record it comes from.
pub(crate) fn body(record: &Record, index: usize) -> Vec<u8> {
    let Record::Write {
        disk,
        start,
        sectors,
    } = *record
    else {
        return Vec::new();
    };
    let sequence = u64::try_from(index).unwrap() + 1;
    let sectors = start..start + sectors;
    sectors
        .flat_map(|sector| stamp(SEED, disk, sector, sequence))
        .collect()
}
