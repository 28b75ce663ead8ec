//! Workers that were taken over and wake up, commits nobody knows the end of, deletes that fail.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc::{Receiver, Sender, channel},
};

use afterimage::{
    Error, ErrorKind, Stop, Timestamp,
    recovery::{
        Collector, Committer, Head, chain::boundary, hold::HoldKind, holds::Held, load_head,
        name::layer_key,
    },
    storage::{Effect, Key, MemoryStore, Operation, Store, StoreError, StoreErrorKind},
};
use afterimage_testkit::World;
use bytes::Bytes;

use super::{
    HISTORY, check_point, fresh_id, group,
    interleaved::{Interleaved, full_target, hold, nonces, points, pruned, wrapped},
    stored, tend,
};
use crate::support::{
    Found, Progress, Rig, Wraps,
    hooked::{Hooks, hooked, is_manifest},
    rig::Stores,
    run::{Service, agent, send},
};

pub(crate) fn head_of(target: &Arc<dyn Store>) -> Head {
    load_head(target.as_ref(), &group()).unwrap().unwrap()
}

/// Every point of the newest manifest can be read and is right.
pub(crate) fn all_read(target: &Arc<dyn Store>) -> Result<(), String> {
    let manifest = head_of(target).manifest;
    let mut points = manifest.points.iter();
    points.try_for_each(|point| check_point(target, &manifest, point.id))
}

/// A worker sleeps at any call of its upkeep while another one takes over, prunes, compacts and
/// collects; then it wakes up and goes on as if nothing had been.
pub(crate) fn sleepers(wraps: Wraps) -> Found {
    let mut found = Found::default();
    for at in 0.. {
        found.places += 1;
        let target = full_target();
        let store = Arc::clone(&target);
        let collected: Arc<Mutex<Option<u64>>> = Arc::default();
        let slot = Arc::clone(&collected);
        let between = Interleaved::new(&target, at, move || {
            let nonces = nonces(1 << 21 | at);
            tend(&store, nonces).run(&Stop::default()).unwrap();
            *slot.lock().unwrap() = boundary(store.as_ref(), &group()).unwrap();
        });
        let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
        let ran = tend(&wrapped(wraps, &seen), nonces(at)).run(&Stop::default());
        found.states += u64::from(ran.is_err_and(|error| error.kind() == ErrorKind::Fenced));
        let place = format!("asleep at call {at}");
        found.judge(all_read(&target), &place);
        let before = *collected.lock().unwrap();
        let after = boundary(target.as_ref(), &group()).unwrap();
        let back = || format!("the boundary went back from {before:?} to {after:?}");
        found.judge((before <= after).then_some(()).ok_or_else(back), &place);
        if at >= between.calls() {
            return found;
        }
    }
    found
}

#[test]
fn a_worker_that_was_taken_over_deletes_nothing_that_counts() {
    let found = sleepers(Wraps::NONE);
    println!("sleepers: {found}");
    found.assert_lossless();
    assert!(found.states > 5, "{} were fenced", found.states);
}

/// Whose collector looks for leftovers while points are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of a worker which was taken over and wakes up.
    Former,
    /// That of the worker which makes the points.
    Own,
}

/// A collector is opened and collects at any call of a worker that makes points.
pub(crate) fn leftovers(wraps: Wraps, whose: Whose) -> Found {
    let mut found = Found::default();
    for at in 0.. {
        found.places += 1;
        let memory = || -> Arc<dyn Store> { Arc::new(MemoryStore::new()) };
        let (cache, target, restored) = (memory(), memory(), memory());
        let rig = |process| Rig::new(&World::new(1), Wraps::NONE, process);
        let mut agent = agent(&HISTORY, &rig(1), &cache).unwrap();
        for &end in &HISTORY.segments {
            send(&HISTORY, &mut agent, end).unwrap();
        }
        let former = acquire(&target, at).unwrap();
        let store = Arc::clone(&target);
        let between = Interleaved::new(&target, at, move || {
            let head = match whose {
                Whose::Former => former,
                Whose::Own => head_of(&store),
            };
            let seen = wrapped(wraps, &store);
            let mut collector = Collector::open(seen, group(), &head).unwrap();
            collector.collect(&head, None, Timestamp(1)).unwrap();
        });
        let stores = Stores {
            cache,
            target: Arc::clone(&between) as Arc<dyn Store>,
            restored,
        };
        let worked = Service::open(&rig(2), &stores)
            .and_then(|mut service| service.catch_up(&mut Progress::default()));
        let place = format!("at call {at}");
        found.judge(worked.map_err(|error| error.to_string()), &place);
        found.states += 1;
        found.judge(all_read(&target), &place);
        if at >= between.calls() {
            return found;
        }
    }
    found
}

fn acquire(target: &Arc<dyn Store>, seed: u64) -> Result<Head, Error> {
    let (store, nonces) = (Arc::clone(target), nonces(1 << 22 | seed));
    let committer = Committer::acquire(store, nonces, group(), Timestamp(1))?;
    Ok(committer.head().clone())
}

#[test]
fn a_search_for_leftovers_takes_nothing_that_is_on_its_way() {
    for whose in [Whose::Former, Whose::Own] {
        let found = leftovers(Wraps::NONE, whose);
        println!("leftovers beside points, {whose:?}: {found}");
        found.assert_lossless();
        assert!(found.places > 40, "{found} is no sweep");
    }
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
#[expect(
    clippy::disallowed_methods,
    reason = "one worker sleeps while the other one goes on"
)]
pub(crate) fn marks(wraps: Wraps) -> Found {
    let mut found = Found::default();
    let victim = *pruned().first().unwrap();
    for at in 0.. {
        found.places += 1;
        let target = full_target();
        let (asleep, sleeps) = channel();
        let (wake, woken) = channel();
        let hooks = SleepsBeforePruning {
            marked: AtomicBool::new(false),
            asleep,
            wake: Mutex::new(Some(woken)),
        };
        let seen = hooked(wrapped(wraps, &target), hooks);
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
        assert!(!is_early || at < 9, "the old one was faster at call {at}");
        if taken.lock().unwrap().is_some() {
            found.states += 1;
            let there = points(&target).contains(&victim);
            let gone = || format!("point {victim} was pinned and pruned all the same");
            found.judge(
                there.then_some(()).ok_or_else(gone),
                format!("at call {at}"),
            );
        }
        if at >= between.calls() {
            return found;
        }
    }
    found
}

#[test]
fn a_worker_that_was_taken_over_leaves_the_mark_of_the_new_one() {
    let found = marks(Wraps::NONE);
    println!("marks: {found}");
    found.assert_lossless();
    assert!(found.states > 5 && found.places - found.states > 3);
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
        if collector.collect(&head, None, now).is_err() {
            collector.collect(&head, None, now).unwrap();
        }
        assert_eq!(collector.waiting() + collector.manifests_waiting(), 0);
        assert_eq!(stored(&target).len(), whole, "delete {failing} failed");
    }
}
