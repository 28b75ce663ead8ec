//! What a group takes of object stores in a month, worked out before anything is there. Pure: it talks
//! to no store.
//!
//! | part | what |
//! | --- | --- |
//! | `requests` | what the code sends for a segment, a point, a pruning |
//! | `kept` | which points stay, by the code that prunes |
//! | `price` | amounts times prices |
//!
//! The amounts are those of a worker that keeps up. They leave out the first copy of the disks, restores,
//! replicas, requests that are tried again, compaction, which reads and writes layers once more where
//! that gives space back, and indexes and manifests, a few hundredths of what is stored.

mod kept;
mod price;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use afterimage_cache::SegmentLimits;
use afterimage_changelog::{container::BILLED_TAIL_BYTES, limits::DISKS_MAX};
use afterimage_recovery::retention::Keep;
use afterimage_storage::{Provider, Requests};

pub use self::{
    price::{PriceLine, Prices},
    requests::{MeanRequests, RequestModel},
};
use crate::{error::Error, maintain::BILLED_EVERY};

/// The month that amounts are of: 30 days.
pub const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The shortest time that is planned with.
const TIME_MIN: Duration = Duration::from_millis(10);

/// What is planned for.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanInput {
    /// Bytes that all disks of the group together write in a second; above 0.
    pub churn_bytes_per_second: u64,
    /// Disks of the group, 1 to 256.
    pub disks: u16,
    /// After how long an agent seals a segment that is not full; this and the next two from 10 ms to 30 days.
    pub seal: Duration,
    /// How often points are made.
    pub points: Duration,
    /// How often a worker looks for the next segment.
    pub poll: Duration,
    /// Which points stay.
    pub keep: Keep,
    /// Stored bytes for each that is written; above 0, at most 1.
    pub ratio: f64,
    /// Share of the bytes written between two points that is not overwritten before the second; above 0, at
    /// most 1.
    pub live: f64,
    /// Bytes that all disks together hold. They are in the oldest point, and no point has more; `None`
    /// where that is not known and to be left out.
    pub used_bytes: Option<u64>,
    /// Who has cache and target.
    pub provider: Provider,
}

/// What is asked of one store, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreAmounts {
    /// Requests in a month.
    pub requests: Requests,
    /// Bytes that it holds, on average.
    pub stored_bytes: u64,
    /// Bytes that are sent to it in a month.
    pub in_bytes: u64,
    /// Bytes that are read from it in a month.
    pub out_bytes: u64,
}

/// What a group takes in a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Segments that are sealed.
    pub segments: u64,
    /// Stored bytes of each.
    pub segment_bytes: u64,
    /// Time from one to the next.
    pub segment_time: Duration,
    /// Points that are made.
    pub points: u64,
    /// Stored bytes of the layers of each, as it is made.
    pub point_bytes: u64,
    /// Points that stay; after a month where none go.
    pub kept_points: u64,
    /// Points that are there besides at most: they wait for the next pruning.
    pub waiting_points: u64,
    /// How often points are let go: behind a point, at most once an hour, where the policy lets any go.
    pub prunings: u64,
    /// Requests for a segment, all to the cache.
    pub per_segment: MeanRequests,
    /// Requests for a point, all to the target.
    pub per_point: MeanRequests,
    /// Requests for a pruning, all to the target.
    pub per_pruning: MeanRequests,
    /// The cache.
    pub cache: StoreAmounts,
    /// The target. What its points hold is the most that it can be: bytes that were overwritten
    /// between two points that stay count as long as one in between was made.
    pub target: StoreAmounts,
}

/// Works out what a group takes.
///
/// # Errors
///
/// A number of the input is not in its range, or the policy reaches back over too many points.
pub fn plan(input: &PlanInput) -> Result<Plan, Error> {
    check(input)?;
    let model = RequestModel::of(input.provider);
    let stored_per_second = input.churn_bytes_per_second as f64 * input.ratio;
    let month = MONTH.as_secs_f64();

    let full_after = SegmentLimits::default().segment_bytes as f64 / stored_per_second;
    let segment_seconds = full_after.min(input.seal.as_secs_f64());
    let segment_bytes = segment_seconds * stored_per_second;
    let segments = month / segment_seconds;
    let point_seconds = input.points.as_secs_f64();
    let per_segment = model.segment(
        segment_bytes,
        input.ratio,
        point_seconds / segment_seconds,
        segment_seconds / input.poll.as_secs_f64(),
    );

    let points = month / point_seconds;
    let live_per_second = stored_per_second * input.live;
    let used_bytes = input.used_bytes.map(|used| used as f64 * input.ratio);
    let point_bytes = (live_per_second * point_seconds).min(used_bytes.unwrap_or(f64::MAX));
    let per_point = model.point(point_bytes);
    let kept = kept::kept(&input.keep, input.points)?;
    let per_pruning = model.pruning();
    // A worker prunes behind a point, but not behind each.
    let most = month / BILLED_EVERY.as_secs_f64();
    let prunings = if kept.prunes { points.min(most) } else { 0.0 };
    // Where nothing is pruned, manifests wait until there are more than 64 of them.
    let collections = if kept.prunes {
        0.0
    } else {
        (points / 65.0).min(most)
    };
    // Those that are to go wait for the pruning.
    let waiting = match kept.prunes {
        true => (BILLED_EVERY.as_secs_f64() / point_seconds).floor(),
        false => 0.0,
    };
    let waiting_bytes = waiting * point_bytes;
    let moved = month * stored_per_second;

    Ok(Plan {
        segments: whole(segments),
        segment_bytes: whole(segment_bytes),
        segment_time: Duration::from_secs_f64(segment_seconds),
        points: whole(points),
        point_bytes: whole(point_bytes),
        kept_points: kept.points(),
        waiting_points: whole(waiting),
        prunings: whole(prunings),
        per_segment,
        per_point,
        per_pruning,
        cache: StoreAmounts {
            requests: rounded(per_segment * segments),
            // Half an interval waits for its point on average; the segment that it ends in stays.
            stored_bytes: whole(stored_per_second * point_seconds / 2.0 + segment_bytes),
            in_bytes: whole(moved),
            // Few frames are dead from end to end, so all are fetched, and the end with its index before.
            out_bytes: whole(moved + segments * segment_bytes.min(BILLED_TAIL_BYTES as f64)),
        },
        target: StoreAmounts {
            requests: rounded(
                per_point * points + per_pruning * prunings + model.collection() * collections,
            ),
            stored_bytes: kept.bytes(live_per_second, used_bytes) + whole(waiting_bytes),
            in_bytes: whole(point_bytes * points),
            out_bytes: whole(model.read_back(point_bytes) * points),
        },
    })
}

fn check(input: &PlanInput) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::invalid(what));
    if input.churn_bytes_per_second == 0 {
        return refuse(
            "a churn of nothing: give the bytes that are written in a second".to_owned(),
        );
    }
    if input.disks == 0 || input.disks > DISKS_MAX {
        return refuse(format!(
            "{} disks: a group has from 1 to {DISKS_MAX}",
            input.disks
        ));
    }
    if input.used_bytes == Some(0) {
        return refuse("disks that hold nothing: leave that out where it is not known".to_owned());
    }
    let times = [
        ("segments sealed", input.seal),
        ("points made", input.points),
        ("a look at the cache", input.poll),
    ];
    let is_odd = |every: Duration| !(TIME_MIN..=MONTH).contains(&every);
    if let Some((what, every)) = times.iter().find(|(_, every)| is_odd(*every)) {
        return refuse(format!(
            "{what} every {every:?}: from every {TIME_MIN:?} to every 30 days"
        ));
    }
    for (what, share) in [("ratio", input.ratio), ("live share", input.live)] {
        if !(share > 0.0 && share <= 1.0) {
            return refuse(format!("a {what} of {share}: above 0, and at most 1"));
        }
    }
    Ok(())
}

fn rounded(requests: MeanRequests) -> Requests {
    Requests {
        puts: whole(requests.puts),
        gets: whole(requests.gets),
        heads: whole(requests.heads),
        lists: whole(requests.lists),
        deletes: whole(requests.deletes),
    }
}

/// The nearest whole number; the largest there is where it is larger.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no amount is below 0, and the cast stops at the largest number"
)]
fn whole(amount: f64) -> u64 {
    amount.round() as u64
}
