//! How a run ends: a stage that fails, a stop, another worker.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

use afterimage::{
    ErrorKind, Event, Stop,
    storage::{Key, Operation, Store, StoreError, StoreErrorKind, Upload},
};
use bytes::Bytes;

use super::{LONG, assert_all_named, filled, no_waste, note, pipeline, run, run_on, sealed};
use crate::support::{
    HISTORY, Progress, Rig, Wraps, check,
    hooked::{Hooks, hooked, is_manifest},
    run::Service,
};

/// Far longer than any run takes.
const WITHIN: Duration = Duration::from_secs(60);

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
        range: Range<u64>,
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

/// A mover that failed on the last segment ended and told so; the reader, who is the only one to be
/// told by a full queue that nobody listens, had nothing to put in and asked the cache for ever.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a run that does not end is left behind"
)]
fn a_stage_that_fails_on_the_last_segment_ends_a_run_that_waits_for_more() {
    let (ended, ends) = channel();
    for nth in 0..4 {
        let ended = ended.clone();
        // Where it fails again the thread stays behind, and the test does not.
        std::thread::spawn(move || {
            let world = filled(&HISTORY);
            let rig = Rig::new(&world, Wraps::NONE, 1);
            let mut stores = rig.stores().unwrap();
            stores.target = hooked(stores.target, Failing::at(Step::Layer, nth));
            let stop = Stop::default();
            let ran = pipeline(&rig, &stores).run(&stop, &mut |event| {
                if matches!(event, Event::Retry { .. }) {
                    stop.stop();
                }
            });
            ended.send(ran.map(|_| ())).unwrap();
        });
    }
    for _ in 0..4 {
        let ran = ends.recv_timeout(WITHIN);
        ran.expect("the run ends").unwrap();
    }
}

/// Whoever is told of events may panic, as a print to a closed pipe does.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a run that does not end is left behind"
)]
fn a_panic_of_who_is_told_ends_a_run_that_waits_for_more() {
    let (ended, ends) = channel();
    std::thread::spawn(move || {
        let world = filled(&HISTORY);
        let rig = Rig::new(&world, Wraps::NONE, 1);
        let stores = rig.stores().unwrap();
        let ran = pipeline(&rig, &stores).run(&Stop::default(), &mut |event| {
            assert!(!matches!(event, Event::CaughtUp), "a closed pipe");
        });
        ended.send(ran).unwrap();
    });
    let ended = ends.recv_timeout(WITHIN);
    assert!(
        matches!(ended, Err(RecvTimeoutError::Disconnected)),
        "the panic comes out of the run"
    );
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
