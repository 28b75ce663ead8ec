//! The any-write window: which segments it needs, and which point it is reached from.

use std::{sync::Arc, time::Duration};

use afterimage_cache::open_segment;
use afterimage_changelog::{Container, ObjectId, Sequence, Timestamp};
use afterimage_recovery::{
    Change, Manifest, Point, StreamPosition,
    hold::{Hold, HoldKind},
    name::kept_key,
};
use afterimage_storage::Store;

use super::{Maintenance, Tools};
use crate::error::Error;

/// The point that the oldest writes of the window are reached from is in use.
///
/// What is kept tells of it too, and not only what is wanted: whoever prunes where no worker runs wants
/// no window of his own, and a window that has begun only lately is not reached from as far back as it
/// is to be one day.
///
/// # Errors
///
/// The first of the segments that are kept is damaged or missing, or the store failed.
pub(crate) fn hold_of_window(
    target: &dyn Store,
    manifest: &Manifest,
    rewind: Option<Duration>,
) -> Result<Option<Hold>, Error> {
    let wanted = rewind.and_then(|rewind| base_of(manifest, window_start(manifest, rewind)));
    let kept = base_of_kept(target, manifest)?;
    let base = wanted.into_iter().chain(kept).max_by_key(|point| point.id);
    Ok(base.map(|base| Hold {
        id: ObjectId([0; 16]),
        group: manifest.group.clone(),
        kind: HoldKind::Use,
        manifest: None,
        point: Some(base.id),
        until: Timestamp(u64::MAX),
        text: "the window of single writes".to_owned(),
    }))
}

/// The oldest point behind which no record is missing in the segments that are kept.
fn base_of_kept<'a>(
    target: &dyn Store,
    manifest: &'a Manifest,
) -> Result<Option<&'a Point>, Error> {
    let Some(stream) = manifest.streams.first().filter(|stream| stream.kept > 0) else {
        return Ok(None);
    };
    let (group, oldest) = (&manifest.group, stream.kept_from());
    let key = kept_key(group, &stream.name, oldest);
    let opened = open_segment(target, &key, group, &stream.name, oldest)?;
    let Some(Container { header, .. }) = opened else {
        return Err(Error::corrupt(format!(
            "{key}, a segment that the target keeps, is missing: it is not known which point single \
             writes are reached from, so none is pruned"
        )));
    };
    let covered = |point: &Point| point.sequences.first().copied();
    let reaches =
        |point: &&Arc<Point>| covered(point).is_some_and(|last| last.0 + 1 >= header.first.0);
    Ok(manifest.points.iter().find(reaches).map(Arc::as_ref))
}

impl Maintenance {
    /// Segments that are older than the window.
    pub(super) fn trim(&self, manifest: &Manifest) -> Result<Option<Change>, Error> {
        let rewind = self.tools.upkeep.rewind;
        let since = window_start(manifest, rewind.unwrap_or_default());
        let base = base_of(manifest, since);
        let mut kept_from = Vec::new();
        for (place, stream) in manifest.streams.iter().enumerate() {
            let covered = base.and_then(|base| base.sequences.get(place).copied());
            let wanted = match rewind {
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

/// When a window begins.
fn window_start(manifest: &Manifest, window: Duration) -> Timestamp {
    let newest = manifest.points.last();
    let newest = newest.map_or(Timestamp(0), |point| point.time);
    let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
    Timestamp(newest.0.saturating_sub(window))
}

/// The newest point that is not within a window, or the oldest of all.
fn base_of(manifest: &Manifest, since: Timestamp) -> Option<&Point> {
    let points = &manifest.points;
    let mut newest_first = points.iter().rev();
    let base = newest_first.find(|point| point.time <= since);
    base.or(points.first()).map(Arc::as_ref)
}
