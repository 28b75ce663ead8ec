//! Points to decide on.

use std::collections::BTreeSet;

use afterimage_changelog::{MarkerKind, Timestamp};
use afterimage_recovery::retention::{Candidate, Hold, Keep, decide};

pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
/// 2026-01-01 00:00 UTC.
pub(crate) const JANUARY: u64 = 1_767_225_600 * SECOND;
/// Later than any point.
pub(crate) const LATER: Timestamp = Timestamp(u64::MAX);

pub(crate) fn keep(text: &str) -> Keep {
    text.parse().unwrap()
}

pub(crate) fn crash(id: u64, time: u64) -> Candidate {
    Candidate {
        id,
        kind: MarkerKind::Crash,
        time: Timestamp(time),
    }
}

/// Points at these times, with ascending ids from 1 on.
pub(crate) fn points_at(times: impl IntoIterator<Item = u64>) -> Vec<Candidate> {
    (1..).zip(times).map(|(id, time)| crash(id, time)).collect()
}

/// The ids of the points that stay.
pub(crate) fn kept(
    points: &[Candidate],
    keep: &Keep,
    holds: &[Hold],
    now: Timestamp,
) -> BTreeSet<u64> {
    let decisions = decide(points, keep, holds, now);
    assert_eq!(decisions.len(), points.len());
    let stays = decisions.iter().zip(points).filter(|(decision, point)| {
        assert_eq!(decision.id, point.id);
        assert_eq!(decision.keep, decision.reason.keeps());
        decision.keep
    });
    stays.map(|(decision, _)| decision.id).collect()
}
