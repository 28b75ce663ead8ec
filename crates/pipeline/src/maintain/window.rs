//! The any-write window: which segments it needs, and which point it is reached from.

use std::sync::Arc;

use afterimage_cache::open_segment;
use afterimage_changelog::{Container, ObjectId, Sequence, Timestamp};
use afterimage_recovery::{
    Change, Manifest, Point, StreamPosition,
    hold::{Hold, HoldKind},
    name::kept_key,
};

use super::{Maintenance, Tools};
use crate::error::Error;

impl Maintenance {
    /// The point that the oldest writes of the window are reached from is in use.
    pub(super) fn hold_of_window(&self, manifest: &Manifest) -> Option<Hold> {
        self.tools.upkeep.rewind?;
        let base = base_of(manifest, self.window_start(manifest))?;
        Some(Hold {
            id: ObjectId([0; 16]),
            group: self.tools.group.clone(),
            kind: HoldKind::Use,
            manifest: None,
            point: Some(base.id),
            until: Timestamp(u64::MAX),
            text: "single writes are reached from it".to_owned(),
        })
    }

    /// Segments that are older than the window.
    pub(super) fn trim(&self, manifest: &Manifest) -> Result<Option<Change>, Error> {
        let since = self.window_start(manifest);
        let base = base_of(manifest, since);
        let mut kept_from = Vec::new();
        for (place, stream) in manifest.streams.iter().enumerate() {
            let covered = base.and_then(|base| base.sequences.get(place).copied());
            let wanted = match self.tools.upkeep.rewind {
                // Whoever does not make points does not know how far back they are wanted.
                None => stream.kept,
                Some(_) => self.wanted(stream, since, covered.unwrap_or(Sequence(0)))?,
            };
            if wanted < stream.kept {
                // By its number: more segments may be covered by the time that this is committed.
                let first = stream.position.segment + 1 - wanted;
                kept_from.push((stream.name.clone(), first));
            }
        }
        Ok((!kept_from.is_empty()).then(|| Change {
            kept_from,
            ..Change::default()
        }))
    }

    /// When the window begins.
    fn window_start(&self, manifest: &Manifest) -> Timestamp {
        let newest = manifest.points.last();
        let newest = newest.map_or(Timestamp(0), |point| point.time);
        let window = self.tools.upkeep.rewind.unwrap_or_default();
        let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Timestamp(newest.0.saturating_sub(window))
    }

    /// How many of the newest kept segments hold a record that is needed to go back to one of the
    /// window: those of the window, and those between it and the point it is reached from, which
    /// covers everything up to `covered`.
    fn wanted(
        &self,
        stream: &StreamPosition,
        since: Timestamp,
        covered: Sequence,
    ) -> Result<u64, Error> {
        let Tools { target, group, .. } = &self.tools;
        let mut wanted = stream.kept;
        for second in stream.kept_from() + 1..=stream.position.segment {
            let key = kept_key(group, &stream.name, second);
            let opened = open_segment(target.as_ref(), &key, group, &stream.name, second)?;
            // One that is missing does not say whether those before it are needed.
            let Some(Container { header, .. }) = opened else {
                continue;
            };
            // A segment says when it was begun, so the one before it was ended by then.
            if header.created >= since || header.first.0 > covered.0 + 1 {
                break;
            }
            wanted = stream.position.segment + 1 - second;
        }
        Ok(wanted)
    }
}

/// The newest point that is not within a window, or the oldest of all.
fn base_of(manifest: &Manifest, since: Timestamp) -> Option<&Point> {
    let points = &manifest.points;
    let mut newest_first = points.iter().rev();
    let base = newest_first.find(|point| point.time <= since);
    base.or(points.first()).map(Arc::as_ref)
}
