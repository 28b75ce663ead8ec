//! From segments to committed points in a loop: the stages one after the other, no threads.

use std::sync::Arc;

use afterimage_cache::Segment;
use afterimage_changelog::{MarkerKind, Name, Position, Timestamp};
use afterimage_recovery::Head;
use afterimage_storage::{Nonces, Store};

use crate::{
    clock::Clock,
    error::Error,
    stages::{self, Stages},
};

/// A point that was committed, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointReport {
    /// The point's number in its group.
    pub id: u64,
    /// What it promises.
    pub kind: MarkerKind,
    /// The marker's text.
    pub name: String,
    /// The time at the source.
    pub time: Timestamp,
    /// Records of the interval.
    pub records: u64,
    /// Bytes the source wrote in the interval, other than zeroes.
    pub source_bytes: u64,
    /// Bytes of the disks that remain of them.
    pub changed_bytes: u64,
    /// Bytes of the layers that hold them.
    pub stored_bytes: u64,
    /// Frames copied as they were.
    pub passed_frames: u64,
    /// Frames whose live bytes were packed anew.
    pub repacked_frames: u64,
    /// Stored bytes that were fetched from the cache.
    pub fetched_bytes: u64,
    /// Layers written.
    pub layers: u64,
    /// The manifest that committed it, maybe with others.
    pub manifest: u64,
}

/// What an ingest works with.
#[derive(Clone)]
pub struct IngestParts {
    /// The group.
    pub group: Name,
    /// The stream.
    pub stream: Name,
    /// Where the segments are.
    pub cache: Arc<dyn Store>,
    /// Where the points go.
    pub target: Arc<dyn Store>,
    /// Source of ids.
    pub nonces: Arc<Nonces>,
    /// Says what time it is.
    pub clock: Clock,
    /// Bytes of memory to stay under.
    pub memory: u64,
    /// Whether the segments are kept at the target, so that single writes can be gone back to.
    pub rewind: bool,
}

impl std::fmt::Debug for IngestParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IngestParts({}/{})", self.group, self.stream)
    }
}

impl IngestParts {
    /// Whether one of the stores bills its requests.
    pub(crate) fn is_billed(&self) -> bool {
        self.cache.is_billed() || self.target.is_billed()
    }

    /// Bytes of memory for compaction beside it: less with an object store, which itself holds what is read
    /// and written.
    pub(crate) fn upkeep_memory(&self) -> u64 {
        let share = match self.is_billed() {
            true => 8,
            false => stages::PART_SHARE,
        };
        self.memory / share
    }
}

/// Turns the segments of a stream into points, one step after the other. A [`Pipeline`] does the same
/// with steps that overlap.
///
/// [`Pipeline`]: crate::Pipeline
#[derive(Debug)]
pub struct Ingest {
    parts: IngestParts,
    stages: Stages,
}

impl Ingest {
    /// Takes the group over and deletes what an earlier worker had covered but not deleted.
    ///
    /// # Errors
    ///
    /// A store failed, the head of the chain is damaged, or another worker was faster.
    pub fn open(parts: IngestParts) -> Result<Ingest, Error> {
        let stages = stages::open(&parts)?;
        Ok(Ingest { parts, stages })
    }

    /// The newest manifest.
    #[must_use]
    pub const fn head(&self) -> &Head {
        self.stages.commits.head()
    }

    /// How far the stream is covered by points.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.head().manifest.position(&self.parts.stream)
    }

    /// Takes the next segment; gives the points that its markers completed, each of them durable and
    /// the cache acknowledged up to it.
    ///
    /// # Errors
    ///
    /// A store failed, a frame is damaged, or another worker took over. Open a new ingest to go on:
    /// it begins behind the last committed point.
    ///
    /// # Panics
    ///
    /// Never: a segment's rows were checked against its tables when it was read.
    pub fn push(
        &mut self,
        segment: Segment,
        report: &mut dyn FnMut(PointReport),
    ) -> Result<(), Error> {
        let taken = self.take(segment, report);
        if taken.is_err() {
            self.abandon();
        }
        taken
    }

    fn take(&mut self, segment: Segment, report: &mut dyn FnMut(PointReport)) -> Result<(), Error> {
        let IngestParts { target, group, .. } = &self.parts;
        let Stages {
            cutter,
            mover,
            commits,
            acknowledger,
            read,
            ..
        } = &mut self.stages;
        read.set(segment.end().segment);
        cutter.push(segment)?;
        while let Some(part) = cutter.pull()? {
            let moved = mover.move_part(part)?;
            commits.push(moved.seal(target.as_ref(), group)?);
            if let Some(committed) = commits.commit()? {
                committed.reports.into_iter().for_each(&mut *report);
                acknowledger.acknowledge(&committed.position)?;
            }
        }
        Ok(())
    }

    /// Deletes the layers of an interval that will not be committed from here, so that trying again
    /// on a full store does not fill it more. Where a commit of them is in doubt they stay.
    pub fn abandon(&mut self) {
        self.stages.commits.abandon();
    }
}
