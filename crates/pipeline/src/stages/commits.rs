//! Sealed parts in, committed points out: as many at once as have come.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use afterimage_cache::stream_prefix;
use afterimage_changelog::{Position, count};
use afterimage_recovery::{
    Change, Committer, Head, Proposal, RecoveryError, WrittenLayers, delete_layers,
};

use super::part::{Counts, Cut, Sealed};
use crate::{
    error::Error,
    ingest::{IngestParts, PointReport},
    rewind::Keeper,
};

/// How far the segments of the stream have been read, told by whoever reads them: those were visible
/// by then.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadMark(Arc<AtomicU64>);

impl ReadMark {
    /// Says that a segment was read.
    pub(crate) fn set(&self, segment: u64) {
        self.0.fetch_max(segment + 1, Ordering::AcqRel);
    }

    /// One more than the newest segment that was read.
    fn end(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Commits points, and whatever else is to be changed.
#[derive(Debug)]
pub(crate) struct Commits {
    parts: IngestParts,
    committer: Committer,
    read: ReadMark,
    /// Segments before this one have durable names.
    settled: u64,
    /// Keeps the segments of the any-write window at the target.
    keeper: Option<Keeper>,
    /// Parts taken so far.
    taken: u64,
    /// The interval whose marker has not come yet.
    open: Interval,
    /// Complete intervals, oldest first.
    ready: Vec<Complete>,
}

#[derive(Debug, Default)]
struct Interval {
    written: WrittenLayers,
    counts: Counts,
}

#[derive(Debug)]
struct Complete {
    interval: Interval,
    cut: Cut,
}

/// What one commit came to.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The points, oldest first.
    pub(crate) reports: Vec<PointReport>,
    /// The position that is covered now.
    pub(crate) position: Position,
}

impl Commits {
    /// Commits as a worker that has taken the group over.
    pub(crate) fn new(parts: IngestParts, committer: Committer, read: ReadMark) -> Commits {
        let mut known = committer.head().manifest.streams.iter();
        let known = known.find(|known| known.name == parts.stream);
        let keeper = parts.rewind.then(|| {
            let (cache, target) = (Arc::clone(&parts.cache), Arc::clone(&parts.target));
            let (group, stream) = (parts.group.clone(), parts.stream.clone());
            Keeper::new(cache, target, group, stream, known)
        });
        Commits {
            keeper,
            parts,
            committer,
            read,
            settled: 0,
            taken: 0,
            open: Interval::default(),
            ready: Vec::new(),
        }
    }

    /// The newest manifest.
    pub(crate) const fn head(&self) -> &Head {
        self.committer.head()
    }

    /// Who commits, for tests of what else is committed.
    #[cfg(test)]
    pub(crate) fn into_committer(self) -> Committer {
        self.committer
    }

    /// Whether nothing more can be committed, because it is not known what the last commit came to
    /// or somebody else took the group over.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.committer.is_in_doubt()
    }

    /// Takes a part.
    ///
    /// # Panics
    ///
    /// When a part is passed over or comes twice: a point would lack writes.
    pub(crate) fn push(&mut self, sealed: Sealed) {
        let Sealed {
            number,
            written,
            counts,
            cut,
        } = sealed;
        assert_eq!(number, self.taken, "parts are committed in their order");
        self.taken += 1;
        self.open.written.add(written);
        self.open.counts.add(counts);
        if let Some(cut) = cut {
            let interval = std::mem::take(&mut self.open);
            self.ready.push(Complete { interval, cut });
        }
    }

    /// Intervals that wait to be committed.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Commits what is ready with one manifest; `None` where nothing is. Where single writes can be
    /// gone back to, the segments are kept at the target before: a crash leaves some that no manifest
    /// counts yet.
    ///
    /// # Errors
    ///
    /// A store failed, another worker took over, or the outcome is in doubt.
    ///
    /// # Panics
    ///
    /// Never: a commit has as many points as it was given.
    pub(crate) fn commit(&mut self) -> Result<Option<Committed>, Error> {
        let Some(newest) = self.ready.last() else {
            return Ok(None);
        };
        let position = newest.cut.position;
        self.settle(&position)?;
        let kept_from = match &mut self.keeper {
            Some(keeper) => {
                let first = keeper.keep_up_to(&position)?;
                vec![(self.parts.stream.clone(), first)]
            }
            None => Vec::new(),
        };
        let change = Change {
            kept_from,
            points: self
                .ready
                .iter()
                .map(|ready| self.proposal(ready))
                .collect(),
            ..Change::default()
        };
        self.change(change)?;
        let manifest = self.committer.head().manifest.number;
        let points = &self.committer.head().manifest.points;
        let new = points.len() - self.ready.len();
        let new = points.get(new..).unwrap_or_default();
        let reports = new.iter().zip(self.ready.drain(..));
        let reports = reports
            .map(|(point, Complete { interval, .. })| {
                let Interval { written, counts } = interval;
                PointReport {
                    id: point.id,
                    kind: point.kind,
                    name: point.name.clone(),
                    time: point.time,
                    records: counts.records,
                    source_bytes: counts.source_bytes,
                    changed_bytes: written.changed_bytes,
                    stored_bytes: point.stored_bytes(),
                    passed_frames: written.passed_frames,
                    repacked_frames: written.repacked_frames,
                    fetched_bytes: written.fetched_bytes,
                    layers: count(written.layers.len()),
                    manifest,
                }
            })
            .collect();
        Ok(Some(Committed { reports, position }))
    }

    /// Commits any change.
    ///
    /// # Errors
    ///
    /// Those of [`Committer::commit`].
    pub(crate) fn change(&mut self, change: Change) -> Result<&Head, RecoveryError> {
        let now = (self.parts.clock)();
        self.committer.commit(change, now)
    }

    /// Makes the names of the segments up to a position durable, where they are not known to be, and
    /// with them those of all that were read until now.
    fn settle(&mut self, position: &Position) -> Result<(), Error> {
        if position.segment < self.settled {
            return Ok(());
        }
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = &self.parts;
        let end = self.read.end();
        cache.settle(&stream_prefix(group, stream))?;
        self.settled = end;
        Ok(())
    }

    fn proposal(&self, complete: &Complete) -> Proposal {
        let Complete { interval, cut } = complete;
        let Cut {
            marker,
            position,
            disks,
        } = cut;
        Proposal {
            kind: marker.kind,
            name: marker.name.clone(),
            time: marker.time,
            cut: marker.cut,
            disks: disks.clone(),
            changed_bytes: interval.written.changed_bytes,
            layers: interval.written.layers.clone(),
            streams: vec![(self.parts.stream.clone(), *position)],
        }
    }

    /// Deletes the layers that will not be committed from here, so that trying again on a full store
    /// does not fill it more. Those whose commit is in doubt stay.
    pub(crate) fn abandon(&mut self) {
        let IngestParts { target, group, .. } = &self.parts;
        let open = std::mem::take(&mut self.open);
        delete_layers(target.as_ref(), group, &open.written.layers);
        let ready = std::mem::take(&mut self.ready);
        if self.committer.is_in_doubt() {
            return;
        }
        for Complete { interval, .. } in ready {
            delete_layers(target.as_ref(), group, &interval.written.layers);
        }
    }
}
