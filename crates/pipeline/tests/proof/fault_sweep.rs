//! Every operation of the whole chain failing, without its effect and with it.

use std::io::ErrorKind::{Interrupted, Other, StorageFull};

use afterimage::{Error, ErrorKind};
use afterimage_testkit::{Fault, World};

use crate::{
    crash_sweep::{look_at_crashes, to_the_end},
    support::{
        Found, Plan, Progress, Rig, Wraps, check, finish, on_one_thread, run::finish_with,
        scenario::HISTORY,
    },
};

/// Seed of the worlds.
const SEED: u64 = 2;
/// EIO, ENOSPC and EINTR, each before the effect and after it.
const FAULTS: [Fault; 6] = [
    Fault::Before(Other),
    Fault::After(Other),
    Fault::Before(StorageFull),
    Fault::After(StorageFull),
    Fault::Before(Interrupted),
    Fault::After(Interrupted),
];

#[test]
fn no_single_fault_loses_a_record_or_makes_a_wrong_point() {
    let plan = Plan {
        states: 3,
        resumed: 1,
        again: 0,
        states_again: 0,
        first_loss_only: false,
    };
    let found = on_one_thread(|| sweep(Wraps::NONE, plan.scaled()));
    println!("fault sweep: {found}");
    found.assert_lossless();
    assert!(found.places > 2_000, "{found} is no sweep");
}

/// Lets each operation of the history fail in each way, and then
///
/// 1. looks at the crash states, with what was reported until then;
/// 2. tries again in the same process, as the service does where the error says so;
/// 3. goes on in a new process.
pub(crate) fn sweep(wraps: Wraps, plan: Plan) -> Found {
    let mut found = Found::default();
    let whole = World::new(SEED);
    let rig = Rig::new(&whole, wraps, 1);
    let run = finish(&HISTORY, &rig, &mut Progress::default());
    found.judge(run.map_err(|error| error.to_string()), "without any fault");
    for number in 0..whole.operations() {
        for fault in FAULTS {
            if found.is_enough(&plan) {
                return found;
            }
            fault_at(&mut found, wraps, &plan, number, fault);
        }
    }
    found
}

fn fault_at(found: &mut Found, wraps: Wraps, plan: &Plan, number: u64, fault: Fault) {
    let place = format!("{fault:?} at operation {number}");
    found.places += 1;
    let world = World::new(SEED);
    world.fail_at(number, fault);
    let mut progress = Progress::default();
    let rig = Rig::new(&world, wraps, 1);
    let opened = rig.cache().and_then(|cache| Ok((rig.target(&cache)?, cache)));
    let mut retries = None;
    let run = match &opened {
        Ok((target, cache)) => {
            let run = finish_with(&HISTORY, &rig, cache, target, &mut progress);
            let rig = Rig::new(&world, wraps, 2);
            retries = run.is_err().then_some((rig, cache, target));
            run
        }
        Err(_) => finish(&HISTORY, &rig, &mut progress),
    };
    found.judge(typed(&run), &place);
    look_at_crashes(found, &world, wraps, &progress, plan, number, &place);
    if let (Some((rig, cache, target)), Err(error)) = (retries, &run) {
        let place = format!("{place}, tried again");
        let retried = finish_with(&HISTORY, &rig, cache, target, &mut progress);
        let mends = error.kind() == ErrorKind::Unavailable;
        if let (Err(again), true) = (&retried, mends) {
            let what = format!("after \"{error}\" trying again did not help: {again}");
            found.judge::<()>(Err(what), &place);
        }
        look_at_crashes(found, &world, wraps, &progress, plan, number, &place);
    }
    found.states += 1;
    found.judge(check(&HISTORY, &world.restart(), &progress), &place);
    to_the_end(found, &world.restart(), wraps, 3, progress, &format!("{place}, in a new process"));
}

/// A fault of one operation is never taken for another worker, for damage or for a gap.
fn typed(run: &Result<(), Error>) -> Result<(), String> {
    match run {
        Err(error) if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Target) => {
            Err(format!("it was called {}: {error}", error.kind().word()))
        }
        _ => Ok(()),
    }
}
