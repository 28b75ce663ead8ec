//! What a pipeline does: sums, rates, and which stage holds the others up.
//!
//! It is also recorded through the `metrics` crate, under the names in docs/metrics.md.

mod meter;
mod snapshot;

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use afterimage_changelog::{Name, Timestamp, count};
use afterimage_recovery::WrittenLayers;
use metrics::{counter, gauge, histogram};

pub use self::snapshot::{Snapshot, StageSnapshot, Sums};
use self::{meter::Meter, snapshot::Sample};
use crate::{
    clock::{Clock, instant},
    ingest::PointReport,
    maintain::Tended,
    stages::Counts,
};

/// Threads that move frames, on one pool of cores, and as many that make layers durable. Both wait for
/// the disk, which takes several syncs for one: a part of a few megabytes is written and synced in less time
/// than the next one takes to be checked.
pub(crate) const CREW: usize = 4;
/// The same where they wait for a server.
pub(crate) const BILLED_CREW: usize = 12;

/// A stage of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reads the indexes of segments.
    Read,
    /// Cuts the stream into intervals and coalesces them.
    Cut,
    /// Fetches, checks and writes frames.
    Move,
    /// Makes layers durable.
    Seal,
    /// Commits manifests.
    Commit,
    /// Deletes covered segments.
    Acknowledge,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 6] = [
        Stage::Read,
        Stage::Cut,
        Stage::Move,
        Stage::Seal,
        Stage::Commit,
        Stage::Acknowledge,
    ];

    /// The word that people and metrics see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Cut => "cut",
            Stage::Move => "move",
            Stage::Seal => "seal",
            Stage::Commit => "commit",
            Stage::Acknowledge => "acknowledge",
        }
    }
}

/// The figures of a pipeline, over all its runs. They can be read from any thread while it runs.
pub struct Figures {
    crew: usize,
    group: String,
    clock: Clock,
    origin: Instant,
    state: Mutex<State>,
    read: StageFigures,
    cut: StageFigures,
    moving: StageFigures,
    seal: StageFigures,
    commit: StageFigures,
    acknowledge: StageFigures,
}

#[derive(Debug, Default)]
struct State {
    sums: Sums,
    /// The source's time at the newest point.
    newest: Option<Timestamp>,
    /// What was there when somebody looked, oldest first.
    samples: VecDeque<Sample>,
}

#[derive(Debug, Default)]
struct StageFigures {
    workers: [Meter; BILLED_CREW],
    waiting: AtomicUsize,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Figures({})", self.group)
    }
}

impl Figures {
    /// Of a pipeline with so many movers and sealers each.
    pub(crate) fn new(group: &Name, clock: Clock, crew: usize) -> Figures {
        Figures {
            crew,
            group: group.to_string(),
            clock,
            origin: instant(),
            state: Mutex::default(),
            read: StageFigures::default(),
            cut: StageFigures::default(),
            moving: StageFigures::default(),
            seal: StageFigures::default(),
            commit: StageFigures::default(),
            acknowledge: StageFigures::default(),
        }
    }

    fn stage(&self, stage: Stage) -> &StageFigures {
        match stage {
            Stage::Read => &self.read,
            Stage::Cut => &self.cut,
            Stage::Move => &self.moving,
            Stage::Seal => &self.seal,
            Stage::Commit => &self.commit,
            Stage::Acknowledge => &self.acknowledge,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Sums are only added to, so what a panicking thread left is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many movers there are, and sealers.
    pub(crate) const fn crew(&self) -> usize {
        self.crew
    }

    /// Does some of a stage's work, as one of its workers, and counts the time.
    pub(crate) fn busy<T>(&self, stage: Stage, worker: usize, work: impl FnOnce() -> T) -> T {
        let begun = instant();
        let outcome = match self.stage(stage).workers.get(worker) {
            Some(meter) => meter.run(self.origin, work),
            None => work(),
        };
        let labels = [
            ("group", self.group.clone()),
            ("stage", stage.word().into()),
        ];
        histogram!("afterimage_stage_seconds", &labels).record(begun.elapsed());
        outcome
    }

    /// Says how much waits for a stage.
    pub(crate) fn waiting(&self, stage: Stage, things: usize) {
        self.stage(stage).waiting.store(things, Ordering::Relaxed);
        let labels = [
            ("group", self.group.clone()),
            ("stage", stage.word().into()),
        ];
        gauge!("afterimage_waiting", &labels)
            .set(f64::from(u32::try_from(things).unwrap_or(u32::MAX)));
    }

    /// A segment was read.
    pub(crate) fn segment(&self) {
        self.state().sums.segments += 1;
        self.count("afterimage_segments_total", 1);
    }

    /// Segments read so far.
    pub(crate) fn segments(&self) -> u64 {
        self.state().sums.segments
    }

    /// A part of an interval was cut.
    pub(crate) fn cut(&self, counts: Counts) {
        let mut state = self.state();
        state.sums.read_bytes += counts.source_bytes;
        state.sums.records += counts.records;
        drop(state);
        self.count("afterimage_read_bytes_total", counts.source_bytes);
        self.count("afterimage_records_total", counts.records);
    }

    /// The layers of a part were written.
    pub(crate) fn moved(&self, written: &WrittenLayers) {
        let moved = written.passed_bytes + written.repacked_bytes;
        let mut state = self.state();
        state.sums.fetched_bytes += written.fetched_bytes;
        state.sums.moved_bytes += moved;
        drop(state);
        self.count("afterimage_fetched_bytes_total", written.fetched_bytes);
        self.count("afterimage_passed_frames_total", written.passed_frames);
        self.count("afterimage_repacked_frames_total", written.repacked_frames);
    }

    /// Points were committed with one manifest.
    pub(crate) fn committed(&self, reports: &[PointReport]) {
        let mut state = self.state();
        state.sums.commits += 1;
        state.sums.points += count(reports.len());
        for report in reports {
            state.sums.source_bytes += report.source_bytes;
            state.sums.changed_bytes += report.changed_bytes;
            state.sums.stored_bytes += report.stored_bytes;
            state.newest = state.newest.max(Some(report.time));
        }
        drop(state);
        self.count("afterimage_commits_total", 1);
        self.count("afterimage_points_total", count(reports.len()));
        for report in reports {
            self.count("afterimage_source_bytes_total", report.source_bytes);
            self.count("afterimage_changed_bytes_total", report.changed_bytes);
            self.count("afterimage_stored_bytes_total", report.stored_bytes);
        }
        if let Some(report) = reports.last() {
            let labels = [("group", self.group.clone())];
            let since = (self.clock)().0.saturating_sub(report.time.0);
            gauge!("afterimage_rpo_seconds", &labels)
                .set(Duration::from_micros(since).as_secs_f64());
        }
    }

    /// Upkeep did something.
    pub(crate) fn tended(&self, tended: &Tended) {
        let Tended {
            pruned,
            compacted,
            compacted_bytes,
            indexed,
            collected,
        } = *tended;
        let mut state = self.state();
        state.sums.pruned_points += pruned;
        state.sums.compacted_layers += compacted;
        state.sums.compacted_bytes += compacted_bytes;
        state.sums.indexes += indexed;
        state.sums.deleted_objects += collected.objects;
        state.sums.deleted_manifests += collected.manifests;
        drop(state);
        self.count("afterimage_pruned_points_total", pruned);
        self.count("afterimage_compacted_layers_total", compacted);
        self.count("afterimage_compacted_bytes_total", compacted_bytes);
        self.count("afterimage_indexes_total", indexed);
        self.count("afterimage_deleted_objects_total", collected.objects);
        self.count("afterimage_deleted_manifests_total", collected.manifests);
    }

    /// Upkeep failed.
    pub(crate) fn upkeep_failed(&self) {
        self.state().sums.upkeep_failures += 1;
        self.count("afterimage_upkeep_failures_total", 1);
    }

    /// Whether the stages have more to do than they manage: something waits to be cut or moved.
    pub(crate) fn is_pressed(&self) -> bool {
        let waits = |stage: &StageFigures| stage.waiting.load(Ordering::Relaxed) > 0;
        let works = |stage: &StageFigures| stage.workers.iter().any(Meter::is_running);
        // Both ends of a queue say how long it is, so what was said last may be of a moment ago.
        let busy = [&self.cut, &self.moving, &self.seal, &self.commit];
        (waits(&self.cut) || waits(&self.moving)) && busy.into_iter().any(works)
    }

    fn count(&self, name: &'static str, by: u64) {
        counter!(name, "group" => self.group.clone()).increment(by);
    }

    /// What it looks like now. Rates and shares are of the time since a look of about five seconds
    /// ago, since the last one where that is longer ago, or since the start.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (sums, newest) = {
            let state = self.state();
            (state.sums, state.newest)
        };
        let sample = Sample {
            at: instant(),
            sums,
            newest,
            busy: Stage::ALL.map(|stage| {
                let workers = self.stage(stage).workers.iter();
                workers.map(|worker| worker.total(self.origin)).sum()
            }),
        };
        let waiting = Stage::ALL.map(|stage| self.stage(stage).waiting.load(Ordering::Relaxed));
        let before = snapshot::look_back(&mut self.state().samples, sample.clone());
        let before = before.unwrap_or_else(|| Sample::start(self.origin));
        Snapshot::between(&before, &sample, waiting, self.crew, (self.clock)())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The sender counted what the receiver had taken in the meantime, and compaction waited for an
    /// ingest that had nothing to do.
    #[test]
    fn what_waits_for_stages_at_rest_is_no_pressure() {
        let figures = Figures::new(&"shop".parse().unwrap(), Arc::new(|| Timestamp(1)), CREW);
        figures.waiting(Stage::Move, 1);
        assert!(!figures.is_pressed());
        figures.busy(Stage::Seal, 1, || assert!(figures.is_pressed()));
        figures.waiting(Stage::Move, 0);
        figures.busy(Stage::Seal, 1, || assert!(!figures.is_pressed()));
    }
}
