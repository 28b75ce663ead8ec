//! The stages on threads of their own, where steps of different intervals overlap: cut anywhere,
//! with faults anywhere, taken over and stopped. A run does not repeat exactly here, but what was
//! promised has to hold for every order of events.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Condvar, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use afterimage::{
    Error, ErrorKind, Event, Outcome, Pipeline, Points, Stop, Timestamp,
    cache::{segment_number, stream_prefix},
    recovery::{Manifest, name::layer_key},
    storage::{Key, Operation, Store, StoreError, StoreErrorKind, Upload},
};
use afterimage_testkit::{Fault, Random, World};
use bytes::Bytes;

use crate::support::{
    Found, HISTORY, Progress, Rig, Scenario, Wraps, check,
    hooked::{Hooks, hooked, is_manifest},
    rig::Stores,
    run::{Service, agent, send},
    scenario::{Record, disk},
    spread,
};

/// Seed of the worlds.
const SEED: u64 = 7;
/// Crash states looked at for each cut.
const STATES: usize = 12;

/// A history of so many intervals that several are on their way at any time.
static LONG: LazyLock<Scenario> = LazyLock::new(|| {
    let mut random = Random::new(31);
    let (mut records, mut segments) = (Vec::new(), Vec::new());
    for marker in 0..120 {
        for _ in 0..random.below(3) {
            records.push(Record::Write {
                disk: 0,
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
    let disks = vec![disk(
        "boot",
        24 * 512,
        afterimage::changelog::SectorSize::B512,
    )];
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

fn pipeline(rig: &Rig, stores: &Stores) -> Pipeline {
    let (cache, target) = (Arc::clone(&stores.cache), Arc::clone(&stores.target));
    Pipeline::builder(Scenario::group(), cache, target)
        .sources(Arc::new(|| Timestamp(2)), rig.nonces())
        .threads(1)
        .poll(Duration::from_millis(1))
        .build()
        .unwrap()
}

/// Notes what is told: the points come one after the other.
fn note(event: &Event, progress: &mut Progress) {
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
    for number in spread(operations + 1) {
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
    assert!(found.places > 100, "{found} is no sweep");
}

#[test]
fn points_are_told_in_order_and_then_that_it_has_caught_up() {
    let world = filled(&LONG);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut told = Vec::new();
    let ran = pipeline(&rig, &rig.stores().unwrap()).run_once(&mut |event| {
        told.push(match event {
            Event::Point { report, .. } => report.id,
            Event::CaughtUp => 0,
            other => panic!("{other:?}"),
        });
    });
    assert_eq!(ran.unwrap().points, 120);
    let expected: Vec<u64> = (1..=120).chain([0]).collect();
    assert_eq!(told, expected);
    let progress = Progress {
        points: 120,
        ..sealed(&LONG)
    };
    assert_eq!(check(&LONG, &world, &progress), Ok(120));
    no_waste(&world).unwrap();
}

/// Holds the first manifest with a point back until so many layers were made.
#[derive(Debug)]
struct SlowFirst {
    layers: Arc<(Mutex<u64>, Condvar)>,
    wanted: u64,
    manifests: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Counted {
    upload: Box<dyn Upload>,
    layers: Arc<(Mutex<u64>, Condvar)>,
}

impl Upload for Counted {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.upload.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.upload.finish()?;
        *self.layers.0.lock().unwrap() += 1;
        self.layers.1.notify_all();
        Ok(())
    }
}

impl Hooks for SlowFirst {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_manifest(key) && self.manifests.fetch_add(1, Ordering::SeqCst) == 1 {
            let (layers, made) = &*self.layers;
            let missing = |layers: &mut u64| *layers < self.wanted;
            drop(made.wait_while(layers.lock().unwrap(), missing));
        }
        store.create(key, body)
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(Counted {
            upload: store.upload(key)?,
            layers: Arc::clone(&self.layers),
        }))
    }
}

/// While one manifest waits for a slow store the layers of later intervals are made, and they share
/// the next one.
#[test]
fn intervals_that_wait_share_a_manifest() {
    let world = filled(&LONG);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut stores = rig.stores().unwrap();
    let manifests = Arc::new(AtomicU64::new(0));
    let hooks = SlowFirst {
        layers: Arc::default(),
        wanted: 30,
        manifests: Arc::clone(&manifests),
    };
    stores.target = hooked(stores.target, hooks);
    let mut progress = sealed(&LONG);
    run_on(&rig, &stores, &mut progress).unwrap();
    assert_eq!(check(&LONG, &world, &progress), Ok(120));
    // Of 120 points at least 30 were made by then, and those of four sealers may not be told yet.
    let manifests = manifests.load(Ordering::SeqCst);
    assert!(manifests <= 1 + 1 + 90 + 4, "{manifests} manifests");
}

/// Something fails at the n-th time that it is asked for, and from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Fetch,
    Layer,
    Manifest,
    Acknowledge,
    Settle,
}

#[derive(Debug)]
struct Failing {
    step: Step,
    left: AtomicU64,
}

impl Failing {
    fn at(step: Step, nth: u64) -> Failing {
        Failing {
            step,
            left: AtomicU64::new(nth),
        }
    }

    fn pass(&self, step: Step, key: &Key, operation: Operation) -> Result<(), StoreError> {
        let fewer = |left: u64| left.checked_sub(1);
        let counted = || {
            self.left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
        };
        if step == self.step && counted().is_err() {
            return Err(StoreError::new(operation, key, StoreErrorKind::Unavailable));
        }
        Ok(())
    }
}

impl Hooks for Failing {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_manifest(key) {
            self.pass(Step::Manifest, key, Operation::Create)?;
        }
        store.create(key, body)
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.pass(Step::Layer, key, Operation::Create)?;
        store.upload(key)
    }

    fn read_range(
        &self,
        store: &dyn Store,
        key: &Key,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, StoreError> {
        self.pass(Step::Fetch, key, Operation::Read)?;
        store.read_range(key, range)
    }

    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        self.pass(Step::Acknowledge, key, Operation::Delete)?;
        store.delete(key)
    }

    fn settle(&self, store: &dyn Store, prefix: &Key) -> Result<(), StoreError> {
        self.pass(Step::Settle, prefix, Operation::Settle)?;
        store.settle(prefix)
    }
}

/// Whatever stage fails first, the run ends with that failure; what was told is there, and nothing
/// is left at the target that no manifest names.
#[test]
fn a_stage_that_fails_stops_all_and_leaves_what_was_committed() {
    for (step, in_cache) in [
        (Step::Fetch, true),
        (Step::Acknowledge, true),
        (Step::Settle, true),
        (Step::Layer, false),
        (Step::Manifest, false),
    ] {
        for nth in [1, 2, 5, 17, 40] {
            let place = format!("{step:?} fails from {nth} on");
            let world = filled(&LONG);
            let rig = Rig::new(&world, Wraps::NONE, 1);
            let mut stores = rig.stores().unwrap();
            let store = match in_cache {
                true => &mut stores.cache,
                false => &mut stores.target,
            };
            *store = hooked(Arc::clone(store), Failing::at(step, nth));
            let mut progress = sealed(&LONG);
            match run_on(&rig, &stores, &mut progress) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{place}: {error}"),
                // With fewer commits there are fewer of these.
                Ok(_) => assert!(matches!(
                    step,
                    Step::Manifest | Step::Settle | Step::Acknowledge
                )),
            }
            let there = check(&LONG, &world, &progress).unwrap();
            assert!(there >= progress.points, "{place}");
            assert_all_named(&world, &place);
            let mut again = progress.clone();
            run(&Rig::new(&world, Wraps::NONE, 2), &mut again).unwrap();
            assert_eq!(check(&LONG, &world, &again), Ok(120), "{place}");
            no_waste(&world).unwrap();
        }
    }
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

/// Deletes block until the run has committed everything it can: acknowledging lags, and nothing waits
/// for it but the end of the run.
#[derive(Debug)]
struct Lagging {
    committed: Arc<(Mutex<bool>, Condvar)>,
}

impl Hooks for Lagging {
    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        let (committed, changed) = &*self.committed;
        drop(changed.wait_while(committed.lock().unwrap(), |committed| !*committed));
        store.delete(key)
    }
}

#[test]
fn points_do_not_wait_for_deletes_but_the_end_does() {
    let world = filled(&HISTORY);
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut stores = rig.stores().unwrap();
    let committed = Arc::<(Mutex<bool>, Condvar)>::default();
    let hooks = Lagging {
        committed: Arc::clone(&committed),
    };
    stores.cache = hooked(stores.cache, hooks);
    let mut progress = sealed(&HISTORY);
    let told = &mut Progress::default();
    let ran = pipeline(&rig, &stores).run_once(&mut |event| {
        note(&event, told);
        if matches!(event, Event::CaughtUp) {
            *committed.0.lock().unwrap() = true;
            committed.1.notify_all();
        }
    });
    ran.unwrap();
    progress.points = told.points;
    assert_eq!(check(&HISTORY, &world, &progress), Ok(HISTORY.markers()));
    no_waste(&world).unwrap();
}

#[test]
fn a_run_that_is_stopped_ends_at_a_boundary_and_the_next_one_goes_on() {
    for after in [1, 2, 5, 50] {
        let world = filled(&LONG);
        let rig = Rig::new(&world, Wraps::NONE, 1);
        let stores = rig.stores().unwrap();
        let stop = Stop::default();
        let told = &mut Progress::default();
        let ran = pipeline(&rig, &stores).run(&stop, &mut |event| {
            note(&event, told);
            if told.points >= after {
                stop.stop();
            }
        });
        assert!(ran.unwrap().points >= u64::try_from(after).unwrap());
        let mut progress = Progress {
            points: told.points,
            ..sealed(&LONG)
        };
        assert_eq!(check(&LONG, &world, &progress), Ok(told.points));
        assert_all_named(&world, "stopped");
        run(&Rig::new(&world, Wraps::NONE, 2), &mut progress).unwrap();
        assert_eq!(check(&LONG, &world, &progress), Ok(120));
    }
}

/// Lets another worker take over at the create of one manifest.
struct TakenOver {
    manifest: u64,
    seen: AtomicU64,
    before: bool,
    action: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for TakenOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TakenOver({})", self.manifest)
    }
}

impl Hooks for TakenOver {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let turn = is_manifest(key) && self.seen.fetch_add(1, Ordering::SeqCst) == self.manifest;
        if turn && self.before {
            (self.action)();
        }
        let created = store.create(key, body);
        if turn && !self.before {
            (self.action)();
        }
        created
    }
}

#[test]
fn a_worker_that_is_taken_over_in_the_middle_of_a_group_reports_no_point_of_it() {
    for number in [1, 2, 3] {
        for before in [true, false] {
            let world = filled(&LONG);
            let committed = Arc::new(Mutex::new(None));
            let (place, other) = (Arc::clone(&committed), world.clone());
            let action = move || {
                let rig = Rig::new(&other, Wraps::NONE, 2);
                let service = Service::open(&rig, &rig.stores().unwrap()).unwrap();
                *place.lock().unwrap() = Some(service.points());
            };
            let rig = Rig::new(&world, Wraps::NONE, 1);
            let mut stores = rig.stores().unwrap();
            let hooks = TakenOver {
                manifest: number,
                seen: AtomicU64::new(0),
                before,
                action: Box::new(action),
            };
            stores.target = hooked(stores.target, hooks);
            let mut progress = sealed(&LONG);
            let error = run_on(&rig, &stores, &mut progress).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            // What the first one told is what the second one found, no more and no less.
            assert_eq!(Some(progress.points), *committed.lock().unwrap());
            check(&LONG, &world, &progress).unwrap();
            run(&Rig::new(&world, Wraps::NONE, 3), &mut progress).unwrap();
            assert_eq!(check(&LONG, &world, &progress), Ok(120));
        }
    }
}

/// A layer whose name is noted once it is durable.
#[derive(Debug)]
struct Noted {
    upload: Box<dyn Upload>,
    key: Key,
    done: Arc<Mutex<BTreeSet<Key>>>,
}

impl Upload for Noted {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.upload.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.upload.finish()?;
        self.done.lock().unwrap().insert(self.key);
        Ok(())
    }
}

/// Looks on while a pipeline works: what a manifest names is durable.
#[derive(Debug, Default)]
struct TargetJournal {
    done: Arc<Mutex<BTreeSet<Key>>>,
    /// The segment that the newest manifest ends in.
    covered: Arc<AtomicU64>,
    /// Segments before this one have names that stay.
    settled: Arc<AtomicU64>,
}

impl Hooks for TargetJournal {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if !is_manifest(key) {
            return store.create(key, body);
        }
        let manifest = Manifest::decode(&body.concat()).unwrap();
        let done = self.done.lock().unwrap().clone();
        for layer in manifest.partial().layers() {
            let key = layer_key(&Scenario::group(), layer.epoch, layer.id);
            assert!(done.contains(&key), "{key} is named before it is durable");
        }
        let position = manifest.partial().position(&Scenario::stream());
        if let Some(position) = &position {
            let settled = self.settled.load(Ordering::SeqCst);
            assert!(
                position.segment < settled,
                "{key} covers a name that may go"
            );
        }
        store.create(key, body)?;
        if let Some(position) = position {
            self.covered.fetch_max(position.segment, Ordering::SeqCst);
        }
        Ok(())
    }

    fn upload(&self, store: &dyn Store, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(Noted {
            upload: store.upload(key)?,
            key: key.clone(),
            done: Arc::clone(&self.done),
        }))
    }
}

/// Looks on: what is deleted is covered, and how far names were visible when they were settled.
#[derive(Debug)]
struct CacheJournal {
    covered: Arc<AtomicU64>,
    settled: Arc<AtomicU64>,
}

impl Hooks for CacheJournal {
    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        let covered = self.covered.load(Ordering::SeqCst);
        assert!(
            segment_number(key).unwrap() < covered,
            "{key} is not covered"
        );
        store.delete(key)
    }

    fn settle(&self, store: &dyn Store, prefix: &Key) -> Result<(), StoreError> {
        let there = store.list(prefix, None, usize::MAX)?;
        let newest = there.last().and_then(|entry| segment_number(&entry.key));
        store.settle(prefix)?;
        let end = newest.map_or(0, |newest| newest + 1);
        self.settled.fetch_max(end, Ordering::SeqCst);
        Ok(())
    }
}

/// Segments come while others are committed: a point is made only of what is known to stay.
#[test]
fn manifests_name_what_is_durable_and_only_covered_segments_are_deleted() {
    let world = World::new(SEED);
    let source = Rig::new(&world, Wraps::NONE, 8);
    let mut agent = agent(&LONG, &source, &source.stores().unwrap().cache).unwrap();
    let mut segments = LONG.segments.iter();
    let mut send_next = || match segments.next() {
        Some(&end) => send(&LONG, &mut agent, end).map(|()| true).unwrap(),
        None => false,
    };
    for _ in 0..5 {
        send_next();
    }
    let rig = Rig::new(&world, Wraps::NONE, 1);
    let mut stores = rig.stores().unwrap();
    let journal = TargetJournal::default();
    let cache = CacheJournal {
        covered: Arc::clone(&journal.covered),
        settled: Arc::clone(&journal.settled),
    };
    stores.cache = hooked(stores.cache, cache);
    stores.target = hooked(stores.target, journal);
    let stop = Stop::default();
    let told = &mut Progress::default();
    let ran = pipeline(&rig, &stores).run(&stop, &mut |event| {
        note(&event, told);
        match event {
            Event::Point { .. } => drop(send_next()),
            Event::CaughtUp if !send_next() => stop.stop(),
            _ => {}
        }
    });
    ran.unwrap();
    let progress = Progress {
        points: told.points,
        ..sealed(&LONG)
    };
    assert_eq!(check(&LONG, &world, &progress), Ok(120));
}
