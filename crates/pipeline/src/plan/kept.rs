//! Points that stay, by the code that prunes them.

use std::time::Duration;

use afterimage_changelog::{MarkerKind, Timestamp, count};
use afterimage_recovery::retention::{Candidate, Keep, Period, decide};

use super::{MONTH, whole};
use crate::error::Error;

/// Points that are looked at, at most; beyond them the answer would take long and much memory.
const POINTS_MAX: u64 = 2_000_000;
/// The time of the newest point; midnight, behind all that a policy can reach back to.
const NEWEST: Timestamp = Timestamp(2 * Period::MAX.micros());

/// The points that a policy leaves of an endless row of crash-consistent ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// How long each of them reaches back to the one before it that stays, oldest first; the oldest
    /// to the one that came before it.
    pub(super) gaps: Vec<Duration>,
    /// Whether any are let go.
    pub(super) prunes: bool,
}

/// Makes points as far back as the policy reaches, a month where it keeps them for ever, and prunes them.
///
/// # Errors
///
/// They would be too many.
pub(super) fn kept(keep: &Keep, every: Duration) -> Result<Kept, Error> {
    let own = keep.own(MarkerKind::Crash);
    let ladder = own.unwrap_or(keep.main()).ladder();
    let last = ladder.as_ref().and_then(|ladder| ladder.rungs().last());
    let every_micros = micros(every);
    let points = last.map_or(micros(MONTH) / every_micros, |rung| {
        rung.until.micros() / every_micros + 1
    });
    if points > POINTS_MAX {
        return Err(Error::invalid(format!(
            "{keep} reaches back over {points} points: at most {POINTS_MAX} can be looked at, so make them \
             less often, or keep them for less long"
        )));
    }
    let candidates: Vec<Candidate> = (0..points.max(1))
        .rev()
        .map(|age| Candidate {
            id: points - age,
            kind: MarkerKind::Crash,
            time: Timestamp(NEWEST.0 - age * every_micros),
        })
        .collect();
    let decisions = decide(&candidates, keep, &[], NEWEST);
    let stay = candidates.iter().zip(&decisions);
    let stay = stay.filter(|(_, decision)| decision.keep);
    let mut before: Option<Timestamp> = None;
    let gaps: Vec<Duration> = stay
        .map(|(point, _)| {
            let since = before.map_or(every_micros, |before| point.time.0 - before.0);
            before = Some(point.time);
            Duration::from_micros(since)
        })
        .collect();
    Ok(Kept {
        gaps,
        prunes: last.is_some(),
    })
}

impl Kept {
    /// How many they are.
    pub(super) fn points(&self) -> u64 {
        count(self.gaps.len())
    }

    /// Stored bytes of their layers, where so many come in a second. What the disks hold, if it is known,
    /// is in the oldest one, and no point has more.
    pub(super) fn bytes(&self, bytes_per_second: f64, used_bytes: Option<f64>) -> u64 {
        let of_gap = |gap: &Duration| {
            let written = gap.as_secs_f64() * bytes_per_second;
            used_bytes.map_or(written, |used| written.min(used))
        };
        let Some((oldest, newer)) = self.gaps.split_first() else {
            return 0;
        };
        let oldest = used_bytes.unwrap_or_else(|| of_gap(oldest));
        whole(oldest + newer.iter().map(of_gap).sum::<f64>())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
