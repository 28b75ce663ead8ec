//! Two workers on one group, workers that were paused, and outcomes in doubt.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use afterimage::{
    Error, ErrorKind,
    cache::segment_key,
    recovery::{
        chain,
        name::{boundary_key, manifest_key},
    },
    storage::{Key, Operation, Store, StoreError, StoreErrorKind},
};
use afterimage_testkit::World;
use bytes::Bytes;

use crate::support::{
    Found, HISTORY, Progress, Rig, Scenario, Wraps, check, finish,
    hooked::{Hooks, hooked, is_manifest},
    on_one_thread,
    rig::Stores,
    run::{Service, agent, finish_with, send},
};

/// When the other worker comes, seen from a create of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

/// Lets something happen right before or after the create of one manifest, once.
struct Interrupting {
    manifest: Key,
    when: When,
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Interrupting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interrupting({:?} {})", self.when, self.manifest)
    }
}

impl Hooks for Interrupting {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let act = || {
            if let Some(action) = self.action.lock().unwrap().take() {
                action();
            }
        };
        if *key == self.manifest && self.when == When::Before {
            act();
        }
        let created = store.create(key, body);
        if *key == self.manifest && self.when == When::After {
            act();
        }
        created
    }
}

/// A world with the whole history in its cache.
fn filled() -> World {
    let world = World::new(3);
    let rig = Rig::new(&world, Wraps::NONE, 8);
    let stores = rig.stores().unwrap();
    let mut agent = agent(&HISTORY, &rig, &stores.cache).unwrap();
    for &end in &HISTORY.segments {
        send(&HISTORY, &mut agent, end).unwrap();
    }
    world
}

/// A worker, what it reported, and how it ended.
struct Worker {
    progress: Progress,
    epoch: Option<u64>,
    end: Result<(), Error>,
}

/// Takes every segment there is, or the first `steps` of them.
fn work(rig: &Rig, stores: &Stores, steps: usize) -> Worker {
    let mut worker = Worker {
        progress: Progress::default(),
        epoch: None,
        end: Ok(()),
    };
    match Service::open(rig, stores) {
        Ok(mut service) => {
            worker.epoch = Some(service.epoch());
            let mut steps = 0..steps;
            while worker.end.is_ok() && steps.next().is_some() {
                worker.end = service.step(&mut worker.progress).map(drop);
            }
        }
        Err(error) => worker.end = Err(error),
    }
    worker
}

/// Lets worker 1 work; at its create of manifest `number`, worker 2 takes over, takes some segments,
/// and `then` something else happens.
fn interrupted(
    world: &World,
    wraps: Wraps,
    number: u64,
    when: When,
    steps: usize,
    then: fn(&World),
) -> (Worker, Option<Worker>) {
    let second = Arc::new(Mutex::new(None));
    let (place, other) = (Arc::clone(&second), Rig::new(world, wraps, 2));
    let action = move || {
        let stores = other.stores().unwrap();
        *place.lock().unwrap() = Some(work(&other, &stores, steps));
        then(&other.world);
    };
    let rig = Rig::new(world, wraps, 1);
    let mut stores = rig.stores().unwrap();
    let hooks = Interrupting {
        manifest: manifest_key(&Scenario::group(), number),
        when,
        action: Mutex::new(Some(Box::new(action))),
    };
    // Below what a mutant does to the store, so that the mutant sees the outcome.
    stores.target = (wraps.target)(
        hooked(
            Rig::new(world, Wraps::NONE, 1).stores().unwrap().target,
            hooks,
        ),
        Arc::clone(&stores.cache),
    );
    let first = work(&rig, &stores, STEPS);
    let second = second.lock().unwrap().take();
    (first, second)
}

/// More steps than there are segments.
const STEPS: usize = 10;
/// Manifests that a worker writes alone: one to take over, then one for each marker.
const MANIFESTS: u64 = 7;

/// The second worker comes at every manifest of the first; whoever loses never reports a commit.
pub(crate) fn two_workers(wraps: Wraps) -> Found {
    let mut found = Found::default();
    for number in 0..MANIFESTS {
        for when in [When::Before, When::After] {
            for steps in [0, 1, STEPS] {
                let place = format!("{when:?} manifest {number}, {steps} steps");
                found.places += 1;
                let world = filled();
                let (first, second) = interrupted(&world, wraps, number, when, steps, |_| ());
                found.judge(fair(&first, second.as_ref(), when, number), &place);
                for worker in [Some(&first), second.as_ref()].into_iter().flatten() {
                    found.states += 1;
                    found.judge(check(&HISTORY, &world, &worker.progress), &place);
                }
                found.resumed += 1;
                found.judge(completes(&world, &first.progress), &place);
            }
        }
    }
    found
}

/// The first worker reported exactly the commits before the second one came, and learnt of it as soon
/// as it wanted to commit more.
fn fair(first: &Worker, second: Option<&Worker>, when: When, number: u64) -> Result<(), String> {
    let Some(second) = second else {
        return Err("the second worker never came".to_owned());
    };
    if let Err(error) = &second.end {
        return Err(format!("the second worker: {error}"));
    }
    let epochs = (first.epoch.unwrap_or(0), second.epoch.unwrap_or(0));
    if epochs.0 >= epochs.1 {
        return Err(format!("the epochs are {epochs:?}"));
    }
    let committed = match when {
        When::Before => number.saturating_sub(1),
        When::After => number,
    };
    if first.progress.points != usize::try_from(committed).unwrap() {
        let points = first.progress.points;
        return Err(format!(
            "the first worker reported {points} points, {committed} were its own"
        ));
    }
    // Where the second worker acknowledged segments, the first may find them gone before it comes to
    // commit: it stops, or has nothing to do.
    let is_drained = second.progress.points > first.progress.points;
    match &first.end {
        Err(error) if error.kind() == ErrorKind::Fenced => Ok(()),
        Err(error) if is_drained && error.kind() == ErrorKind::Corrupt => Ok(()),
        Ok(()) if is_drained || committed + 1 == MANIFESTS => Ok(()),
        Err(error) => Err(format!("the first worker is not fenced: {error}")),
        Ok(()) => Err("the first worker is not fenced".to_owned()),
    }
}

/// A third worker brings everything to its end.
fn completes(world: &World, progress: &Progress) -> Result<(), String> {
    let mut progress = progress.clone();
    let run = finish(&HISTORY, &Rig::new(world, Wraps::NONE, 4), &mut progress);
    run.map_err(|error| error.to_string())?;
    match check(&HISTORY, world, &progress)? {
        points if points == HISTORY.markers() => Ok(()),
        points => Err(format!("{points} points in the end")),
    }
}

/// A worker is paused at each of its commits, while another one finishes and the manifests before
/// the head are collected: the name it wanted is free again.
pub(crate) fn paused_past_collection(wraps: Wraps) -> Found {
    let mut found = Found::default();
    for number in 1..MANIFESTS {
        let place = format!("paused before manifest {number}");
        found.places += 1;
        let world = filled();
        let (first, second) = interrupted(&world, wraps, number, When::Before, STEPS, collect);
        found.judge(fair(&first, second.as_ref(), When::Before, number), &place);
        // Its own commits were collected since then.
        let progress = Progress {
            commit: None,
            ..first.progress
        };
        found.states += 1;
        found.judge(check(&HISTORY, &world, &progress), &place);
        found.resumed += 1;
        found.judge(completes(&world, &progress), &place);
    }
    found
}

/// Collects every manifest before the head, as garbage collection does: the boundary first.
fn collect(world: &World) {
    let target = Rig::new(world, Wraps::NONE, 3).stores().unwrap().target;
    let group = Scenario::group();
    let head = chain::load_head(target.as_ref(), &group).unwrap().unwrap();
    let boundary = head.manifest.number - 1;
    target.create(&boundary_key(&group, boundary), &[]).unwrap();
    for number in 0..=boundary {
        target.delete(&manifest_key(&group, number)).unwrap();
    }
}

#[test]
fn of_two_workers_one_commits_and_the_other_is_fenced_at_every_commit() {
    let found = on_one_thread(|| two_workers(Wraps::NONE));
    println!("two workers: {found}");
    found.assert_lossless();
}

#[test]
fn a_worker_paused_past_collection_never_reports_a_commit() {
    let found = on_one_thread(|| paused_past_collection(Wraps::NONE));
    println!("paused workers: {found}");
    found.assert_lossless();
}

/// Says "it exists already" of every create, also where it has just made the object: what a client
/// library reports when it sent a request twice.
#[derive(Debug)]
struct SentTwice;

impl Hooks for SentTwice {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        store.create(key, body)?;
        store.create(key, body)
    }
}

#[test]
fn an_object_that_was_sent_twice_is_known_to_be_our_own() {
    on_one_thread(|| {
        let world = World::new(3);
        let rig = Rig::new(&world, Wraps::NONE, 1);
        let mut stores = rig.stores().unwrap();
        stores.cache = hooked(stores.cache, SentTwice);
        stores.target = hooked(stores.target, SentTwice);
        let mut progress = Progress::default();
        finish_with(&HISTORY, &rig, &stores, &mut progress).unwrap();
        assert_eq!(check(&HISTORY, &world, &progress), Ok(HISTORY.markers()));
    });
}

/// The outcome of every create of a manifest is unknown: once it took effect, once it did not.
#[derive(Debug)]
struct Unclear {
    turn: Mutex<u64>,
}

impl Hooks for Unclear {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let mut turn = self.turn.lock().unwrap();
        *turn += 1;
        if is_manifest(key) {
            if turn.is_multiple_of(2) {
                store.create(key, body)?;
            }
            let error = StoreError::new(Operation::Create, key, StoreErrorKind::Unavailable);
            return Err(error.with_effect(afterimage::storage::Effect::Unknown));
        }
        store.create(key, body)
    }
}

#[test]
fn an_unclear_outcome_is_settled_by_reading_back() {
    on_one_thread(|| {
        let world = World::new(3);
        let rig = Rig::new(&world, Wraps::NONE, 1);
        let mut stores = rig.stores().unwrap();
        let turn = Mutex::new(0);
        stores.target = hooked(stores.target, Unclear { turn });
        let mut progress = Progress::default();
        finish_with(&HISTORY, &rig, &stores, &mut progress).unwrap();
        assert_eq!(check(&HISTORY, &world, &progress), Ok(HISTORY.markers()));
        for state in world.crash_states(50, 1) {
            assert_eq!(check(&HISTORY, &state, &progress), Ok(HISTORY.markers()));
        }
    });
}

#[test]
fn a_stale_agent_is_fenced_by_its_taken_number() {
    let world = World::new(3);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let stores = rig.stores().unwrap();
    let [first_end, second_end, ..] = HISTORY.segments[..] else {
        panic!("the history has segments");
    };
    let mut stale = agent(&HISTORY, &rig, &stores.cache).unwrap();
    send(&HISTORY, &mut stale, first_end).unwrap();
    let other = Rig::new(&world, Wraps::NONE, 2);
    let mut fresh = agent(&HISTORY, &other, &stores.cache).unwrap();
    send(&HISTORY, &mut fresh, second_end).unwrap();
    let error = send(&HISTORY, &mut stale, second_end).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let progress = Progress {
        sealed: fresh.last().0,
        ..Progress::default()
    };
    assert_eq!(check(&HISTORY, &world, &progress), Ok(0));
}

#[test]
fn a_missing_segment_stops_the_stream_and_leaves_the_points_before_it() {
    on_one_thread(|| {
        let world = filled();
        let rig = Rig::new(&world, Wraps::NONE, 1);
        let stores = rig.stores().unwrap();
        let missing = segment_key(&Scenario::group(), &Scenario::stream(), 2);
        stores.cache.delete(&missing).unwrap();
        let mut progress = Progress::default();
        let mut service = Service::open(&rig, &stores).unwrap();
        let error = service.catch_up(&mut progress).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
        let before = u64::try_from(HISTORY.segments[1]).unwrap();
        assert_eq!(progress.points, HISTORY.markers_within(before));
        // The points are all right; it is the cache that is not.
        let verdict = check(&HISTORY, &world, &progress);
        assert!(verdict.unwrap_err().contains("segment 3 is there"));
        let repaired = world.restart();
        let cache = Rig::new(&repaired, Wraps::NONE, 2).stores().unwrap().cache;
        let behind = segment_key(&Scenario::group(), &Scenario::stream(), 3);
        cache.delete(&behind).unwrap();
        assert_eq!(check(&HISTORY, &repaired, &progress), Ok(progress.points));
    });
}
