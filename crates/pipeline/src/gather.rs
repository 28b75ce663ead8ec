//! Gathering the records of one interval from the segments of a stream.

use std::{ops::Range, sync::Arc};

use afterimage_cache::Segment;
use afterimage_changelog::{
    Disk, FrameEntry, Position, Row, RowKind, Sequence, container::Index, count, size,
};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_storage::{ReadAhead, StoreError};
use bytes::Bytes;

use crate::{error::Error, stages::Counts};

/// Longest zeroed extent, a whole number of 4096-byte sectors.
const SECTORS_MAX: u64 = (u32::MAX - 7) as u64;

/// The records of an interval so far: where their payload lies, and no payload.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    pub(crate) sources: Sources,
    pub(crate) extents: Vec<Extent>,
    /// The first record gathered.
    pub(crate) first: Option<Sequence>,
    /// The last record gathered.
    pub(crate) last: Sequence,
    pub(crate) counts: Counts,
    /// The group's disks as the last segment had them.
    disks: Vec<Disk>,
    /// Each disk as large as it was at any time of the interval.
    widest: Vec<Disk>,
}

/// The segments that the records came from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    segments: Vec<Arc<Segment>>,
    memory: u64,
}

impl Gather {
    /// Begins behind a point with these disks.
    pub(crate) fn new(disks: Vec<Disk>) -> Gather {
        Gather {
            widest: disks.clone(),
            disks,
            ..Gather::default()
        }
    }

    /// The group's disks now.
    pub(crate) fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// The disks that the extents count.
    pub(crate) fn widest(&self) -> &[Disk] {
        &self.widest
    }

    /// Forgets records and segments, which are in a layer now. The segment that is being read has to
    /// be added again.
    pub(crate) fn clear(&mut self) {
        self.sources = Sources::default();
        self.extents.clear();
        self.first = None;
        self.widest.clone_from(&self.disks);
        self.counts = Counts::default();
    }

    /// Takes a segment as the source of the records that follow; gives the number of each of its
    /// disks in the group.
    pub(crate) fn add_source(&mut self, segment: &Arc<Segment>) -> Result<Vec<u16>, Error> {
        self.sources.add(segment);
        let mut numbers = Vec::new();
        for disk in &segment.container.header.disks {
            let known = self.disks.iter().position(|known| known.name == disk.name);
            let number = known.unwrap_or(self.disks.len());
            if known.is_none() {
                self.disks.push(disk.clone());
                self.widest.push(disk.clone());
            }
            let narrow = u16::try_from(number).ok().filter(|&number| number < 256);
            let narrow =
                narrow.ok_or_else(|| Error::invalid("the group has more than 256 disks"))?;
            self.resize(narrow, disk);
            numbers.push(narrow);
        }
        Ok(numbers)
    }

    /// A disk that shrinks loses what lies beyond its end for good, even where it grows again.
    fn resize(&mut self, number: u16, now: &Disk) {
        let index = usize::from(number);
        let (Some(disk), Some(widest)) = (self.disks.get_mut(index), self.widest.get_mut(index))
        else {
            return;
        };
        let before = disk.sectors;
        *disk = now.clone();
        widest.sectors = widest.sectors.max(now.sectors);
        if now.sector_size.bytes() < widest.sector_size.bytes() {
            widest.sector_size = now.sector_size;
        }
        let mut at = now.sectors;
        while at < before {
            let sectors = (before - at).min(SECTORS_MAX);
            self.push(Extent {
                start: at,
                sectors: u32::try_from(sectors).unwrap_or(u32::MAX),
                rank: 0,
                object: 0,
                frame: Extent::ZERO,
                offset: 0,
                disk: number,
            });
            at += sectors;
        }
    }

    /// Adds a write or zeroed run of the segment added last.
    pub(crate) fn add_row(&mut self, row: &Row, sequence: Sequence, disks: &[u16]) {
        self.first.get_or_insert(sequence);
        self.last = sequence;
        self.counts.records += 1;
        let (frame, offset) = match row.kind {
            RowKind::Write { frame, offset } => {
                self.counts.source_bytes += row.bytes();
                (frame, offset)
            }
            RowKind::Zero => (Extent::ZERO, 0),
            RowKind::Marker => return,
        };
        let object = u32::try_from(self.sources.segments.len().saturating_sub(1));
        let disk = disks.get(usize::from(row.disk)).copied();
        self.push(Extent {
            start: row.start,
            sectors: row.sectors,
            rank: 0,
            object: object.expect("memory bounds the segments of an interval"),
            frame,
            offset,
            disk: disk.expect("rows were checked against their table of disks"),
        });
    }

    fn push(&mut self, extent: Extent) {
        let rank = u32::try_from(self.extents.len()).expect("memory bounds the extents");
        self.extents.push(Extent { rank, ..extent });
    }
}

impl Sources {
    pub(crate) fn frames_of_object(&self) -> Vec<usize> {
        let frames = self
            .segments
            .iter()
            .map(|segment| segment.index.frames.len());
        frames.collect()
    }

    /// About as many stored bytes as so much of their payload has.
    pub(crate) fn stored_of(&self, payload: u64) -> u64 {
        let frames = self
            .segments
            .iter()
            .flat_map(|segment| &segment.index.frames);
        let (stored, raw) = frames.fold((0u64, 0u64), |(stored, raw), frame| {
            (stored + u64::from(frame.stored), raw + u64::from(frame.raw))
        });
        let of_all = u128::from(payload) * u128::from(stored);
        let share = of_all.checked_div(u128::from(raw)).unwrap_or(0);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Bytes of memory that the segments take, rows not counted.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    fn add(&mut self, segment: &Arc<Segment>) {
        const SEGMENT: usize = 2048;
        const EACH: usize = 128;
        let header = &segment.container.header;
        let directory = &segment.container.directory;
        let small = header.disks.len() + directory.markers.len() + directory.row_pages.len();
        let frames = segment.index.frames.len() * size_of::<FrameEntry>();
        self.memory += count(SEGMENT + small * EACH + frames);
        self.segments.push(Arc::clone(segment));
    }

    fn segment(&self, object: u32) -> &Segment {
        let segment = self.segments.get(size(u64::from(object)));
        segment.expect("extents name segments that were added")
    }
}

impl FrameSource for Sources {
    fn name(&self, object: u32) -> String {
        self.segment(object).key.to_string()
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        let entry = self
            .segment(object)
            .index
            .frames
            .get(size(u64::from(frame)));
        Ok(*entry.expect("rows were checked against the segment's frames"))
    }

    fn is_billed(&self) -> bool {
        let first = self.segments.first();
        first.is_some_and(|segment| segment.store().is_billed())
    }

    fn read(&self, object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.segment(object).read(range)
    }

    fn read_ahead(&self, wanted: &[(u32, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        let (first, _) = wanted.first()?;
        let wanted = wanted
            .iter()
            .map(|(object, range)| (self.segment(*object).key.clone(), range.clone()));
        let store = self.segment(*first).store();
        store.read_ahead(&wanted.collect::<Vec<_>>())
    }
}

/// Splits a segment into what is kept while its frames may be needed, and its rows.
pub(crate) fn split(mut segment: Segment) -> (Arc<Segment>, Vec<Row>) {
    let Index { rows, .. } = &mut segment.index;
    let rows = std::mem::take(rows);
    (Arc::new(segment), rows)
}

/// The position behind a row of a segment.
pub(crate) fn position(segment: &Segment, row: usize) -> Position {
    Position {
        sequence: Sequence(segment.container.header.first.0 + count(row)),
        ..segment.end()
    }
}
