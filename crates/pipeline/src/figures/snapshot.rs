//! The figures at one moment, and what they were a few seconds ago.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use afterimage_changelog::Timestamp;

use super::Stage;

/// How far back rates and shares look.
const WINDOW: Duration = Duration::from_secs(5);
/// Looks closer together than this are not remembered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sums since the pipeline was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sums {
    /// Points committed.
    pub points: u64,
    /// Manifests that committed them.
    pub commits: u64,
    /// Segments read.
    pub segments: u64,
    /// Records that were cut into intervals, committed or not yet.
    pub records: u64,
    /// Bytes that the source wrote in them, other than zeroes.
    pub read_bytes: u64,
    /// Bytes fetched from the cache.
    pub fetched_bytes: u64,
    /// Bytes of frames that went into layers: stored ones of those copied, live ones of the others.
    pub moved_bytes: u64,
    /// Bytes that the source wrote in the intervals of the points.
    pub source_bytes: u64,
    /// Bytes of the disks that remain of them.
    pub changed_bytes: u64,
    /// Bytes of the layers that hold them.
    pub stored_bytes: u64,
    /// Points that upkeep let go.
    pub pruned_points: u64,
    /// Layers that compaction wrote in the place of others.
    pub compacted_layers: u64,
    /// Stored bytes that it read for them.
    pub compacted_bytes: u64,
    /// Merged indexes that upkeep made.
    pub indexes: u64,
    /// Layers, indexes and pages that it deleted.
    pub deleted_objects: u64,
    /// Manifests that it deleted.
    pub deleted_manifests: u64,
    /// How often it failed; points do not depend on it.
    pub upkeep_failures: u64,
}

/// What a pipeline looks like at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Sums since the pipeline was built.
    pub sums: Sums,
    /// Bytes of writes taken in a second.
    pub read_bytes_per_second: f64,
    /// Bytes fetched in a second.
    pub fetched_bytes_per_second: f64,
    /// Bytes stored in a second.
    pub stored_bytes_per_second: f64,
    /// Bytes that the source wrote in a second of its own time; `None` where no point was made.
    pub churn_bytes_per_second: Option<f64>,
    /// Bytes that the source wrote for each that remains of them, over all points.
    pub coalescing_ratio: Option<f64>,
    /// Bytes that remain for each that is stored, over all points.
    pub compression_ratio: Option<f64>,
    /// Now minus the source's time at the newest point.
    pub rpo: Option<Duration>,
    /// The stages in order.
    pub stages: Vec<StageSnapshot>,
    /// The stage that was at work the most, unless all mostly waited.
    pub bottleneck: Option<Stage>,
}

/// One stage at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageSnapshot {
    /// Which.
    pub stage: Stage,
    /// Share of the time that it was at work, of all its threads.
    pub busy: f64,
    /// Segments, parts of intervals or commits that wait for it.
    pub waiting: usize,
}

/// What the figures were when somebody looked.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) sums: Sums,
    pub(super) newest: Option<Timestamp>,
    /// Time at work of each stage.
    pub(super) busy: [Duration; Stage::ALL.len()],
}

impl Sample {
    pub(super) fn start(at: Instant) -> Sample {
        Sample {
            at,
            sums: Sums::default(),
            newest: None,
            busy: [Duration::ZERO; Stage::ALL.len()],
        }
    }
}

/// Remembers a look; gives the one to compare it with, which is of about a window ago, or the last
/// one where nobody looked for longer.
pub(super) fn look_back(samples: &mut VecDeque<Sample>, sample: Sample) -> Option<Sample> {
    let age = |old: &Sample| sample.at.saturating_duration_since(old.at);
    while samples.len() > 1 && samples.front().is_some_and(|old| age(old) > WINDOW) {
        samples.pop_front();
    }
    let before = samples.front().cloned();
    if samples.back().is_none_or(|last| age(last) >= LOOK_EVERY) {
        samples.push_back(sample);
    }
    before
}

impl Snapshot {
    pub(super) fn between(
        before: &Sample,
        now: &Sample,
        waiting: [usize; Stage::ALL.len()],
        crew: usize,
        time: Timestamp,
    ) -> Snapshot {
        let window = now.at.saturating_duration_since(before.at).as_secs_f64();
        let (old, sums) = (&before.sums, now.sums);
        let per_second =
            |now: u64, before: u64| ratio(now.saturating_sub(before), window).unwrap_or(0.0);
        let stages = Stage::ALL.into_iter().zip(waiting);
        let busy = now.busy.iter().zip(before.busy);
        let stages: Vec<StageSnapshot> = stages
            .zip(busy)
            .map(|((stage, waiting), (now, before))| {
                let workers = match stage {
                    Stage::Move | Stage::Seal => crew,
                    _ => 1,
                };
                let workers = f64::from(u8::try_from(workers).unwrap_or(u8::MAX));
                let busy = now.saturating_sub(before).as_secs_f64() / workers;
                StageSnapshot {
                    stage,
                    busy: if window > 0.0 {
                        (busy / window).min(1.0)
                    } else {
                        0.0
                    },
                    waiting,
                }
            })
            .collect();
        let busiest = stages
            .iter()
            .max_by(|one, other| one.busy.total_cmp(&other.busy));
        let source_time = match (before.newest, now.newest) {
            (Some(before), Some(now)) => now.0.saturating_sub(before.0),
            _ => 0,
        };
        let source_time = Duration::from_micros(source_time).as_secs_f64();
        Snapshot {
            sums,
            read_bytes_per_second: per_second(sums.read_bytes, old.read_bytes),
            fetched_bytes_per_second: per_second(sums.fetched_bytes, old.fetched_bytes),
            stored_bytes_per_second: per_second(sums.stored_bytes, old.stored_bytes),
            churn_bytes_per_second: ratio(
                sums.source_bytes.saturating_sub(old.source_bytes),
                source_time,
            ),
            coalescing_ratio: ratio(sums.source_bytes, float(sums.changed_bytes)),
            compression_ratio: ratio(sums.changed_bytes, float(sums.stored_bytes)),
            rpo: now
                .newest
                .map(|newest| Duration::from_micros(time.0.saturating_sub(newest.0))),
            bottleneck: busiest
                .filter(|busiest| busiest.busy > 0.5)
                .map(|busiest| busiest.stage),
            stages,
        }
    }
}

fn ratio(above: u64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| float(above) / below)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, seconds: u64, busy_millis: [u64; 6]) -> Sample {
        Sample {
            at: at + Duration::from_secs(seconds),
            sums: Sums {
                read_bytes: 1000 * seconds,
                source_bytes: 600 * seconds,
                changed_bytes: 300 * seconds,
                stored_bytes: 100 * seconds,
                ..Sums::default()
            },
            newest: Some(Timestamp(20_000_000 * seconds)),
            busy: busy_millis.map(Duration::from_millis),
        }
    }

    #[test]
    fn rates_are_of_the_window_and_ratios_of_everything() {
        let origin = crate::clock::instant();
        let before = sample(origin, 2, [0; 6]);
        let now = sample(origin, 4, [0, 100, 7600, 2000, 10, 0]);
        let seen = Snapshot::between(&before, &now, [0, 1, 2, 3, 4, 5], 4, Timestamp(81_000_000));
        assert!((seen.read_bytes_per_second - 1000.0).abs() < 1e-9);
        assert_eq!(seen.churn_bytes_per_second, Some(30.0));
        assert_eq!(seen.coalescing_ratio, Some(2.0));
        assert_eq!(seen.compression_ratio, Some(3.0));
        assert_eq!(seen.rpo, Some(Duration::from_secs(1)));
        // Four threads seal, so two seconds of theirs in two seconds are a quarter; four move.
        let busy: Vec<f64> = seen.stages.iter().map(|stage| stage.busy).collect();
        assert_eq!(busy, [0.0, 0.05, 0.95, 0.25, 0.005, 0.0]);
        assert_eq!(seen.bottleneck, Some(Stage::Move));
        assert_eq!(seen.stages[3].waiting, 3);
    }

    #[test]
    fn a_look_is_compared_with_one_of_a_window_ago() {
        let origin = crate::clock::instant();
        let mut samples = VecDeque::new();
        let mut look = |seconds| {
            let before = look_back(&mut samples, sample(origin, seconds, [0; 6]));
            before.map(|before| before.at.duration_since(origin).as_secs())
        };
        assert_eq!(look(1), None);
        assert_eq!(look(2), Some(1));
        assert_eq!(look(6), Some(1));
        assert_eq!(look(8), Some(6));
        assert_eq!(look(60), Some(8));
        assert_eq!(look(61), Some(60));
    }
}
