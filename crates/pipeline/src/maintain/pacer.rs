//! How fast compaction goes: by a token bucket, and slower while the stages have more to do than they
//! manage. It has no clock of its own and does not wait itself.

use std::{num::NonZeroU64, ops::ControlFlow, time::Duration};

/// What may be moved at once after a pause, as time at the rate.
const BURST: Duration = Duration::from_millis(250);
/// While the stages are pressed, compaction rests so many times as long as it works.
const RESTS: u32 = 3;
/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(1);

/// What a pacer looks at, and how it waits.
pub(super) trait Around {
    /// The time since any moment.
    fn now(&self) -> Duration;

    /// Whether there is more to do than is managed, for those that compaction may not be in the way of.
    fn is_pressed(&self) -> bool;

    /// Waits that long or until all is to stop, and says whether it is.
    fn stops(&self, wait: Duration) -> bool;
}

/// Tells compaction when to go on.
#[derive(Debug)]
pub(super) struct Pacer<A> {
    around: A,
    bucket: Option<Bucket>,
    /// When the work began that goes on.
    since: Duration,
}

impl<A: Around> Pacer<A> {
    /// As fast as it goes where no rate is given.
    pub(super) fn new(bytes_per_second: Option<NonZeroU64>, around: A) -> Pacer<A> {
        Pacer {
            bucket: bytes_per_second.map(Bucket::new),
            since: around.now(),
            around,
        }
    }

    /// Waits until so many bytes may be moved; breaks where all is to stop.
    pub(super) fn pace(&mut self, bytes: u64) -> ControlFlow<()> {
        let now = self.around.now();
        let bucket = self.bucket.as_mut();
        let mut wait = bucket.map_or(Duration::ZERO, |bucket| bucket.wait(bytes, now));
        if self.around.is_pressed() {
            let worked = now.saturating_sub(self.since);
            wait = wait.max((worked * RESTS).min(REST_MAX));
        }
        let stops = self.around.stops(wait);
        self.since = self.around.now();
        match stops {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// A token bucket that counts in time: the next piece may go when those before it have had theirs.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: NonZeroU64,
    /// When all that was moved so far has had its time.
    free: Duration,
}

impl Bucket {
    const fn new(bytes_per_second: NonZeroU64) -> Bucket {
        Bucket {
            bytes_per_second,
            free: Duration::ZERO,
        }
    }

    /// Takes so many bytes; gives how long to wait before they are moved. A piece may be larger than
    /// the burst: those behind it wait the longer.
    fn wait(&mut self, bytes: u64, now: Duration) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let free = self.free.max(now.saturating_sub(BURST));
        self.free = free.saturating_add(takes);
        free.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Time goes on when something waits, or as a test says.
    #[derive(Default)]
    struct Fake {
        now: Cell<Duration>,
        pressed: Cell<bool>,
        stopped: Cell<bool>,
        waits: RefCell<Vec<Duration>>,
    }

    impl Fake {
        fn work(&self, time: Duration) {
            self.now.set(self.now.get() + time);
        }
    }

    impl Around for &Fake {
        fn now(&self) -> Duration {
            self.now.get()
        }

        fn is_pressed(&self) -> bool {
            self.pressed.get()
        }

        fn stops(&self, wait: Duration) -> bool {
            self.waits.borrow_mut().push(wait);
            if !self.stopped.get() {
                self.work(wait);
            }
            self.stopped.get()
        }
    }

    fn rate(mib: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(mib * MIB)
    }

    #[test]
    fn the_rate_holds_over_time_however_large_the_pieces_are() {
        for piece in [MIB / 64, MIB, 2 * MIB, 7 * MIB] {
            let around = Fake::default();
            around.work(Duration::from_secs(50));
            let mut pacer = Pacer::new(rate(10), &around);
            let mut moved = 0;
            while moved < 100 * MIB {
                assert!(pacer.pace(piece).is_continue());
                around.work(Duration::from_millis(1));
                moved += piece;
            }
            let took = around.now.get().as_secs_f64() - 50.0;
            #[expect(clippy::cast_precision_loss, reason = "a bound of a test")]
            let due = moved as f64 / (10 * MIB) as f64;
            let last = piece as f64 / (10 * MIB) as f64;
            assert!(
                took > due - last - 0.26 && took < due + 0.01,
                "{piece}: {took} of {due}"
            );
        }
    }

    #[test]
    fn a_pause_saves_up_a_burst_and_no_more() {
        let around = Fake::default();
        let mut pacer = Pacer::new(rate(4), &around);
        around.work(Duration::from_secs(3600));
        for _ in 0..3 {
            assert!(pacer.pace(MIB / 2).is_continue());
        }
        let millis: Vec<u128> = around
            .waits
            .borrow()
            .iter()
            .map(Duration::as_millis)
            .collect();
        // A quarter of a second is one MiB: two pieces go at once, the third when they had their time.
        assert_eq!(millis, [0, 0, 0]);
        assert!(pacer.pace(1).is_continue());
        assert_eq!(around.waits.borrow()[3].as_millis(), 125);
    }

    #[test]
    fn without_a_rate_nothing_waits_unless_the_stages_are_pressed() {
        let around = Fake::default();
        let mut pacer = Pacer::new(None, &around);
        let mut wait_after = |worked: u64, pressed: bool| {
            around.work(Duration::from_millis(worked));
            around.pressed.set(pressed);
            assert!(pacer.pace(100 * MIB).is_continue());
            around.waits.borrow().last().unwrap().as_millis()
        };
        assert_eq!(wait_after(40, false), 0);
        assert_eq!(wait_after(40, true), 120);
        assert_eq!(wait_after(5, true), 15, "rests do not count as work");
        assert_eq!(wait_after(5000, true), 1000);
        assert_eq!(wait_after(40, false), 0);
    }

    #[test]
    fn a_stop_breaks_whatever_is_waited_for() {
        let around = Fake::default();
        let mut pacer = Pacer::new(rate(1), &around);
        assert!(pacer.pace(600 * MIB).is_continue());
        around.stopped.set(true);
        assert!(pacer.pace(1).is_break());
        assert!(*around.waits.borrow().last().unwrap() > Duration::from_secs(599));
        assert!(
            around.now.get() < Duration::from_secs(1),
            "it ended at once"
        );
    }
}
