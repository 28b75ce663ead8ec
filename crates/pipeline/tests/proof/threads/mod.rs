//! The stages on threads of their own, where steps of different intervals overlap: cut anywhere,
//! with faults anywhere, taken over and stopped. A run does not repeat exactly here, but what was
//! promised has to hold for every order of events.

mod ends;
mod journal;
mod order;

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use afterimage::{
    Error, ErrorKind, Event, Outcome, Pipeline, PipelineBuilder, Points, Timestamp,
    cache::{segment_number, stream_prefix},
    changelog::SectorSize,
    recovery::name::layer_key,
    storage::Key,
};
use afterimage_testkit::{Fault, Random, World};

use crate::support::{
    Found, HISTORY, Progress, Rig, Scenario, Wraps, check,
    rig::Stores,
    run::{agent, send},
    scenario::{Record, disk},
    spread,
};

/// Seed of the worlds.
const SEED: u64 = 7;
/// Crash states looked at for each cut.
const STATES: usize = 12;
/// How often each place is cut: the order of events is another one each time.
const ROUNDS: usize = 3;

/// A history of so many intervals that several are on their way at any time.
static LONG: LazyLock<Scenario> = LazyLock::new(|| {
    let mut random = Random::new(31);
    let (mut records, mut segments) = (Vec::new(), Vec::new());
    for marker in 0..120 {
        for _ in 0..random.below(3) {
            records.push(Record::Write {
                disk: u16::from(random.percent(30)),
                start: random.below(20),
                sectors: 1 + random.below(4),
            });
        }
        records.push(Record::Mark);
        if marker % 4 == 1 {
            segments.push(records.len());
        }
    }
    segments.push(records.len());
    let disks = ["boot", "data"].map(|name| disk(name, 24 * 512, SectorSize::B512));
    let disks = disks.to_vec();
    Scenario::new(disks, records, segments)
});

/// A world with a whole history in its cache, durable.
fn filled(scenario: &Scenario) -> World {
    let world = World::new(SEED);
    let rig = Rig::new(&world, Wraps::NONE, 8);
    let stores = rig.stores().unwrap();
    let mut agent = agent(scenario, &rig, &stores.cache).unwrap();
    for &end in &scenario.segments {
        send(scenario, &mut agent, end).unwrap();
    }
    // Without the operations so far.
    world.restart()
}

fn sealed(scenario: &Scenario) -> Progress {
    Progress {
        sealed: u64::try_from(scenario.records.len()).unwrap(),
        ..Progress::default()
    }
}

pub(crate) fn builder(rig: &Rig, stores: &Stores) -> PipelineBuilder {
    let (cache, target) = (Arc::clone(&stores.cache), Arc::clone(&stores.target));
    Pipeline::builder(Scenario::group(), cache, target)
        .sources(Arc::new(|| Timestamp(2)), rig.nonces())
        .threads(1)
        .poll(Duration::from_millis(1))
}

fn pipeline(rig: &Rig, stores: &Stores) -> Pipeline {
    builder(rig, stores).build().unwrap()
}

/// Notes what is told: the points come one after the other.
pub(crate) fn note(event: &Event, progress: &mut Progress) {
    if let Event::Point { report, .. } = event {
        let id = usize::try_from(report.id).unwrap();
        assert!(
            progress.points == 0 || progress.points + 1 == id,
            "points are told in their order"
        );
        progress.points = id;
    }
}

fn run_on(rig: &Rig, stores: &Stores, progress: &mut Progress) -> Result<Outcome, Error> {
    let told = &mut Progress::default();
    let ran = pipeline(rig, stores).run_once(&mut |event| note(&event, told));
    progress.points = progress.points.max(told.points);
    ran
}

fn run(rig: &Rig, progress: &mut Progress) -> Result<Outcome, Error> {
    run_on(rig, &rig.stores()?, progress)
}

/// What is there holds every promise, and a new process comes to the end of it.
fn judge(found: &mut Found, world: &World, progress: &Progress, process: u64, place: &str) {
    found.states += 1;
    found.judge(check(&HISTORY, world, progress), place);
    found.resumed += 1;
    let mut progress = progress.clone();
    let resumed = run(&Rig::new(world, Wraps::NONE, process), &mut progress);
    let complete = resumed.map_err(|error| format!("does not go on: {error}"));
    let complete = complete.and_then(|_| match check(&HISTORY, world, &progress)? {
        points if points == HISTORY.markers() => no_waste(world),
        points => Err(format!("{points} points in the end")),
    });
    found.judge(complete, format!("{place}, resumed"));
}

/// The cache was emptied up to the newest point.
fn no_waste(world: &World) -> Result<(), String> {
    let stores = Rig::new(world, Wraps::NONE, 0).stores().unwrap();
    let points = Points::load(&stores.target, &Scenario::group()).unwrap();
    let position = points.manifest().position(&Scenario::stream()).unwrap();
    let prefix = stream_prefix(&Scenario::group(), &Scenario::stream());
    let left = stores.cache.list(&prefix, None, 1).unwrap();
    let first = left.first().and_then(|entry| segment_number(&entry.key));
    match first {
        Some(first) if first < position.segment => Err(format!("segment {first} was left")),
        _ => Ok(()),
    }
}

/// The power cut after each operation of a run, and each operation failing.
pub(crate) fn sweep(wraps: Wraps, first_loss_only: bool) -> Found {
    let mut found = Found::default();
    let filled = filled(&HISTORY);
    let whole = filled.restart();
    let run_whole = run(&Rig::new(&whole, wraps, 1), &mut sealed(&HISTORY));
    found.judge(run_whole.map_err(|error| error.to_string()), "as it is");
    let operations = whole.operations();
    let turns = (0..ROUNDS).flat_map(|_| spread(operations + 1));
    for number in turns {
        let is_enough = |found: &Found| first_loss_only && !found.losses.is_empty();
        if is_enough(&found) {
            break;
        }
        found.places += 1;
        let world = filled.restart();
        world.cut_power_after(number);
        let mut progress = sealed(&HISTORY);
        drop(run(&Rig::new(&world, wraps, 1), &mut progress));
        let place = format!("cut after {number}");
        for (state, world) in world.crash_states(STATES, number).enumerate() {
            found.states += 1;
            found.judge(check(&HISTORY, &world, &progress), &place);
            if state == 0 {
                judge(&mut found, &world, &progress, 2, &place);
            }
        }
        judge(&mut found, &world.restart(), &progress, 2, "process dead");
        let kinds = [
            Fault::Before(std::io::ErrorKind::Other),
            Fault::After(std::io::ErrorKind::Other),
            Fault::Before(std::io::ErrorKind::StorageFull),
        ];
        for fault in kinds {
            let world = filled.restart();
            world.fail_at(number, fault);
            let mut progress = sealed(&HISTORY);
            let ran = run(&Rig::new(&world, wraps, 1), &mut progress);
            let place = format!("{fault:?} at {number}");
            if let Err(error) = &ran {
                let kind = error.kind();
                let typed = matches!(kind, ErrorKind::Unavailable | ErrorKind::Target);
                let called = format!("it was called {}: {error}", kind.word());
                found.judge(typed.then_some(()).ok_or(called), &place);
            }
            for world in world.crash_states(2, number) {
                found.states += 1;
                found.judge(check(&HISTORY, &world, &progress), &place);
            }
            judge(&mut found, &world.restart(), &progress, 2, &place);
        }
    }
    found
}

/// Without a mutant, done once however many tests ask.
pub(crate) static WITHOUT_MUTANT: LazyLock<Found> = LazyLock::new(|| sweep(Wraps::NONE, false));

#[test]
fn overlapping_steps_lose_nothing_at_any_cut_or_fault() {
    let found = &*WITHOUT_MUTANT;
    println!("threads: {found}");
    found.assert_lossless();
    assert!(found.places > 150, "{found} is no sweep");
}

/// Every layer at the target belongs to a point.
fn assert_all_named(world: &World, place: &str) {
    let stores = Rig::new(world, Wraps::NONE, 0).stores().unwrap();
    let group = Scenario::group();
    let points = Points::load(&stores.target, &group);
    let named: BTreeSet<Key> = points
        .iter()
        .flat_map(|points| {
            points
                .manifest()
                .layers()
                .map(|layer| layer_key(&group, layer.epoch, layer.id))
                .collect::<Vec<_>>()
        })
        .collect();
    let prefix = Key::new("shop/layers").unwrap();
    let there = stores.target.list(&prefix, None, usize::MAX).unwrap();
    for entry in there {
        assert!(
            named.contains(&entry.key),
            "{place}: {} was left",
            entry.key
        );
    }
}
