//! Upkeep beside readers, pins and workers that were taken over: whatever happens in between, at
//! whichever call.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use afterimage::{
    ErrorKind, Stop, Timestamp,
    recovery::{
        Collector, Manifest, RecoveryError, RecoveryErrorKind,
        chain::load,
        hold::HoldKind,
        holds::{Held, HoldRequest, take_hold},
        load_head,
        name::layer_key,
    },
    storage::{
        Effect, Entry, Key, MemoryStore, Nonces, Operation, Store, StoreError, StoreErrorKind,
        Tail, Upload,
    },
};
use afterimage_testkit::World;
use bytes::Bytes;

use super::{HISTORY, check_point, fresh_id, group, stored, tend};
use crate::support::{
    Progress, Rig, Wraps,
    hooked::{Hooks, hooked, is_manifest},
    rig::Stores,
    run::{Service, agent, send},
};

type Meanwhile = Box<dyn FnOnce() + Send>;

/// A store that does something else just before its call of a given number.
struct Interleaved {
    store: Arc<dyn Store>,
    calls: AtomicU64,
    meanwhile: Mutex<Option<(u64, Meanwhile)>>,
}

impl fmt::Debug for Interleaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interleaved({:?})", self.store)
    }
}

impl Interleaved {
    fn new(
        store: &Arc<dyn Store>,
        at: u64,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> Arc<Interleaved> {
        Arc::new(Interleaved {
            store: Arc::clone(store),
            calls: AtomicU64::new(0),
            meanwhile: Mutex::new(Some((at, Box::new(meanwhile)))),
        })
    }

    fn call(&self) -> &dyn Store {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.meanwhile.lock().unwrap();
        let due = waiting.as_ref().is_some_and(|(at, _)| *at == number);
        let run = if due { waiting.take() } else { None };
        drop(waiting);
        if let Some((_, run)) = run {
            run();
        }
        self.store.as_ref()
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Store for Interleaved {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.call().create(key, body)
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.call().upload(key)
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.call().read(key)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.call().read_range(key, range)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        self.call().read_tail(key, bytes_max)
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.call().size(key)
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.call().list(prefix, after, limit)
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.call().delete(key)
    }

    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.call().settle(prefix)
    }
}

/// A target with all points of the history, none of them pruned.
fn full_target() -> Arc<dyn Store> {
    let memory = || -> Arc<dyn Store> { Arc::new(MemoryStore::new()) };
    let stores = Stores {
        cache: memory(),
        target: memory(),
        restored: memory(),
    };
    let rig = Rig::new(&World::new(1), Wraps::NONE, 1);
    let mut agent = agent(&HISTORY, &rig, &stores.cache).unwrap();
    for &end in &HISTORY.segments {
        send(&HISTORY, &mut agent, end).unwrap();
    }
    let mut service = Service::open(&Rig::new(&World::new(1), Wraps::NONE, 2), &stores).unwrap();
    service.catch_up(&mut Progress::default()).unwrap();
    stores.target
}

fn request(kind: HoldKind) -> HoldRequest {
    HoldRequest {
        kind,
        until: Timestamp(u64::MAX),
        text: "a test".to_owned(),
    }
}

/// Holds a point that the policy lets go; `None` where it is gone already.
fn hold(store: &dyn Store, kind: HoldKind, point: u64) -> Option<Held> {
    let mut ids = 0u64..;
    let id = || fresh_id(1000 * point + ids.next().unwrap());
    let choose = |manifest: &Manifest| {
        let mut points = manifest.points.iter();
        let there = points.any(|known| known.id == point);
        let gone = || RecoveryError::new("it", RecoveryErrorKind::NoSuch("it is gone".to_owned()));
        there.then_some(point).ok_or_else(gone)
    };
    match take_hold(store, &group(), id, &request(kind), choose) {
        Ok(held) => Some(held),
        Err(error) => {
            let kind = &error.kind;
            let expected = matches!(
                kind,
                RecoveryErrorKind::NoSuch(_) | RecoveryErrorKind::Stale(_)
            );
            assert!(expected, "{error}");
            None
        }
    }
}

fn nonces(seed: u64) -> Arc<Nonces> {
    Arc::new(Nonces::seeded(0xbe51de ^ seed << 20))
}

/// The points that the policy lets go, in the end.
fn pruned() -> BTreeSet<u64> {
    let target = full_target();
    let all: BTreeSet<u64> = points(&target);
    tend(&target, nonces(1)).run(&Stop::default()).unwrap();
    let left = points(&target);
    all.difference(&left).copied().collect()
}

fn points(target: &Arc<dyn Store>) -> BTreeSet<u64> {
    let head = load_head(target.as_ref(), &group()).unwrap().unwrap();
    head.manifest.points.iter().map(|point| point.id).collect()
}

/// A reader comes at every call of the upkeep: it holds its point and can read it as long as it
/// does, or is told that it is gone.
#[test]
fn a_point_that_is_held_can_be_read_whenever_the_hold_came() {
    let victim = *pruned().first().unwrap();
    let (mut held, mut gone) = (0, 0);
    for at in 0.. {
        let target = full_target();
        let taken: Arc<Mutex<Option<Held>>> = Arc::default();
        let (store, slot) = (Arc::clone(&target), Arc::clone(&taken));
        let between = Interleaved::new(&target, at, move || {
            *slot.lock().unwrap() = hold(store.as_ref(), HoldKind::Use, victim);
        });
        let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
        tend(&seen, nonces(at)).run(&Stop::default()).unwrap();
        // Another worker does it once more, from what it finds.
        tend(&target, nonces(1 << 20 | at))
            .run(&Stop::default())
            .unwrap();
        match taken.lock().unwrap().take() {
            Some(taken) => {
                held += 1;
                check_point(&target, &taken.head.manifest, victim)
                    .unwrap_or_else(|loss| panic!("held at call {at}: {loss}"));
            }
            None => gone += 1,
        }
        if at >= between.calls() {
            break;
        }
    }
    println!("{held} times held, {gone} times gone");
    assert!(held > 10 && gone > 3);
}

/// A pin comes at every call: it is there in the end, or was refused.
#[test]
fn a_point_that_is_pinned_stays_whenever_the_pin_came() {
    let victim = *pruned().first().unwrap();
    let (mut pinned, mut refused) = (0, 0);
    for at in 0.. {
        let target = full_target();
        let taken: Arc<Mutex<Option<Held>>> = Arc::default();
        let (store, slot) = (Arc::clone(&target), Arc::clone(&taken));
        let between = Interleaved::new(&target, at, move || {
            *slot.lock().unwrap() = hold(store.as_ref(), HoldKind::Pin, victim);
        });
        let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
        tend(&seen, nonces(at)).run(&Stop::default()).unwrap();
        tend(&target, nonces(1 << 20 | at))
            .run(&Stop::default())
            .unwrap();
        let there = points(&target).contains(&victim);
        if taken.lock().unwrap().is_some() {
            pinned += 1;
            assert!(there, "pinned at call {at} and pruned all the same");
        } else {
            refused += 1;
        }
        if at >= between.calls() {
            break;
        }
    }
    println!("{pinned} times pinned, {refused} times refused");
    assert!(pinned > 5 && refused > 3);
}

/// Sleeps before the manifest that prunes, until it is woken.
#[derive(Debug)]
struct SleepsBeforePruning {
    marked: AtomicBool,
    asleep: Sender<()>,
    wake: Mutex<Option<Receiver<()>>>,
}

impl Hooks for SleepsBeforePruning {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        if is_mark(key) {
            self.marked.store(true, Ordering::SeqCst);
        } else if self.marked.load(Ordering::SeqCst)
            && let Some(wake) = self.wake.lock().unwrap().take()
        {
            self.asleep.send(()).unwrap();
            // Nobody wakes it where the other worker has ended before.
            let _ended = wake.recv();
        }
        store.create(key, body)
    }
}

fn is_mark(key: &Key) -> bool {
    key.as_str().contains("/pruning/")
}

/// A worker that was taken over while it pruned took every mark away when it woke up, that of the new
/// worker too: whoever pinned then saw no mark, and the new worker had not seen the pin.
#[test]
fn a_worker_that_was_taken_over_leaves_the_mark_of_the_new_one() {
    let victim = *pruned().first().unwrap();
    let (mut pinned, mut refused) = (0, 0);
    for at in 0.. {
        let target = full_target();
        let (asleep, sleeps) = channel();
        let (wake, woken) = channel();
        let hooks = SleepsBeforePruning {
            marked: AtomicBool::new(false),
            asleep,
            wake: Mutex::new(Some(woken)),
        };
        let seen = hooked(Arc::clone(&target), hooks);
        let old = std::thread::spawn(move || tend(&seen, nonces(at)).run(&Stop::default()));
        sleeps.recv().unwrap();
        let taken: Arc<Mutex<Option<Held>>> = Arc::default();
        let (store, slot) = (Arc::clone(&target), Arc::clone(&taken));
        let between = Interleaved::new(&target, at, move || {
            drop(wake);
            // Where the new one has not taken over yet, the old one does it all.
            let _either = old.join().unwrap();
            *slot.lock().unwrap() = hold(store.as_ref(), HoldKind::Pin, victim);
        });
        let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
        let ran = tend(&seen, nonces(1 << 20 | at)).run(&Stop::default());
        let is_early = ran.is_err_and(|error| error.kind() == ErrorKind::Fenced);
        assert!(!is_early || at < 8, "the old one was faster at call {at}");
        let there = points(&target).contains(&victim);
        if taken.lock().unwrap().is_some() {
            pinned += 1;
            assert!(there, "pinned at call {at} and pruned all the same");
        } else {
            refused += 1;
        }
        if at >= between.calls() {
            break;
        }
    }
    println!("{pinned} times pinned, {refused} times refused");
    assert!(pinned > 5 && refused > 3);
}

/// The manifest that prunes is on its way, nobody knows how far.
#[derive(Debug, Default)]
struct OnItsWay {
    marked: AtomicBool,
    sent: Arc<Mutex<Option<(Key, Bytes)>>>,
}

impl Hooks for OnItsWay {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.marked.fetch_or(is_mark(key), Ordering::SeqCst);
        if is_manifest(key) && self.marked.load(Ordering::SeqCst) {
            *self.sent.lock().unwrap() = Some((key.clone(), body.concat().into()));
            let error = StoreError::new(Operation::Create, key, StoreErrorKind::Unavailable);
            return Err(error.with_effect(Effect::Unknown));
        }
        store.create(key, body)
    }
}

/// The mark was taken back when a commit failed, also where it was not known what came of it: a pin
/// was granted, and then the manifest that prunes its point arrived.
#[test]
fn no_pin_is_granted_while_a_manifest_that_prunes_may_be_on_its_way() {
    let victim = *pruned().first().unwrap();
    let target = full_target();
    let hooks = OnItsWay::default();
    let sent = Arc::clone(&hooks.sent);
    let seen = hooked(Arc::clone(&target), hooks);
    tend(&seen, nonces(1)).run(&Stop::default()).unwrap_err();
    let pinned = hold(target.as_ref(), HoldKind::Pin, victim);
    let (key, body) = sent.lock().unwrap().take().unwrap();
    target.create(&key, &[body]).unwrap();
    assert!(pinned.is_none() || points(&target).contains(&victim));
    // The next worker knows what came of it, and takes the mark back.
    tend(&target, nonces(2)).run(&Stop::default()).unwrap();
    let newest = *points(&target).last().unwrap();
    assert!(hold(target.as_ref(), HoldKind::Pin, newest).is_some());
}

/// One delete fails.
#[derive(Debug)]
struct FailsOnce(AtomicU64);

impl Hooks for FailsOnce {
    fn delete(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(StoreError::new(
                Operation::Delete,
                key,
                StoreErrorKind::Unavailable,
            ));
        }
        store.delete(key)
    }
}

/// What was still to be deleted when a delete failed was forgotten until another worker came.
#[test]
fn what_could_not_be_deleted_is_deleted_the_next_time() {
    let whole = {
        let target = full_target();
        tend(&target, nonces(1)).run(&Stop::default()).unwrap();
        stored(&target).len()
    };
    for failing in 0..40 {
        let target = full_target();
        // Whatever is left over from before is garbage to the new worker.
        let old = load_head(target.as_ref(), &group()).unwrap().unwrap();
        tend(&target, nonces(1)).run(&Stop::default()).unwrap();
        let head = load_head(target.as_ref(), &group()).unwrap().unwrap();
        let left: Vec<Key> = (0..10)
            .map(|number| layer_key(&group(), old.manifest.epoch, fresh_id(number)))
            .collect();
        for key in &left {
            target.create(key, &[]).unwrap();
        }
        let seen = hooked(Arc::clone(&target), FailsOnce(AtomicU64::new(failing)));
        let mut collector = Collector::open(seen, group(), &head).unwrap();
        let now = Timestamp(1);
        if collector.collect(&head, now).is_err() {
            collector.collect(&head, now).unwrap();
        }
        assert_eq!(collector.waiting() + collector.manifests_waiting(), 0);
        assert_eq!(stored(&target).len(), whole, "delete {failing} failed");
    }
}

/// The whole upkeep happens between two calls of a reader.
#[test]
fn a_reader_that_pauses_anywhere_while_it_takes_its_hold_reads_right_or_learns_that_it_is_late() {
    let victim = *pruned().first().unwrap();
    for kind in [HoldKind::Use, HoldKind::Pin] {
        let (mut held, mut late) = (0, 0);
        for at in 0.. {
            let target = full_target();
            let store = Arc::clone(&target);
            let between = Interleaved::new(&target, at, move || {
                tend(&store, nonces(at)).run(&Stop::default()).unwrap();
            });
            match hold(between.as_ref(), kind, victim) {
                Some(taken) => {
                    held += 1;
                    tend(&target, nonces(1 << 20 | at))
                        .run(&Stop::default())
                        .unwrap();
                    if kind == HoldKind::Use {
                        check_point(&target, &taken.head.manifest, victim)
                            .unwrap_or_else(|loss| panic!("paused at call {at}: {loss}"));
                    } else {
                        assert!(points(&target).contains(&victim), "paused at call {at}");
                    }
                }
                None => late += 1,
            }
            if at >= between.calls() {
                break;
            }
        }
        assert!(held > 0 && late > 0, "{kind:?}: {held} held, {late} late");
    }
}

/// A worker sleeps at any call of its upkeep while another one takes over, prunes, compacts,
/// collects and makes a point; then it wakes up and goes on as if nothing had been.
#[test]
fn a_worker_that_was_taken_over_deletes_nothing_that_counts() {
    let mut fenced = 0;
    for at in 0.. {
        let target = full_target();
        let store = Arc::clone(&target);
        let between = Interleaved::new(&target, at, move || {
            tend(&store, nonces(1 << 21 | at))
                .run(&Stop::default())
                .unwrap();
        });
        let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
        if tend(&seen, nonces(at)).run(&Stop::default()).is_err() {
            fenced += 1;
        }
        let head = load_head(target.as_ref(), &group()).unwrap().unwrap();
        for point in &head.manifest.points {
            check_point(&target, &head.manifest, point.id)
                .unwrap_or_else(|loss| panic!("asleep at call {at}: {loss}"));
        }
        if at >= between.calls() {
            break;
        }
    }
    assert!(fenced > 5, "{fenced}");
}

/// What is released, or has expired, is given back.
#[test]
fn a_hold_that_ended_holds_nothing() {
    let target = full_target();
    let victim = *pruned().first().unwrap();
    let taken = hold(target.as_ref(), HoldKind::Use, victim).unwrap();
    tend(&target, nonces(1)).run(&Stop::default()).unwrap();
    assert!(points(&target).contains(&victim), "in use");
    target.delete(&taken.key).unwrap();
    tend(&target, nonces(2)).run(&Stop::default()).unwrap();
    assert!(!points(&target).contains(&victim));
    let number = taken.head.manifest.number;
    assert!(load(target.as_ref(), &group(), number).unwrap().is_none());
    assert!(
        check_point(&target, &taken.head.manifest, victim).is_err(),
        "nothing was given back"
    );
}
