//! Every operation of the whole chain failing, without its effect and with it.

use std::{
    io::ErrorKind::{Interrupted, Other, StorageFull},
    sync::LazyLock,
};

use afterimage::{Error, ErrorKind};
use afterimage_testkit::{Fault, World};

use crate::{
    crash_sweep::{look_at_crashes, to_the_end},
    support::{
        Found, HISTORY, Plan, Progress, Rig, Wraps, check, finish, on_one_thread, run::finish_with,
        spread,
    },
};

/// Seed of the worlds.
const SEED: u64 = 2;
/// EIO before and after the effect, ENOSPC and EINTR.
const FAULTS: [Fault; 4] = [
    Fault::Before(Other),
    Fault::After(Other),
    Fault::Before(StorageFull),
    Fault::Before(Interrupted),
];
/// How far the sweep goes.
const PLAN: Plan = Plan {
    states: 3,
    resumed: 0,
    again: 0,
    states_again: 0,
    first_loss_only: false,
};

/// The sweep without a mutant, done once however many tests ask.
pub(crate) static WITHOUT_MUTANT: LazyLock<Found> =
    LazyLock::new(|| on_one_thread(|| sweep(Wraps::NONE, PLAN.scaled())));

#[test]
fn no_single_fault_loses_a_record_or_makes_a_wrong_point() {
    let found = &*WITHOUT_MUTANT;
    println!("fault sweep: {found}");
    found.assert_lossless();
    assert!(found.places > 1_200, "{found} is no sweep");
}

/// The same sweep with a mutant, up to the first loss.
pub(crate) fn sweep_mutant(wraps: Wraps) -> Found {
    let plan = Plan {
        first_loss_only: true,
        ..PLAN
    };
    on_one_thread(|| sweep(wraps, plan))
}

/// Lets each operation of the history fail in each way, and then
///
/// 1. looks at the crash states, with what was reported until then;
/// 2. tries again in the same process, as the service does where the error says so;
/// 3. goes on in a new process.
fn sweep(wraps: Wraps, plan: Plan) -> Found {
    let mut found = Found::default();
    let whole = World::new(SEED);
    let rig = Rig::new(&whole, wraps, 1);
    let run = finish(&HISTORY, &rig, &mut Progress::default());
    found.judge(run.map_err(|error| error.to_string()), "without any fault");
    for number in spread(whole.operations()) {
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
    let opened = rig.stores();
    let run = match &opened {
        Ok(stores) => finish_with(&HISTORY, &rig, stores, &mut progress),
        // A store that could not be opened reports nothing, and nobody goes on without it.
        Err(_) => Ok(()),
    };
    found.judge(typed(&run), &place);
    look_at_crashes(found, &world, wraps, &progress, plan, number, &place);
    if let (Ok(stores), Err(error)) = (&opened, &run) {
        let place = format!("{place}, tried again");
        let rig = Rig::new(&world, wraps, 2);
        let retried = finish_with(&HISTORY, &rig, stores, &mut progress);
        let mends = error.kind() == ErrorKind::Unavailable;
        if let (Err(again), true) = (&retried, mends) {
            let what = format!("after \"{error}\" trying again did not help: {again}");
            found.judge::<()>(Err(what), &place);
        }
        look_at_crashes(found, &world, wraps, &progress, plan, number, &place);
    }
    found.states += 1;
    found.judge(check(&HISTORY, &world.restart(), &progress), &place);
    to_the_end(
        found,
        &world.restart(),
        wraps,
        3,
        progress,
        &format!("{place}, in a new process"),
    );
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
