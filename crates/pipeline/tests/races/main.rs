//! Workers and agents that race over one object store, each call of it a step that a seed gives to one
//! of them, and any of them may sleep at any step for longer than whatever is collected meanwhile.
//!
//! ```text
//! AFTERIMAGE_RACES=10000 cargo test --workspace --test races
//! AFTERIMAGE_RACE=1234 cargo test --workspace --test races commits    one race alone, and all its calls
//! ```

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![expect(clippy::print_stdout, reason = "a test says what it has seen")]

mod between;
mod commits;
mod mutants;
mod resent;
mod streams;

use std::{
    env, fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use afterimage::{changelog::Digest, storage::Store};
use afterimage_testkit::{Pace, Random, SimCounts, SimStore, StoreFaults};

/// What stands between a worker and the store: a mutant, or nothing.
pub(crate) type Wrap = fn(Arc<dyn Store>) -> Arc<dyn Store>;

/// No mutant.
pub(crate) fn nothing(store: Arc<dyn Store>) -> Arc<dyn Store> {
    store
}

/// What came of a race, or of many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) losses: Vec<String>,
    /// Commits or segments that were reported as done.
    pub(crate) reported: u64,
    /// Workers that were told that another one has taken over.
    pub(crate) fenced: u64,
    /// Of these, those whose number had been free again.
    pub(crate) late: u64,
    /// Outcomes that could not be learnt.
    pub(crate) in_doubt: u64,
    /// Manifests or segments that were deleted.
    pub(crate) deleted: u64,
    pub(crate) counts: SimCounts,
    /// Every call, where only one race is run.
    pub(crate) calls: Vec<String>,
    /// Of all objects there ever were, in their order.
    pub(crate) trace: Vec<Digest>,
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.losses.extend(other.losses);
        self.reported += other.reported;
        self.fenced += other.fenced;
        self.late += other.late;
        self.in_doubt += other.in_doubt;
        self.deleted += other.deleted;
        self.counts.calls += other.counts.calls;
        self.counts.failed += other.counts.failed;
        self.counts.unknown += other.counts.unknown;
        self.counts.twice += other.counts.twice;
        self.counts.landed_late += other.counts.landed_late;
    }

    /// Keeps what the store knows of the race.
    pub(crate) fn close(&mut self, sim: &SimStore) {
        self.counts = sim.counts();
        self.calls = sim.recorded();
        let created = sim.created();
        let objects = created.iter().map(|(key, body)| {
            let named = [key.as_str().as_bytes(), body].concat();
            Digest::of(&named)
        });
        self.trace = objects.collect();
    }

    /// Notes a loss unless it is as it should be.
    pub(crate) fn expect(&mut self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            self.losses.push(what());
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimCounts {
            calls,
            failed,
            unknown,
            landed_late,
            twice,
        } = self.counts;
        write!(
            f,
            "{} reported, {} fenced, {} of them behind what was collected, {} in doubt, {} deleted; \
             {calls} calls, {failed} failed, {unknown} unknown, {landed_late} came late, {twice} twice",
            self.reported, self.fenced, self.late, self.in_doubt, self.deleted
        )
    }
}

/// A race: its seed, and what stands between.
pub(crate) type Race = fn(u64, Wrap) -> Outcome;

/// Runs races without a mutant; nothing may be lost in any of them.
fn run(name: &str, race: Race) {
    let number = |name: &str| env::var(name).ok().map(|wanted| wanted.parse().unwrap());
    let alone: Option<u64> = number("AFTERIMAGE_RACE");
    let count = number("AFTERIMAGE_RACES").unwrap_or(1000);
    let seeds = alone.map_or(0..count, |seed| seed..seed + 1);
    let mut all = Outcome::default();
    for seed in seeds.clone() {
        let outcome = race(seed, nothing);
        for call in &outcome.calls {
            println!("{call}");
        }
        assert!(
            outcome.losses.is_empty(),
            "race {seed}: {}\nalone: AFTERIMAGE_RACE={seed} cargo test --workspace --test races {name}",
            outcome.losses.join("\n")
        );
        all.add(outcome);
    }
    println!("{} races of {name}: {all}", seeds.end - seeds.start);
    // A few races need not meet everything.
    let has_met = all.fenced > 10 && all.late > 10 && all.counts.landed_late > 10;
    assert!(seeds.end - seeds.start < 1000 || has_met, "they hardly met");
}

/// Runs races with a mutant until one of them finds it out.
pub(crate) fn found_out(name: &str, race: Race, wrap: Wrap, within: u64) {
    for seed in 0..within {
        if let Some(loss) = race(seed, wrap).losses.first() {
            println!("{name}, found out by race {seed}: {loss}");
            return;
        }
    }
    panic!("{name} was not found out in {within} races");
}

/// The store of a race and the pace of its workers.
pub(crate) fn stage(random: &mut Random) -> (SimStore, Pace) {
    let some = |random: &mut Random, most: u64| match random.below(3) {
        0 => 0,
        _ => random.below(most),
    };
    let faults = match random.below(6) {
        // Without faults pauses alone decide.
        0 => StoreFaults::NONE,
        // Much fails, but nothing is in doubt.
        1 => StoreFaults {
            failed: 100 + random.below(300),
            slow_lists: some(random, 400),
            ..StoreFaults::NONE
        },
        // So bad that nobody learns what came of a create.
        2 => StoreFaults {
            failed: random.below(300),
            unknown: 300 + random.below(400),
            twice: some(random, 100),
            copies: some(random, 100),
            slow_lists: some(random, 400),
            late_max: 1 + random.below(200),
        },
        _ => StoreFaults {
            failed: some(random, 60),
            unknown: some(random, 150),
            twice: some(random, 100),
            copies: some(random, 60),
            slow_lists: some(random, 400),
            late_max: 1 + random.below(200),
        },
    };
    let pace = Pace {
        change: random.below(400),
        sleep: random.below(30),
        sleep_where_it_matters: random.below(150),
        sleep_max: 1 + random.below(600),
    };
    let store = SimStore::new(random.next(), faults);
    if env::var_os("AFTERIMAGE_RACE").is_some() {
        store.record();
    }
    (store, pace)
}

/// A client of a worker, patient or not, with what stands between.
pub(crate) fn client(
    store: &SimStore,
    turn: afterimage_testkit::Turn,
    is_patient: bool,
    wrap: Wrap,
) -> Arc<dyn Store> {
    wrap(if is_patient {
        Arc::new(store.patient_client(Some(turn)))
    } else {
        Arc::new(store.client(Some(turn)))
    })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn commits_of_racing_workers_are_one_chain_and_none_is_lost() {
    run("commits", commits::race);
}

#[test]
fn streams_of_racing_agents_are_one_chain_and_no_record_is_lost() {
    run("streams", streams::race);
}

#[test]
fn a_seed_repeats_a_race() {
    for race in [commits::race, streams::race] {
        for seed in 0..20 {
            let [one, other] = [0; 2].map(|_| race(seed, nothing));
            assert_eq!(one.to_string(), other.to_string(), "race {seed}");
            assert_eq!(one.trace, other.trace, "race {seed}");
        }
    }
}
