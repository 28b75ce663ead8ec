//! Random histories against plain arrays: disks that grow, shrink and appear, segments of any size,
//! services that restart anywhere, intervals that do not fit the memory.

use std::sync::Arc;

use afterimage::{
    ErrorKind, Ingest, IngestParts, PointReader, PointSelector, Points, Timestamp,
    cache::{SegmentLimits, StreamReader, StreamWriter, WriterOptions},
    changelog::{Disk, MarkerKind, ObjectId, SECTOR, SectorSize, size},
    storage::{Disk as _, MemoryDisk, MemoryStore, Nonces, Store},
};
use afterimage_target::Replica;
use afterimage_testkit::{Random, stamp};
use proptest::prelude::*;

use crate::support::{
    Scenario, found::is_long, on_one_thread, point_disk::advance, scenario::disk,
};

/// Sectors of the largest disk.
const SECTORS_MAX: u64 = 160;
/// Records of a burst: more than a service with the least memory gathers.
const BURST: u64 = 1100;

/// What the guest does. Places are thousandths of the disk, as its size is not known here.
#[derive(Clone, Debug)]
enum Step {
    Write {
        disk: usize,
        place: u64,
        blocks: u64,
    },
    Zero {
        disk: usize,
        place: u64,
        blocks: u64,
    },
    Burst {
        disk: usize,
    },
    Mark,
}

/// A time in which the disks keep their sizes and one agent runs.
#[derive(Clone, Debug)]
struct Phase {
    /// Sectors of the first disk, and blocks of 4096 bytes of the second; 0 where it is not there.
    sizes: (u64, u64),
    frame_bytes: u32,
    segment_rows: u64,
    steps: Vec<Step>,
    /// Segments after which the service starts anew.
    restart_every: u64,
    /// Where the replica goes at the end, in thousandths of the points.
    replica_to: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0..2usize, 0..1000u64, 1..12u64);
    prop_oneof![
        20 => place.clone().prop_map(|(disk, place, blocks)| Step::Write { disk, place, blocks }),
        5 => place.prop_map(|(disk, place, blocks)| Step::Zero { disk, place, blocks }),
        1 => (0..2usize).prop_map(|disk| Step::Burst { disk }),
        5 => Just(Step::Mark),
    ]
}

fn phase() -> impl Strategy<Value = Phase> {
    (
        (1..=SECTORS_MAX, 0..=SECTORS_MAX / 8),
        prop::sample::select(vec![512, 4096, 8192, 65_536]),
        1..60u64,
        prop::collection::vec(step(), 1..30),
        1..5u64,
        0..=1000usize,
    )
        .prop_map(
            |(sizes, frame_bytes, segment_rows, steps, restart_every, replica_to)| Phase {
                sizes,
                frame_bytes,
                segment_rows,
                steps,
                restart_every,
                replica_to,
            },
        )
}

/// One disk, as a plain array.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    disk: Disk,
    bytes: Vec<u8>,
}

/// The source, its cache, the service and a replica.
struct Chain {
    cache: Arc<dyn Store>,
    target: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    now: Vec<Plain>,
    points: Vec<Vec<Plain>>,
    written: u64,
    replica: MemoryDisk,
    record: MemoryDisk,
}

impl Chain {
    fn new() -> Chain {
        let chain = Chain {
            cache: Arc::new(MemoryStore::new()),
            target: Arc::new(MemoryStore::new()),
            nonces: Arc::new(Nonces::seeded(1)),
            now: Vec::new(),
            points: Vec::new(),
            written: 0,
            // A device that is larger than the disk ever is.
            replica: MemoryDisk::new(2 * SECTORS_MAX * SECTOR),
            record: MemoryDisk::new(8192),
        };
        let name = "boot".parse().unwrap();
        let group = Scenario::group();
        let mut replica = Replica::open(&chain.replica, &chain.record, &group, &name).unwrap();
        replica.adopt_blank().unwrap();
        drop(replica);
        chain
    }

    /// The agent's side of a phase.
    fn record(&mut self, phase: &Phase) {
        let mut disks = vec![disk("boot", phase.sizes.0 * SECTOR, SectorSize::B512)];
        if phase.sizes.1 > 0 {
            disks.push(disk("data", phase.sizes.1 * 4096, SectorSize::B4096));
        }
        let options = WriterOptions {
            group: Scenario::group(),
            stream: Scenario::stream(),
            disks: disks.clone(),
            limits: SegmentLimits {
                // Frames that would cut a sector are refused.
                frame_bytes: if disks.len().max(self.now.len()) > 1 {
                    phase.frame_bytes.max(4096)
                } else {
                    phase.frame_bytes
                },
                segment_rows: phase.segment_rows,
                ..SegmentLimits::default()
            },
            level: 1,
        };
        let (cache, nonces) = (Arc::clone(&self.cache), Arc::clone(&self.nonces));
        let mut agent = StreamWriter::open(cache, nonces, options).unwrap();
        for disk in disks {
            self.resize(disk);
        }
        for step in &phase.steps {
            match *step {
                Step::Write {
                    disk,
                    place,
                    blocks,
                } => {
                    self.write(&mut agent, disk, place, blocks, false);
                }
                Step::Zero {
                    disk,
                    place,
                    blocks,
                } => {
                    self.write(&mut agent, disk, place, blocks, true);
                }
                Step::Burst { disk } => {
                    let mut random = Random::new(self.written);
                    for _ in 0..BURST {
                        self.write(&mut agent, disk, random.below(1000), 1, false);
                    }
                }
                Step::Mark => {
                    let cut = ObjectId(self.nonces.next());
                    agent
                        .mark(MarkerKind::Crash, "", cut, Timestamp(1))
                        .unwrap();
                    self.points.push(self.now.clone());
                }
            }
        }
        agent.seal().unwrap();
    }

    /// A disk of before keeps its content as far as it reaches, and its place in the table.
    fn resize(&mut self, disk: Disk) {
        let len = size(disk.bytes());
        match self
            .now
            .iter_mut()
            .find(|known| known.disk.name == disk.name)
        {
            Some(known) => {
                known.bytes.resize(len, 0);
                known.disk = disk;
            }
            None => self.now.push(Plain {
                disk,
                bytes: vec![0; len],
            }),
        }
    }

    fn write(
        &mut self,
        agent: &mut StreamWriter,
        number: usize,
        place: u64,
        blocks: u64,
        zero: bool,
    ) {
        let number = number % self.now.len();
        let plain = &mut self.now[number];
        let step = plain.disk.sector_size.bytes() / SECTOR;
        let all = plain.disk.sectors / step;
        let first = place * all / 1000;
        let (start, sectors) = (first * step, blocks.min(all - first) * step);
        let disk = u16::try_from(number).unwrap();
        let range = size(start * SECTOR)..size((start + sectors) * SECTOR);
        self.written += 1;
        if zero {
            agent.zero(disk, start, sectors, Timestamp(1)).unwrap();
            plain.bytes[range].fill(0);
        } else {
            let sectors = start..start + sectors;
            let body: Vec<u8> = sectors
                .flat_map(|sector| stamp(1, disk, sector, self.written))
                .collect();
            agent.write(disk, start, &body, Timestamp(1)).unwrap();
            plain.bytes[range].copy_from_slice(&body);
        }
    }

    /// The service's side, with the least memory, starting anew every so many segments.
    fn ingest(&self, restart_every: u64) {
        let (group, stream) = (Scenario::group(), Scenario::stream());
        // A service that stops without having committed begins its interval again, so it has to be
        // given more each time.
        let mut segments_max = restart_every;
        loop {
            let mut ingest = Ingest::open(IngestParts {
                group: group.clone(),
                stream: stream.clone(),
                cache: Arc::clone(&self.cache),
                target: Arc::clone(&self.target),
                nonces: Arc::clone(&self.nonces),
                clock: Arc::new(|| Timestamp(2)),
                memory: 1,
                rewind: false,
            })
            .unwrap();
            let mut reader = StreamReader::new(
                Arc::clone(&self.cache),
                group.clone(),
                stream.clone(),
                ingest.position(),
            );
            for _ in 0..segments_max {
                match reader.next_segment().unwrap() {
                    Some(segment) => ingest.push(segment, &mut |_| ()).unwrap(),
                    None => return reader.check_no_gap().unwrap(),
                }
            }
            segments_max *= 2;
        }
    }

    /// Every point against the arrays: whole, and at places that are aligned to nothing.
    fn check(&self, random: &mut Random) {
        let group = Scenario::group();
        let Ok(points) = Points::load(&self.target, &group) else {
            panic!("a service ran, so there is a manifest");
        };
        assert_eq!(points.list().len(), self.points.len(), "one point a marker");
        for (point, expected) in points.list().iter().zip(&self.points) {
            let reader = PointReader::open(&self.target, points.manifest(), point.id).unwrap();
            let disks: Vec<&Disk> = expected.iter().map(|plain| &plain.disk).collect();
            assert_eq!(
                reader.disks().iter().collect::<Vec<_>>(),
                disks,
                "point {}",
                point.id
            );
            for plain in expected {
                let all = plain.bytes.len();
                for _ in 0..3 {
                    let from = size(random.below(plain.disk.bytes() + 1));
                    let to = from + size(random.below(plain.disk.bytes() + 1)).min(all - from);
                    compare(&reader, plain, from, to);
                }
                compare(&reader, plain, 0, all);
                // No bytes in the middle of a run: a reader once panicked here.
                let sector = size(random.below(plain.disk.sectors) * SECTOR);
                compare(&reader, plain, sector, sector);
                let beyond = reader.read_at(&plain.disk.name, plain.disk.bytes(), &mut [0]);
                assert!(beyond.is_err(), "a byte behind the end");
            }
        }
    }

    /// Moves the replica of the first disk to any of the points.
    fn follow(&self, thousandths: usize) {
        let group = Scenario::group();
        let points = Points::load(&self.target, &group).unwrap();
        let Some(last) = self.points.len().checked_sub(1) else {
            return;
        };
        let index = last * thousandths / 1000;
        let plain = &self.points[index][0];
        let name = &plain.disk.name;
        let mut replica = Replica::open(&self.replica, &self.record, &group, name).unwrap();
        let id = points.list()[index].id;
        assert!(points.find(&PointSelector::Id(id)).is_ok());
        advance(&mut replica, &points, id, name).unwrap();
        let mut found = vec![0xaa; plain.bytes.len()];
        self.replica.read_at(0, &mut found).unwrap();
        assert!(found == plain.bytes, "the replica at point {id}");
    }
}

fn compare(reader: &PointReader, plain: &Plain, from: usize, to: usize) {
    let mut found = vec![0xaa; to - from];
    let offset = u64::try_from(from).unwrap();
    reader
        .read_at(&plain.disk.name, offset, &mut found)
        .unwrap();
    let (id, name) = (reader.point().id, &plain.disk.name);
    assert!(
        found == plain.bytes[from..to],
        "bytes {from}..{to} of disk {name} at point {id}"
    );
}

/// A write cut inside a sector made segments that were durable and that nobody could read.
#[test]
fn frames_that_would_cut_a_sector_are_refused() {
    for (frame_bytes, sector_size) in [
        (0, SectorSize::B512),
        (513, SectorSize::B512),
        (512, SectorSize::B4096),
        (4608, SectorSize::B4096),
        (2 << 20, SectorSize::B4096),
    ] {
        let options = WriterOptions {
            group: Scenario::group(),
            stream: Scenario::stream(),
            disks: vec![disk("data", 8192, sector_size)],
            limits: SegmentLimits {
                frame_bytes,
                ..SegmentLimits::default()
            },
            level: 1,
        };
        let cache = Arc::new(MemoryStore::new());
        let opened = StreamWriter::open(cache, Arc::new(Nonces::seeded(1)), options);
        let error = afterimage::Error::from(opened.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if is_long() { 5_000 } else { 60 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_point_of_any_history_equals_plain_arrays_for_ever(
        phases in prop::collection::vec(phase(), 1..5),
        seed: u64,
    ) {
        on_one_thread(|| {
            let mut chain = Chain::new();
            let mut random = Random::new(seed);
            for phase in &phases {
                chain.record(phase);
                chain.ingest(phase.restart_every);
                // All of them each time: points never change.
                chain.check(&mut random);
                chain.follow(phase.replica_to);
                chain.follow(1000);
            }
        });
    }
}
