//! The chain with one rule broken at a time: each must be caught, or the sweeps prove nothing.
//!
//! A mutant stands between the code and the machine, so that it is the same code that is tested.

mod collection;
mod compaction;
mod disks;
mod files;
mod pruning;
mod rewritten;
mod stores;
mod window;

use std::sync::{
    LazyLock, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    crash_sweep, fault_sweep, fencing, rewind,
    support::{Found, Wraps, on_one_thread, rig::WrapTarget},
    threads,
    upkeep::{self, beside, taken_over},
};

/// How many mutants there are.
const MUTANTS: usize = 46;
/// Those that were caught so far.
static KILLED: AtomicUsize = AtomicUsize::new(0);
/// Keeps a report in one piece.
static REPORT: Mutex<()> = Mutex::new(());

/// Which sweep a mutant has to be caught by.
#[derive(Clone, Copy, Debug)]
enum Sweep {
    Crashes,
    Faults,
    TwoWorkers,
    Paused,
    Threads,
    /// The power cut anywhere while points are also pruned, compacted and collected.
    Upkeep,
    /// Readers at every call of upkeep.
    Readers,
    /// Readers that found their point before upkeep and hold it at every call of it.
    LateReaders,
    /// Pins at every call of upkeep.
    Pins,
    /// Upkeep of a worker that was taken over in its midst.
    Sleepers,
    /// A worker that was taken over while it pruned, at every call of the one that prunes now.
    Marks,
    /// A search for leftovers at every call of a worker that makes points.
    Leftovers(taken_over::Whose),
    /// The power cut anywhere while segments are kept, and every write gone back to.
    Rewind,
    /// The same with threads.
    RewindThreads,
}

static TWO_WORKERS: LazyLock<Found> = LazyLock::new(|| Sweep::TwoWorkers.run(Wraps::NONE));
static PAUSED: LazyLock<Found> = LazyLock::new(|| Sweep::Paused.run(Wraps::NONE));
static READERS: LazyLock<Found> = LazyLock::new(|| Sweep::Readers.run(Wraps::NONE));
static LATE_READERS: LazyLock<Found> = LazyLock::new(|| Sweep::LateReaders.run(Wraps::NONE));
static PINS: LazyLock<Found> = LazyLock::new(|| Sweep::Pins.run(Wraps::NONE));
static SLEEPERS: LazyLock<Found> = LazyLock::new(|| Sweep::Sleepers.run(Wraps::NONE));
static MARKS: LazyLock<Found> = LazyLock::new(|| Sweep::Marks.run(Wraps::NONE));
static LEFTOVERS: LazyLock<[Found; 2]> = LazyLock::new(|| {
    let whose = [taken_over::Whose::Former, taken_over::Whose::Own];
    whose.map(|whose| Sweep::Leftovers(whose).run(Wraps::NONE))
});

impl Sweep {
    fn run(self, wraps: Wraps) -> Found {
        match self {
            Sweep::Crashes => crash_sweep::sweep_mutant(wraps),
            Sweep::Faults => fault_sweep::sweep_mutant(wraps),
            Sweep::TwoWorkers => on_one_thread(|| fencing::two_workers(wraps)),
            Sweep::Threads => threads::sweep(wraps, true),
            Sweep::Paused => on_one_thread(|| fencing::paused_past_collection(wraps)),
            Sweep::Upkeep => upkeep::crash::sweep_mutant(wraps),
            Sweep::Readers => beside::readers(wraps),
            Sweep::LateReaders => beside::late_readers(wraps),
            Sweep::Pins => beside::pins(wraps),
            Sweep::Sleepers => taken_over::sleepers(wraps),
            Sweep::Marks => taken_over::marks(wraps),
            Sweep::Leftovers(whose) => taken_over::leftovers(wraps, whose),
            Sweep::Rewind => rewind::sweeps::sweep_mutant(wraps),
            Sweep::RewindThreads => rewind::threads::sweep_mutant(wraps),
        }
    }

    fn without_mutant(self) -> &'static Found {
        match self {
            Sweep::Crashes => &crash_sweep::WITHOUT_MUTANT,
            Sweep::Faults => &fault_sweep::WITHOUT_MUTANT,
            Sweep::TwoWorkers => &TWO_WORKERS,
            Sweep::Paused => &PAUSED,
            Sweep::Threads => &threads::WITHOUT_MUTANT,
            Sweep::Upkeep => &upkeep::crash::WITHOUT_MUTANT,
            Sweep::Readers => &READERS,
            Sweep::LateReaders => &LATE_READERS,
            Sweep::Pins => &PINS,
            Sweep::Sleepers => &SLEEPERS,
            Sweep::Marks => &MARKS,
            Sweep::Leftovers(taken_over::Whose::Former) => &LEFTOVERS[0],
            Sweep::Leftovers(taken_over::Whose::Own) => &LEFTOVERS[1],
            Sweep::Rewind => &rewind::sweeps::WITHOUT_MUTANT,
            Sweep::RewindThreads => &rewind::threads::WITHOUT_MUTANT,
        }
    }
}

/// Asserts that the sweep catches the mutant, and that it finds nothing without it.
fn killed(name: &str, sweep: Sweep, wraps: Wraps) {
    caught(name, &sweep.run(wraps), sweep.without_mutant());
}

/// The same for a mutant of a target.
fn killed_at_target(name: &str, sweep: Sweep, target: WrapTarget) {
    let wraps = Wraps {
        target,
        ..Wraps::NONE
    };
    killed(name, sweep, wraps);
}

/// Asserts that something was found with the mutant, and nothing without it.
fn caught(name: &str, with: &Found, without: &Found) {
    let first = with.losses.first();
    let first = first.unwrap_or_else(|| panic!("{name} was not noticed: {with}"));
    without.assert_lossless();
    let _whole = REPORT.lock();
    println!("{name}, after {} places: {first}", with.places);
    let killed = KILLED.fetch_add(1, Ordering::Relaxed) + 1;
    println!("mutants killed {killed} of {MUTANTS}");
}
