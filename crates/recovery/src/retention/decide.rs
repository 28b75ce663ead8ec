//! Points in, a decision for each out.

use std::collections::HashMap;

use afterimage_changelog::{MarkerKind, Timestamp};

use super::{
    Keep,
    ladder::{Ladder, Step},
    reason::Reason,
    slot::Slot,
};
use crate::manifest::Point;

/// What a decision needs to know of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number in the group; the newest point has the highest.
    pub id: u64,
    /// What it promises.
    pub kind: MarkerKind,
    /// The time at the source.
    pub time: Timestamp,
}

impl From<&Point> for Candidate {
    fn from(point: &Point) -> Candidate {
        Candidate {
            id: point.id,
            kind: point.kind,
            time: point.time,
        }
    }
}

/// Why a point must not go, whatever its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// Someone asked for it, and this is what they said.
    Pinned(String),
    /// This reads it: a restore, a drill, a replica.
    InUse(String),
}

/// A point that must not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The point.
    pub point: u64,
    /// Why.
    pub reason: HoldReason,
    /// It counts before this time; `None` where it has no end.
    pub until: Option<Timestamp>,
}

impl Hold {
    fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Later is stronger, and no end is the strongest.
    fn end(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp(u64::MAX))
    }
}

/// What becomes of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The point.
    pub id: u64,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reason: Reason,
}

/// Decides for each point whether it stays, in the order in which they are given.
///
/// The age of a point is counted back from the time of the newest one, not from now: where no new point can be
/// made, the old ones stay. Only where the newest claims to be of the future is it counted from now, so a clock
/// that ran ahead at the source does not make every other point old. A point that is later than what ages are counted
/// from has no age.
///
/// Of a slot the point with the latest time stays. It is the last one of the slot to become too old, so a slot has its
/// point as long as it has any. Points whose kind has a rule of its own do not stand for the others, nor the
/// others for them. A hold only adds to what stays: what the ladder keeps is the same with it and without.
///
/// The cost is that of sorting the points.
#[must_use]
pub fn decide(points: &[Candidate], keep: &Keep, holds: &[Hold], now: Timestamp) -> Vec<Decision> {
    let Some(newest) = points.iter().max_by_key(|point| point.id) else {
        return Vec::new();
    };
    let counted_from = newest.time.min(now);
    let held = strongest_holds(holds, now);
    let fields = fields(points, keep);
    let decisions = points.iter().map(|point| {
        let reason = if point.id == newest.id {
            Reason::Newest
        } else if let Some(hold) = held.get(&point.id) {
            Reason::Held {
                reason: hold.reason.clone(),
                until: hold.until,
            }
        } else {
            field_of(point, keep, &fields).reason(point, counted_from)
        };
        Decision {
            id: point.id,
            keep: reason.keeps(),
            reason,
        }
    });
    decisions.collect()
}

/// The hold of each point that lasts longest.
fn strongest_holds(holds: &[Hold], now: Timestamp) -> HashMap<u64, &Hold> {
    let mut held: HashMap<u64, &Hold> = HashMap::new();
    for hold in holds.iter().filter(|hold| hold.counts(now)) {
        let strongest = held.entry(hold.point).or_insert(hold);
        if strongest.end() < hold.end() {
            *strongest = hold;
        }
    }
    held
}

/// The points that one rule is for.
struct Field {
    kind: Option<MarkerKind>,
    /// `None` where nothing goes.
    ladder: Option<Ladder>,
    /// Time and id of its points, sorted.
    points: Vec<(Timestamp, u64)>,
}

/// The kind, where it has a rule of its own.
fn own_kind(point: &Candidate, keep: &Keep) -> Option<MarkerKind> {
    keep.own(point.kind).map(|_| point.kind)
}

fn fields(points: &[Candidate], keep: &Keep) -> HashMap<Option<MarkerKind>, Field> {
    let mut fields: HashMap<Option<MarkerKind>, Field> = HashMap::new();
    for point in points {
        let kind = own_kind(point, keep);
        let field = fields.entry(kind).or_insert_with(|| {
            let own = kind.and_then(|kind| keep.own(kind));
            Field {
                kind,
                ladder: own.unwrap_or(keep.main()).ladder(),
                points: Vec::new(),
            }
        });
        field.points.push((point.time, point.id));
    }
    for field in fields.values_mut() {
        field.points.sort_unstable();
    }
    fields
}

fn field_of<'a>(
    point: &Candidate,
    keep: &Keep,
    fields: &'a HashMap<Option<MarkerKind>, Field>,
) -> &'a Field {
    let field = fields.get(&own_kind(point, keep));
    field.expect("a field was made for each point's kind")
}

impl Field {
    fn reason(&self, point: &Candidate, counted_from: Timestamp) -> Reason {
        let Some(ladder) = &self.ladder else {
            return Reason::Forever(self.kind);
        };
        let age_micros = counted_from.0.saturating_sub(point.time.0);
        let Some(rung) = ladder.rung(age_micros) else {
            return Reason::TooOld(ladder.until());
        };
        let Step::Every(every) = rung.step else {
            return Reason::Young(rung.until);
        };
        let slot = Slot::of(point.time, every);
        match self.latest(slot) {
            Some(by) if by != point.id => Reason::PassedOver { by, slot },
            _ => Reason::Stands {
                slot,
                every,
                until: rung.until,
            },
        }
    }

    /// The point with the latest time of a slot; of those with the same time the newest one.
    fn latest(&self, slot: Slot) -> Option<u64> {
        let last = slot.last();
        let behind = self.points.partition_point(|(time, _)| *time <= last);
        let before = self.points.get(..behind)?;
        before.last().map(|(_, id)| *id)
    }
}
