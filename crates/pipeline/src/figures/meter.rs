//! How long a worker was at work, readable while it works.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::clock::instant;

/// The working time of one thread.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Nanoseconds of work that has ended.
    done: AtomicU64,
    /// When the work began that goes on: nanoseconds since the origin, and one; 0 where it waits.
    since: AtomicU64,
}

impl Meter {
    /// Does some work and counts the time it takes. One thread at a time calls this.
    pub(super) fn run<T>(&self, origin: Instant, work: impl FnOnce() -> T) -> T {
        let begun = instant();
        let since = nanoseconds(begun.duration_since(origin));
        self.since.store(since + 1, Ordering::Release);
        let outcome = work();
        self.since.store(0, Ordering::Release);
        let took = nanoseconds(begun.elapsed());
        self.done.fetch_add(took, Ordering::AcqRel);
        outcome
    }

    /// Whether the thread is at work.
    pub(super) fn is_running(&self) -> bool {
        self.since.load(Ordering::Acquire) != 0
    }

    /// The time at work until now. It may be a little off where work ends at this moment.
    pub(super) fn total(&self, origin: Instant) -> Duration {
        let now = nanoseconds(origin.elapsed());
        let since = self.since.load(Ordering::Acquire);
        let going = since.checked_sub(1).map_or(0, |at| now.saturating_sub(at));
        Duration::from_nanos(self.done.load(Ordering::Acquire) + going)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}
