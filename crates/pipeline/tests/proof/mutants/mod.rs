//! The chain with one rule broken at a time: each must be caught, or the sweeps prove nothing.
//!
//! A mutant stands between the code and the machine, so that it is the same code that is tested.

mod disks;
mod files;
mod stores;

use std::sync::{
    LazyLock, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    crash_sweep, fault_sweep, fencing,
    support::{Found, Wraps, on_one_thread},
    threads,
};

/// How many mutants there are.
const MUTANTS: usize = 22;
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
}

static TWO_WORKERS: LazyLock<Found> = LazyLock::new(|| Sweep::TwoWorkers.run(Wraps::NONE));
static PAUSED: LazyLock<Found> = LazyLock::new(|| Sweep::Paused.run(Wraps::NONE));

impl Sweep {
    fn run(self, wraps: Wraps) -> Found {
        match self {
            Sweep::Crashes => crash_sweep::sweep_mutant(wraps),
            Sweep::Faults => fault_sweep::sweep_mutant(wraps),
            Sweep::TwoWorkers => on_one_thread(|| fencing::two_workers(wraps)),
            Sweep::Threads => threads::sweep(wraps, true),
            Sweep::Paused => on_one_thread(|| fencing::paused_past_collection(wraps)),
        }
    }

    fn without_mutant(self) -> &'static Found {
        match self {
            Sweep::Crashes => &crash_sweep::WITHOUT_MUTANT,
            Sweep::Faults => &fault_sweep::WITHOUT_MUTANT,
            Sweep::TwoWorkers => &TWO_WORKERS,
            Sweep::Paused => &PAUSED,
            Sweep::Threads => &threads::WITHOUT_MUTANT,
        }
    }
}

/// Asserts that the sweep catches the mutant, and that it finds nothing without it.
fn killed(name: &str, sweep: Sweep, wraps: Wraps) {
    let found = sweep.run(wraps);
    let first = found.losses.first();
    let first = first.unwrap_or_else(|| panic!("{name} was not noticed: {found}"));
    sweep.without_mutant().assert_lossless();
    let _whole = REPORT.lock();
    println!("{name}, after {} places: {first}", found.places);
    let killed = KILLED.fetch_add(1, Ordering::Relaxed) + 1;
    println!("mutants killed {killed} of {MUTANTS}");
}
