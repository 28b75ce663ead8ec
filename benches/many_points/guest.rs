//! A guest that writes a few pages an interval all over a large disk, and knows what it wrote.

use std::{error::Error, sync::Arc};

use afterimage::{
    MarkerKind, Name, Timestamp,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, SectorSize, size},
    storage::{Nonces, Store},
    system_clock,
};
use afterimage_testkit::Random;

const DISK_BYTES: u64 = 1 << 40;
const PAGE: u64 = 4096;
const PAGES_PER_INTERVAL: usize = 4;
/// Pages that are written again and again, one of each interval.
const HOT_PAGES: u64 = 1000;
const MINUTE: u64 = 60_000_000;
const SEED: u64 = 1;

/// The guest, and its stream in the cache.
pub(crate) struct Guest {
    writer: StreamWriter,
    nonces: Arc<Nonces>,
    random: Random,
    /// The pages that each interval wrote.
    written: Vec<[u64; PAGES_PER_INTERVAL]>,
    /// When it began: a minute before each interval, the last of them now.
    begun: u64,
}

/// The group of the guest.
pub(crate) fn group() -> Name {
    "figures".parse().expect("the name is valid")
}

impl Guest {
    /// A guest that will have written so many intervals by now.
    pub(crate) fn new(cache: &Arc<dyn Store>, intervals: u64) -> Result<Guest, Box<dyn Error>> {
        let nonces = Arc::new(Nonces::seeded(SEED));
        let disk = Disk::new("root".parse()?, DISK_BYTES, SectorSize::B512);
        let options = WriterOptions {
            group: group(),
            stream: "main".parse()?,
            disks: vec![disk.ok_or("the disk has no whole sectors")?],
            limits: SegmentLimits::default(),
            level: 1,
        };
        Ok(Guest {
            writer: StreamWriter::open(Arc::clone(cache), Arc::clone(&nonces), options)?,
            nonces,
            random: Random::new(SEED),
            written: Vec::new(),
            begun: system_clock()().0.saturating_sub(intervals * MINUTE),
        })
    }

    /// How many intervals it has written.
    pub(crate) fn intervals(&self) -> u64 {
        u64::try_from(self.written.len()).expect("they are few")
    }

    /// Writes so many intervals, a minute of its clock each; they are in the cache on return.
    pub(crate) fn write(&mut self, intervals: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..intervals {
            let hot = self.random.below(HOT_PAGES);
            let mut pages = [hot; PAGES_PER_INTERVAL];
            for page in pages.iter_mut().skip(1) {
                *page = self.random.below(DISK_BYTES / PAGE);
            }
            let interval = self.intervals();
            let now = Timestamp(self.begun + interval * MINUTE);
            for page in pages {
                let sector = page * PAGE / 512;
                self.writer.write(0, sector, &body(page, interval), now)?;
            }
            let cut = ObjectId(self.nonces.next());
            self.writer.mark(MarkerKind::Crash, "", cut, now)?;
            self.written.push(pages);
        }
        Ok(self.writer.seal()?)
    }

    /// A page as it is at a point, counted from 1, and where on the disk: the hot one that its
    /// interval wrote, so that there is an older and a newer one of it.
    pub(crate) fn page_at(&self, point: u64) -> (u64, Vec<u8>) {
        let interval = point - 1;
        let pages = self.written.get(size(interval));
        let [page, ..] = pages.expect("there is such a point");
        (page * PAGE, body(*page, interval))
    }
}

/// What an interval writes to a page: half of it compresses.
fn body(page: u64, interval: u64) -> Vec<u8> {
    let mut body = vec![0x5A; size(PAGE)];
    let (noise, _) = body.split_at_mut(size(PAGE / 2));
    Random::new(page << 20 | interval).fill(noise);
    body
}
