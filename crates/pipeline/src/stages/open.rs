//! Taking a group over: all stages, ready to go on behind the newest point.

use std::sync::Arc;

use afterimage_cache::check_anchor;
use afterimage_changelog::Position;
use afterimage_recovery::Committer;

use super::{Acknowledger, Commits, Cutter, Mover, commits::ReadMark};
use crate::{error::Error, ingest::IngestParts};

/// The stages of one ingest.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) cutter: Cutter,
    pub(crate) mover: Mover,
    pub(crate) commits: Commits,
    pub(crate) acknowledger: Acknowledger,
    /// Where whoever reads segments says how far.
    pub(crate) read: ReadMark,
    /// Where to go on.
    pub(crate) position: Option<Position>,
}

/// Takes the group over and deletes what an earlier worker had covered but not deleted.
///
/// # Errors
///
/// A store failed, the head of the chain is damaged, or another worker was faster.
pub(crate) fn open(parts: &IngestParts) -> Result<Stages, Error> {
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
    if let Some(position) = &position {
        // Only next to the segment that the points end in may anything be taken for covered.
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = parts;
        check_anchor(cache.as_ref(), group, stream, position)?;
    }
    let acknowledger = Acknowledger::open(parts.clone(), position.as_ref())?;
    let read = ReadMark::default();
    Ok(Stages {
        cutter: Cutter::new(disks, parts.memory / PART_SHARE),
        mover: Mover::new(parts.clone(), committer.epoch()),
        commits: Commits::new(parts.clone(), committer, read.clone()),
        acknowledger,
        read,
        position,
    })
}

/// The memory is shared by what is being gathered, what waits or is being moved, and all else.
pub(crate) const PART_SHARE: u64 = 3;
