//! The any-write window: segments kept at the target as they are, and the disk after any write in
//! them.

use std::{sync::Arc, sync::atomic::AtomicU64};

use afterimage_cache::{Segment, load_segment, open_segment, segment_key};
use afterimage_changelog::{
    Container, Digest, Disk, Name, Position, SECTOR, Sequence, Timestamp, container::Index, count,
    size,
};
use afterimage_coalesce::{Extent, coalesce};
use afterimage_recovery::{
    Point, StreamPosition,
    name::{kept_key, kept_prefix},
};
use afterimage_storage::{Disk as DiskSeam, Key, Store, StoreErrorKind};
use afterimage_target::{Applied, Applier, Mode};
use bytes::Bytes;
use rayon::prelude::*;

use crate::{
    error::Error,
    gather::{Gather, split},
    points::{PointSelector, Points},
    restore::{RestoreProgress, applier},
    stop::Stop,
};

/// Records that are gathered before they are written.
const RECORDS_MAX: usize = 1 << 20;

/// Keeps segments at the target.
#[derive(Debug)]
pub(crate) struct Keeper {
    cache: Arc<dyn Store>,
    target: Arc<dyn Store>,
    group: Name,
    stream: Name,
    /// The first of the segments that are kept without a gap.
    first: u64,
    /// The next one to be kept.
    next: u64,
}

impl Keeper {
    pub(crate) fn new(
        cache: Arc<dyn Store>,
        target: Arc<dyn Store>,
        group: Name,
        stream: Name,
        known: Option<&StreamPosition>,
    ) -> Keeper {
        let (first, next) = match known {
            None => (0, 0),
            Some(known) if known.kept > 0 => (known.kept_from(), known.position.segment + 1),
            // The segment that the points end in is still in the cache.
            Some(known) => (known.position.segment, known.position.segment),
        };
        Keeper {
            cache,
            target,
            group,
            stream,
            first,
            next,
        }
    }

    /// Keeps every segment up to the one of a position; gives the first that was kept, of which upkeep
    /// may have let go since.
    ///
    /// The newest one comes first: the position says which one it is, and each says which one is
    /// before it. So none is kept that the points were not made of.
    ///
    /// # Errors
    ///
    /// Those of [`keep`](Keeper::keep).
    pub(crate) fn keep_up_to(&mut self, position: &Position) -> Result<u64, Error> {
        let mut expected = position.digest;
        for number in (self.next..=position.segment).rev() {
            expected = self.keep(number, expected)?;
        }
        self.next = self.next.max(position.segment + 1);
        Ok(self.first)
    }

    /// Copies a segment as it is, durably, after checking every byte of it; gives the digest of the
    /// one before it.
    ///
    /// # Errors
    ///
    /// A store failed, the segment is damaged or another one, or another one is kept under its number.
    fn keep(&self, number: u64, expected: Digest) -> Result<Digest, Error> {
        let key = segment_key(&self.group, &self.stream, number);
        let bytes = self.cache.read(&key)?;
        let broken = |error: &dyn std::fmt::Display| Error::corrupt(format!("{key}: {error}"));
        let slice = |range: std::ops::Range<u64>| {
            Ok::<_, std::convert::Infallible>(bytes.slice(size(range.start)..size(range.end)))
        };
        let container = Container::open(count(bytes.len()), &bytes, slice);
        let container = container.map_err(|error| broken(&error))?;
        if container.digest() != expected {
            return Err(broken(
                &"it is intact but is not the segment that the points were made of",
            ));
        }
        let index = container.index(slice).map_err(|error| broken(&error))?;
        let Index { frames, .. } = index;
        frames.par_iter().try_for_each(|frame| {
            let stored = bytes.slice(size(frame.offset)..size(frame.end()));
            let checked = frame.check(stored);
            checked.map(drop).map_err(|error| broken(&error))
        })?;
        self.store(number, &bytes)?;
        Ok(container.header.predecessor)
    }

    fn store(&self, number: u64, bytes: &Bytes) -> Result<(), Error> {
        let key = kept_key(&self.group, &self.stream, number);
        match self.target.create(&key, std::slice::from_ref(bytes)) {
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
                // An earlier try, or an earlier worker, kept it.
                if self.target.read(&key)? == *bytes {
                    return Ok(self.target.settle(&kept_prefix(&self.group))?);
                }
                Err(Error::invalid(format!(
                    "another segment is kept at the target as {key}; this is not the cache that \
                     the points were made from"
                )))
            }
            created => Ok(created?),
        }
    }
}

/// Which write is gone back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Everything up to and with this record.
    Record(Sequence),
    /// Everything that is known to be written by then: up to the last mark of time before it.
    Time(Timestamp),
}

/// The disks after one write: a point, and the records behind it.
#[derive(Debug)]
pub struct Rewound {
    /// Id of the newest point that is not behind the write.
    pub point: u64,
    /// The last record.
    pub sequence: Sequence,
    /// The disks then.
    pub disks: Vec<Disk>,
    /// The disks of the point.
    before: Vec<Disk>,
    /// The first record that is not in the point.
    first: Sequence,
    /// The segments that hold the records between.
    segments: Vec<Container>,
    window: Window,
}

impl Rewound {
    /// Finds the write, and the point and segments it is reached from.
    ///
    /// # Errors
    ///
    /// The write is not within the window that is kept, it is a part of a larger one, a segment is
    /// missing, damaged or another one, or the store failed.
    pub fn find(
        target: &Arc<dyn Store>,
        points: &Points,
        moment: Moment,
    ) -> Result<Rewound, Error> {
        let manifest = points.manifest();
        let Some(stream) = manifest.streams.first().filter(|stream| stream.kept > 0) else {
            return Err(Error::invalid(format!(
                "group {} keeps no segments: replicate it with --rewind to go back to single writes",
                manifest.group
            )));
        };
        let window = Window {
            target: Arc::clone(target),
            group: manifest.group.clone(),
            stream: stream.name.clone(),
        };
        let kept = window.open(stream)?;
        let sequence = match moment {
            Moment::Record(sequence) => sequence,
            Moment::Time(time) => last_known_by(&kept, time).ok_or_else(|| {
                outside(&kept, "that time is before the oldest segment that is kept")
            })?,
        };
        let reached = |point: &Arc<Point>| {
            let there = point.sequences.first().copied();
            there.filter(|&there| there <= sequence)
        };
        let mut newest_first = points.list().iter().rev();
        let found = newest_first.find_map(|point| Some((point, reached(point)?)));
        let Some((point, covered)) = found else {
            return Err(outside(
                &kept,
                "no point that is left is as old as that write",
            ));
        };
        let first = Sequence(covered.0 + 1);
        let (from, to) = (bounds(kept.first()), bounds(kept.last()));
        let is_kept = from.is_some_and(|(from, _)| from <= first) || sequence == covered;
        if !is_kept || to.is_none_or(|(_, to)| to < sequence) {
            return Err(outside(
                &kept,
                "that write is not within the segments that are kept",
            ));
        }
        window.check_whole(&kept, sequence)?;
        let mut segments = kept;
        segments.retain(|segment| segment.footer.last >= first && segment.header.first <= sequence);
        let before = manifest.disks(point).to_vec();
        let disks = disks_at(&before, &segments);
        Ok(Rewound {
            point: point.id,
            sequence,
            disks,
            before,
            first,
            segments,
            window,
        })
    }

    /// Writes a disk as it was after the write onto one that holds zeroes; does not flush it.
    ///
    /// # Errors
    ///
    /// An object could not be read or is damaged, the disk failed, or the work was stopped.
    pub fn write(
        &self,
        points: &Points,
        name: &Name,
        onto: &dyn DiskSeam,
        progress: &RestoreProgress,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        let point = points.open(&PointSelector::Id(self.point))?;
        // A disk that came later has nothing in the point.
        if let Ok(before) = point.disk(name) {
            let end = before.sectors.min(onto.size() / SECTOR);
            let extents = point.extents(name, 0..end)?;
            applied = applier(&point, onto, Mode::Blank, progress, stop).apply(extents)?;
        }
        let over = self.apply(name, onto, &progress.done_bytes, stop)?;
        Ok(applied.and(over))
    }

    /// Writes the records of one disk over the point that `disk` holds.
    ///
    /// # Errors
    ///
    /// A segment could not be read or is damaged, the disk failed, or the work was stopped.
    pub(crate) fn apply(
        &self,
        name: &Name,
        disk: &dyn DiskSeam,
        done_bytes: &AtomicU64,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let mut gather = Gather::new(self.before.clone());
        let mut applied = Applied::default();
        for container in &self.segments {
            let (segment, rows) = split(self.window.load(container)?);
            let mut disks = gather.add_source(&segment)?;
            for (row, number) in rows.iter().zip(0u64..) {
                let sequence = Sequence(segment.container.header.first.0 + number);
                if sequence < self.first {
                    continue;
                }
                if sequence > self.sequence {
                    break;
                }
                if gather.extents.len() >= RECORDS_MAX {
                    let written = self.write_gathered(&mut gather, name, disk, done_bytes, stop)?;
                    applied = applied.and(written);
                    disks = gather.add_source(&segment)?;
                }
                gather.add_row(row, sequence, &disks);
            }
        }
        let written = self.write_gathered(&mut gather, name, disk, done_bytes, stop)?;
        Ok(applied.and(written))
    }

    fn write_gathered(
        &self,
        gather: &mut Gather,
        name: &Name,
        disk: &dyn DiskSeam,
        done_bytes: &AtomicU64,
        stop: &Stop,
    ) -> Result<Applied, Error> {
        let number = gather.disks().iter().position(|known| known.name == *name);
        let end = self.disks.iter().find(|known| known.name == *name);
        let end = end.map_or(0, |disk| disk.sectors);
        let live = coalesce(std::mem::take(&mut gather.extents));
        let extents = live.into_iter().filter_map(|extent| {
            let ours = Some(usize::from(extent.disk)) == number && extent.start < end;
            ours.then(|| extent.part(extent.start, extent.end().min(end)))
        });
        let applier = Applier {
            source: &gather.sources,
            disk,
            mode: Mode::Overwrite,
            done_bytes,
            stop: stop.flag(),
        };
        let applied = applier.apply(extents.map(Ok::<Extent, _>))?;
        gather.clear();
        Ok(applied)
    }
}

/// The segments of a stream that a target keeps.
#[derive(Debug)]
struct Window {
    target: Arc<dyn Store>,
    group: Name,
    stream: Name,
}

impl Window {
    fn key(&self, number: u64) -> Key {
        kept_key(&self.group, &self.stream, number)
    }

    fn missing(&self, number: u64) -> Error {
        let key = self.key(number);
        Error::corrupt(format!(
            "{key}, a segment that the target keeps, is missing or another one; points are not affected"
        ))
    }

    /// Opens all of them, oldest first: each is checked against the one behind it, and the last one
    /// against the position that the manifest holds.
    fn open(&self, stream: &StreamPosition) -> Result<Vec<Container>, Error> {
        let mut expected = stream.position.digest;
        let mut kept = Vec::new();
        for number in (stream.kept_from()..=stream.position.segment).rev() {
            let (target, key) = (self.target.as_ref(), self.key(number));
            let found = open_segment(target, &key, &self.group, &self.stream, number)?;
            let found = found.filter(|segment| segment.digest() == expected);
            let segment = found.ok_or_else(|| self.missing(number))?;
            expected = segment.header.predecessor;
            kept.push(segment);
        }
        kept.reverse();
        Ok(kept)
    }

    fn load(&self, container: &Container) -> Result<Segment, Error> {
        let number = container.header.number;
        let key = self.key(number);
        let segment = load_segment(&self.target, &key, &self.group, &self.stream, number)?;
        let same = segment.filter(|segment| segment.container.digest() == container.digest());
        same.ok_or_else(|| self.missing(number))
    }

    /// Refuses a record in the middle of a source write.
    fn check_whole(&self, kept: &[Container], sequence: Sequence) -> Result<(), Error> {
        let mut loaded: Option<Segment> = None;
        let mut goes_on = |sequence: u64| -> Result<bool, Error> {
            let sequence = Sequence(sequence);
            let holds = |segment: &&Container| {
                (segment.header.first..=segment.footer.last).contains(&sequence)
            };
            let Some(container) = kept.iter().find(holds) else {
                return Ok(false);
            };
            let same = |segment: &Segment| segment.container.digest() == container.digest();
            let segment = match loaded.take().filter(same) {
                Some(segment) => segment,
                None => self.load(container)?,
            };
            let place = size(sequence.0 - container.header.first.0);
            let row = segment.index.rows.get(place);
            let continued = row.is_some_and(|row| row.continued);
            loaded = Some(segment);
            Ok(continued)
        };
        if !goes_on(sequence.0.saturating_add(1))? {
            return Ok(());
        }
        let (mut before, mut after) = (sequence.0, sequence.0 + 1);
        while goes_on(before)? {
            before -= 1;
        }
        while goes_on(after + 1)? {
            after += 1;
        }
        Err(Error::invalid(format!(
            "record {sequence} is a part of a write of the records {before} to {after}; no disk was \
             ever in that state: take {} or {after}",
            before - 1
        )))
    }
}

fn bounds(segment: Option<&Container>) -> Option<(Sequence, Sequence)> {
    let container = segment?;
    Some((container.header.first, container.footer.last))
}

/// The last record of which it is known that it was written by then: segments say when they were
/// begun and markers when they were made, so what is before either of those was.
fn last_known_by(kept: &[Container], time: Timestamp) -> Option<Sequence> {
    let begun = kept
        .iter()
        .rev()
        .find(|segment| segment.header.created <= time);
    let begun = begun.map(|segment| Sequence(segment.header.first.0.saturating_sub(1)));
    let markers = kept.iter().flat_map(|segment| &segment.directory.markers);
    let marked = markers
        .filter(|marker| marker.time <= time)
        .map(|marker| marker.sequence);
    begun.max(marked.max())
}

fn outside(kept: &[Container], what: &str) -> Error {
    let first = bounds(kept.first()).map_or(0, |(first, _)| first.0);
    let last = bounds(kept.last()).map_or(0, |(_, last)| last.0);
    Error::invalid(format!("{what}; kept are the records {first} to {last}"))
}

/// The disks as the last of the segments has them.
fn disks_at(before: &[Disk], segments: &[Container]) -> Vec<Disk> {
    let mut disks = before.to_vec();
    for now in segments
        .last()
        .iter()
        .flat_map(|segment| &segment.header.disks)
    {
        match disks.iter_mut().find(|known| known.name == now.name) {
            Some(known) => known.clone_from(now),
            None => disks.push(now.clone()),
        }
    }
    disks
}
