//! Upkeep beside readers and pins: whatever comes in between, at whichever call.

use std::{
    fmt,
    sync::{Arc, Mutex, mpsc::channel},
    thread::JoinHandle,
};

use afterimage::{
    Stop,
    recovery::{chain::load, hold::HoldKind, holds::Held},
    storage::{Key, Store, StoreError},
};
use bytes::Bytes;

use super::{
    check_point, group,
    interleaved::{
        Interleaved, Meanwhile, full_target, hold, nonces, points, pruned, tend_through,
    },
    tend,
};
use crate::support::{
    Found, Wraps,
    hooked::{Hooks, hooked},
};

type Slot = Arc<Mutex<Option<Held>>>;

/// Does the upkeep, with somebody who holds a point at one of its calls; then another worker does it
/// once more, from what it finds. Gives the hold, and whether that was the last call.
fn held_at(
    found: &mut Found,
    wraps: Wraps,
    target: &Arc<dyn Store>,
    (kind, victim): (HoldKind, u64),
    at: u64,
) -> (Option<Held>, bool) {
    found.places += 1;
    let taken = Slot::default();
    let (store, slot) = (Arc::clone(target), Arc::clone(&taken));
    let between = Interleaved::new(target, at, move || {
        *slot.lock().unwrap() = hold(store.as_ref(), kind, victim);
    });
    let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
    let place = format!("held at call {at}");
    found.judge(tend_through(wraps, &seen, nonces(at)), &place);
    let again = tend_through(Wraps::NONE, target, nonces(1 << 20 | at));
    found.judge(again, &place);
    let taken = taken.lock().unwrap().take();
    (taken, at >= between.calls())
}

/// A reader comes at every call of the upkeep: it holds its point, one that is pruned or one whose
/// layers are compacted, and can read it as long as it does; or it is told that it is gone.
pub(crate) fn readers(wraps: Wraps) -> Found {
    let mut found = Found::default();
    let pruned = pruned();
    let stays = (1..).find(|point| !pruned.contains(point)).unwrap();
    for point in [*pruned.first().unwrap(), stays] {
        for at in 0.. {
            let target = full_target();
            let (held, last) = held_at(&mut found, wraps, &target, (HoldKind::Use, point), at);
            if let Some(held) = held {
                found.states += 1;
                let read = check_point(&target, &held.head.manifest, point);
                found.judge(read, format!("held at call {at}"));
            }
            if last {
                break;
            }
        }
    }
    found
}

#[test]
fn a_point_that_is_held_can_be_read_whenever_the_hold_came() {
    let found = readers(Wraps::NONE);
    println!("readers: {found}");
    found.assert_lossless();
    assert!(found.states > 200 && found.places - found.states > 100);
}

/// Lets something happen before a hold is created.
struct BeforeHold(Mutex<Option<Meanwhile>>);

impl fmt::Debug for BeforeHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BeforeHold")
    }
}

impl Hooks for BeforeHold {
    fn create(&self, store: &dyn Store, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let meanwhile = self.0.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        store.create(key, body)
    }
}

/// A reader has found its point when upkeep begins, and creates the hold at any call of it: it sees
/// that it is late, or upkeep sees the hold.
pub(crate) fn late_readers(wraps: Wraps) -> Found {
    let mut found = Found::default();
    let pruned = pruned();
    let stays = (1..).find(|point| !pruned.contains(point)).unwrap();
    for point in [*pruned.first().unwrap(), stays] {
        late_reader(&mut found, wraps, point);
    }
    found
}

#[expect(
    clippy::disallowed_methods,
    reason = "upkeep sleeps while the reader goes on"
)]
fn late_reader(found: &mut Found, wraps: Wraps, point: u64) {
    for at in 0.. {
        found.places += 1;
        let target = full_target();
        let ((pause, paused), (wake, woken)) = (channel(), channel::<()>());
        let ended = pause.clone();
        let between = Interleaved::new(&target, at, move || {
            pause.send(()).unwrap();
            let _goes_on = woken.recv();
        });
        let seen: Arc<dyn Store> = Arc::clone(&between) as Arc<dyn Store>;
        let upkeep: Arc<Mutex<Option<JoinHandle<_>>>> = Arc::default();
        let slot = Arc::clone(&upkeep);
        let meanwhile = Box::new(move || {
            let work = move || {
                let tended = tend_through(wraps, &seen, nonces(at));
                // Nobody waits for it where it has paused before.
                let _nobody = ended.send(());
                tended
            };
            *slot.lock().unwrap() = Some(std::thread::spawn(work));
            // It pauses, or has ended.
            paused.recv().unwrap();
        });
        let reader = hooked(Arc::clone(&target), BeforeHold(Mutex::new(Some(meanwhile))));
        let held = hold(reader.as_ref(), HoldKind::Use, point);
        drop(wake);
        let upkeep = upkeep.lock().unwrap().take().unwrap();
        let place = format!("held at call {at}");
        found.judge(upkeep.join().unwrap(), &place);
        if let Some(held) = held {
            found.states += 1;
            let read = check_point(&target, &held.head.manifest, point);
            found.judge(read, &place);
        }
        if at >= between.calls() {
            return;
        }
    }
}

#[test]
fn a_reader_that_found_its_point_before_upkeep_reads_right_or_learns_that_it_is_late() {
    let found = late_readers(Wraps::NONE);
    println!("late readers: {found}");
    found.assert_lossless();
    assert!(found.states > 10 && found.places - found.states > 10);
}

/// A pin comes at every call: it is there in the end, or was refused.
pub(crate) fn pins(wraps: Wraps) -> Found {
    let mut found = Found::default();
    let victim = *pruned().first().unwrap();
    for at in 0.. {
        let target = full_target();
        let (held, last) = held_at(&mut found, wraps, &target, (HoldKind::Pin, victim), at);
        if held.is_some() {
            found.states += 1;
            let there = points(&target).contains(&victim);
            let gone = || format!("point {victim} was pinned and pruned all the same");
            found.judge(
                there.then_some(()).ok_or_else(gone),
                format!("at call {at}"),
            );
        }
        if last {
            return found;
        }
    }
    found
}

#[test]
fn a_point_that_is_pinned_stays_whenever_the_pin_came() {
    let found = pins(Wraps::NONE);
    println!("pins: {found}");
    found.assert_lossless();
    assert!(found.states > 5 && found.places - found.states > 3);
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
