//! The power cut after each operation, and each operation failing.

use std::{
    io::ErrorKind::{Other, StorageFull},
    sync::LazyLock,
};

use afterimage::Error;
use afterimage_testkit::{Fault, World};

use super::{HISTORY, finish, judge, no_leftovers};
use crate::support::{Found, Plan, Progress, Rig, Wraps, on_one_thread, spread};

/// Seed of the worlds.
const SEED: u64 = 13;
const FAULTS: [Fault; 3] = [
    Fault::Before(Other),
    Fault::After(Other),
    Fault::Before(StorageFull),
];
pub(super) const PLAN: Plan = Plan {
    states: 3,
    resumed: 1,
    again: 0,
    states_again: 0,
    first_loss_only: false,
};

/// The sweep without a mutant, done once however many tests ask.
pub(crate) static WITHOUT_MUTANT: LazyLock<Found> =
    LazyLock::new(|| on_one_thread(|| crashes(finish, Wraps::NONE, PLAN.scaled(), usize::MAX)));

/// Runs what is left of the history to its end.
pub(super) type Finish = fn(&Rig, &mut Progress) -> Result<(), Error>;

/// The same with a mutant, up to the first loss.
pub(crate) fn sweep_mutant(wraps: Wraps) -> Found {
    let plan = Plan {
        first_loss_only: true,
        ..PLAN
    };
    on_one_thread(|| crashes(finish, wraps, plan, usize::MAX))
}

#[test]
fn every_write_of_the_window_can_be_gone_back_to_after_any_crash() {
    let found = &*WITHOUT_MUTANT;
    println!("rewind crash sweep: {found}");
    found.assert_lossless();
    let is_sweep = found.places > 300 && found.states > 900;
    assert!(is_sweep, "{found} is no sweep");
}

#[test]
fn every_write_of_the_window_can_be_gone_back_to_after_any_fault() {
    let found = on_one_thread(faults);
    println!("rewind fault sweep: {found}");
    found.assert_lossless();
    assert!(found.places > 900, "{found} is no sweep");
}

fn run(found: &mut Found, finish: Finish, wraps: Wraps) -> u64 {
    let world = World::new(SEED);
    let mut progress = Progress::default();
    let ran = finish(&Rig::new(&world, wraps, 1), &mut progress);
    found.judge(ran.map_err(|error| error.to_string()), "as it is");
    let seen = judge(&world, &progress).and_then(|seen| match seen {
        seen if seen.right >= 10 && seen.outside >= 10 => Ok(()),
        seen => Err(format!("{seen:?} is no window")),
    });
    found.judge(seen, "as it is");
    world.operations()
}

/// The power cut at so many places of a run.
pub(super) fn crashes(finish: Finish, wraps: Wraps, plan: Plan, places: usize) -> Found {
    let mut found = Found::default();
    let operations = run(&mut found, finish, wraps);
    for cut in spread(operations + 1).take(places) {
        if found.is_enough(&plan) {
            break;
        }
        found.places += 1;
        let world = World::new(SEED);
        world.cut_power_after(cut);
        let mut progress = Progress::default();
        // The power is off after an error, so where it stopped does not matter.
        drop(finish(&Rig::new(&world, wraps, 1), &mut progress));
        let place = format!("cut after {cut}");
        for (number, state) in world.crash_states(plan.states, cut).enumerate() {
            found.states += 1;
            let place = format!("{place}, state {number}");
            found.judge(judge(&state, &progress), &place);
            if number < plan.resumed && cut % 5 == 0 {
                to_the_end(
                    &mut found,
                    finish,
                    &Rig::new(&state, wraps, 2),
                    &progress,
                    &place,
                );
            }
        }
    }
    found
}

fn faults() -> Found {
    let mut found = Found::default();
    let operations = run(&mut found, finish, Wraps::NONE);
    for number in spread(operations) {
        for fault in FAULTS {
            found.places += 1;
            let place = format!("{fault:?} at operation {number}");
            let world = World::new(SEED);
            world.fail_at(number, fault);
            let mut progress = Progress::default();
            drop(finish(&Rig::new(&world, Wraps::NONE, 1), &mut progress));
            found.states += 1;
            found.judge(judge(&world.restart(), &progress), &place);
            if number % 5 == 0 {
                let rig = Rig::new(&world, Wraps::NONE, 2);
                to_the_end(&mut found, finish, &rig, &progress, &place);
            }
        }
    }
    found
}

/// Goes on without a crash: the history comes to its end with every point, and nothing is left that
/// nobody needs.
fn to_the_end(found: &mut Found, finish: Finish, rig: &Rig, progress: &Progress, place: &str) {
    found.resumed += 1;
    let world = rig.world.restart();
    let mut progress = progress.clone();
    let ran = finish(&Rig::new(&world, rig.wraps, rig.process), &mut progress);
    let complete = ran.map_err(|error| format!("does not go on: {error}"));
    let complete = complete.and_then(|()| judge(&world, &progress));
    let complete = complete.and_then(|seen| match seen.points {
        points if points == HISTORY.markers() => no_leftovers(&world),
        points => Err(format!("{points} points in the end")),
    });
    found.judge(complete, format!("{place}, resumed"));
}
