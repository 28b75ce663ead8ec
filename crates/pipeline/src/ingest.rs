//! From segments to committed points: one step a segment, no threads.

use std::sync::Arc;

use afterimage_cache::{
    Segment, acknowledge, check_anchor, segment_key, segment_number, stream_prefix,
};
use afterimage_changelog::{
    Marker, MarkerKind, Name, Position, RowKind, Timestamp, count, limits::ROWS_MAX,
};
use afterimage_coalesce::{Extent, coalesce};
use afterimage_recovery::{
    Change, Committer, Head, LayerJob, Proposal, WrittenLayers, name::layer_key, write_layers,
};
use afterimage_storage::{Nonces, Store};

use crate::{
    clock::Clock,
    error::Error,
    gather::{Gather, position, split},
    rewind::Keeper,
};

/// Bytes of memory that one gathered record needs at the worst: its extent, what is live of it, and
/// the tables of the layer writer.
const BYTES_PER_RECORD: u64 = 192;
/// Rows of a layer left for what disks that shrink add.
const ROWS_SPARE: u64 = 65_536;
/// Level of zstd for frames that are packed anew.
const ZSTD_LEVEL: i32 = 1;

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

/// Turns the segments of a stream into points. Push them in order; it cannot tell a thread from a
/// loop.
#[derive(Debug)]
pub struct Ingest {
    parts: IngestParts,
    committer: Committer,
    gather: Gather,
    records_max: usize,
    /// Layers of the interval that were sealed because it did not fit the memory.
    partial: WrittenLayers,
    partial_records: u64,
    partial_source_bytes: u64,
    /// The lowest segment that may still be in the cache.
    oldest: u64,
    keeper: Option<Keeper>,
    /// Whether a segment was taken whose name may not be durable yet.
    unsettled: bool,
}

impl Ingest {
    /// Takes the group over and deletes what an earlier worker had covered but not deleted.
    ///
    /// # Errors
    ///
    /// A store failed, the head of the chain is damaged, or another worker was faster.
    pub fn open(parts: IngestParts) -> Result<Ingest, Error> {
        let committer = Committer::acquire(
            Arc::clone(&parts.target),
            Arc::clone(&parts.nonces),
            parts.group.clone(),
            (parts.clock)(),
        )?;
        let manifest = &committer.head().manifest;
        let disks = manifest.points.last().map(|point| manifest.disks(point));
        let disks = disks.unwrap_or_default().to_vec();
        let position = manifest.position(&parts.stream);
        let known = manifest.streams.iter();
        let known = known.into_iter().find(|known| known.name == parts.stream);
        let keeper = parts.rewind.then(|| {
            let (group, stream) = (parts.group.clone(), parts.stream.clone());
            Keeper::new(
                Arc::clone(&parts.cache),
                &parts.target,
                group,
                stream,
                known,
            )
        });
        // What is live of n records is less than 2n runs, and they go into one layer's rows.
        let rows = ROWS_MAX / 2 - ROWS_SPARE;
        let records_max = (parts.memory / 2 / BYTES_PER_RECORD).clamp(1024, rows);
        let mut ingest = Ingest {
            gather: Gather::new(disks),
            records_max: usize::try_from(records_max).unwrap_or(usize::MAX),
            committer,
            parts,
            partial: WrittenLayers::default(),
            partial_records: 0,
            partial_source_bytes: 0,
            oldest: 0,
            keeper,
            unsettled: false,
        };
        if let Some(position) = position {
            // Only next to the segment that the points end in may anything be taken for covered.
            let IngestParts {
                cache,
                group,
                stream,
                ..
            } = &ingest.parts;
            check_anchor(cache.as_ref(), group, stream, &position)?;
            ingest.sweep(&position)?;
        }
        Ok(ingest)
    }

    /// The newest manifest.
    #[must_use]
    pub const fn head(&self) -> &Head {
        self.committer.head()
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
        let first_row = segment.covered_rows;
        self.unsettled = true;
        let (segment, rows) = split(segment);
        let mut disks = self.gather.add_source(&segment)?;
        for (number, row) in rows.iter().enumerate().skip(first_row) {
            let position = position(&segment, number);
            if row.kind == RowKind::Marker {
                let markers = &segment.container.directory.markers;
                let marker = usize::try_from(row.start).ok();
                let marker = marker.and_then(|marker| markers.get(marker));
                let marker = marker.expect("rows were checked against the table of markers");
                self.gather.add_row(row, position.sequence, &disks);
                let made = self.cut(marker, position)?;
                report(made);
                self.acknowledge(&position)?;
                disks = self.gather.add_source(&segment)?;
                continue;
            }
            if self.gather.extents.len() >= self.records_max
                || self.gather.sources.memory() > self.parts.memory / 4
            {
                self.seal_partial()?;
                disks = self.gather.add_source(&segment)?;
            }
            self.gather.add_row(row, position.sequence, &disks);
        }
        Ok(())
    }

    /// Makes the point of a marker.
    ///
    /// 1. the layers are written and durable: a crash leaves objects that nobody names;
    /// 2. the names of the segments read are durable, so that no later cache contradicts the point;
    /// 3. where single writes can be gone back to the segments are kept at the target: a crash
    ///    leaves some that no manifest counts yet;
    /// 4. the manifest commits point, position and layers at once, and is read back;
    /// 5. the segments before the position are deleted: a crash leaves some, which the next open
    ///    deletes.
    fn cut(&mut self, marker: &Marker, position: Position) -> Result<PointReport, Error> {
        self.seal_partial()?;
        let IngestParts {
            cache,
            group,
            stream,
            clock,
            ..
        } = &self.parts;
        if self.unsettled {
            cache.settle(&stream_prefix(group, stream))?;
            self.unsettled = false;
        }
        let proposal = Proposal {
            kind: marker.kind,
            name: marker.name.clone(),
            time: marker.time,
            cut: marker.cut,
            disks: self.gather.disks().to_vec(),
            changed_bytes: self.partial.changed_bytes,
            layers: self.partial.layers.clone(),
            streams: vec![(stream.clone(), position)],
        };
        let now = clock();
        let kept = match &mut self.keeper {
            Some(keeper) => vec![(stream.clone(), keeper.keep_up_to(position.segment)?)],
            None => Vec::new(),
        };
        let change = Change {
            points: vec![proposal],
            kept,
            ..Change::default()
        };
        self.committer.commit(change, now)?;
        let written = std::mem::take(&mut self.partial);
        let manifest = &self.committer.head().manifest;
        let point = manifest.points.last().expect("a point was committed above");
        Ok(PointReport {
            id: point.id,
            kind: point.kind,
            name: point.name.clone(),
            time: point.time,
            records: std::mem::take(&mut self.partial_records),
            source_bytes: std::mem::take(&mut self.partial_source_bytes),
            changed_bytes: written.changed_bytes,
            stored_bytes: point.stored_bytes(),
            passed_frames: written.passed_frames,
            repacked_frames: written.repacked_frames,
            fetched_bytes: written.fetched_bytes,
            layers: count(written.layers.len()),
        })
    }

    /// Deletes the segments before a position that is committed.
    fn acknowledge(&mut self, position: &Position) -> Result<(), Error> {
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = &self.parts;
        acknowledge(cache.as_ref(), group, stream, self.oldest, position)?;
        self.oldest = position.segment;
        Ok(())
    }

    /// Seals what was gathered as layers of the interval that is being read; the interval goes on.
    fn seal_partial(&mut self) -> Result<(), Error> {
        let live: Vec<Extent> = coalesce(std::mem::take(&mut self.gather.extents));
        let first = self.gather.first.unwrap_or(self.gather.last);
        let job = LayerJob {
            store: self.parts.target.as_ref(),
            nonces: &self.parts.nonces,
            group: &self.parts.group,
            stream: &self.parts.stream,
            epoch: self.committer.epoch(),
            disks: self.gather.widest(),
            first,
            last: self.gather.last,
            created: (self.parts.clock)(),
            level: ZSTD_LEVEL,
        };
        let sources = &self.gather.sources;
        let written = write_layers(&job, &live, &sources.frames_of_object(), sources)?;
        self.partial_records += self.gather.records;
        self.partial_source_bytes += self.gather.source_bytes;
        self.gather.clear();
        self.partial.add(written);
        Ok(())
    }

    /// Commits a change that is no point.
    ///
    /// # Errors
    ///
    /// Those of [`Committer::commit`].
    pub(crate) fn commit(&mut self, change: Change) -> Result<Head, Error> {
        let now = (self.parts.clock)();
        Ok(self.committer.commit(change, now)?.clone())
    }

    /// Deletes the layers of an interval that will not be committed from here, so that trying again
    /// on a full store does not fill it more. Where a commit of them is in doubt they stay.
    pub fn abandon(&mut self) {
        if self.committer.is_in_doubt() {
            return;
        }
        for layer in std::mem::take(&mut self.partial.layers) {
            let key = layer_key(&self.parts.group, layer.epoch, layer.id);
            if let Err(error) = self.parts.target.delete(&key) {
                tracing::warn!(%key, %error, "a layer that no manifest names was left");
            }
        }
    }

    /// Deletes segments before `position` that an earlier worker left.
    fn sweep(&mut self, position: &Position) -> Result<(), Error> {
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = &self.parts;
        let prefix = stream_prefix(group, stream);
        let mut after = None;
        loop {
            let listed = cache.list(&prefix, after.as_ref(), 1)?;
            let Some(entry) = listed.into_iter().next() else {
                break;
            };
            match segment_number(&entry.key) {
                Some(number) if number < position.segment => {
                    cache.delete(&segment_key(group, stream, number))?;
                }
                Some(_) => break,
                None => {}
            }
            after = Some(entry.key);
        }
        self.oldest = position.segment;
        Ok(())
    }
}
