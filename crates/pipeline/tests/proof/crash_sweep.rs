//! The power cut after every operation of the whole chain, and once more while it goes on.

use std::fmt;

use afterimage_testkit::{Random, World};

use crate::support::{
    Found, Plan, Progress, Rig, Wraps, check, finish, on_one_thread, scenario::HISTORY,
};

/// Seed of the worlds: it decides where writes tear.
const SEED: u64 = 1;
/// Operations in which a process opens stores and takes over what it finds.
const EARLY: u64 = 32;

#[test]
fn nothing_reported_is_lost_and_no_point_is_wrong_after_any_two_crashes() {
    let plan = Plan {
        states: 40,
        resumed: 2,
        again: 4,
        states_again: 4,
        first_loss_only: false,
    };
    let found = on_one_thread(|| sweep(Wraps::NONE, plan.scaled()));
    println!("crash sweep: {found}");
    found.assert_lossless();
    assert!(found.places > 300 && found.states > 5_000, "{found} is no sweep");
}

/// Cuts the power after each operation of the history in turn, and looks at what that may leave:
///
/// 1. the crash states, each checked, some resumed to the end and cut again on their way;
/// 2. the world of a process that died while the power stayed on, resumed and cut the same way.
pub(crate) fn sweep(wraps: Wraps, plan: Plan) -> Found {
    let mut found = Found::default();
    let whole = World::new(SEED);
    let rig = Rig::new(&whole, wraps, 1);
    let run = finish(&HISTORY, &rig, &mut Progress::default());
    found.judge(run.map_err(|error| error.to_string()), "without any crash");
    for cut in 0..=whole.operations() {
        if found.is_enough(&plan) {
            break;
        }
        found.places += 1;
        let world = World::new(SEED);
        world.cut_power_after(cut);
        let mut progress = Progress::default();
        // The power is off after an error, so where it stopped does not matter.
        drop(finish(&HISTORY, &Rig::new(&world, wraps, 1), &mut progress));
        let place = format!("cut after {cut}");
        look_at_crashes(&mut found, &world, wraps, &progress, &plan, cut, &place);
        let place = format!("process dead after {cut}");
        let world = world.restart();
        found.states += 1;
        found.judge(check(&HISTORY, &world, &progress), &place);
        resume(&mut found, &world, wraps, &progress, &plan, cut, &place);
    }
    found
}

/// Looks at what a loss of power now may leave, and goes on from some of it.
pub(crate) fn look_at_crashes(
    found: &mut Found,
    world: &World,
    wraps: Wraps,
    progress: &Progress,
    plan: &Plan,
    seed: u64,
    place: &str,
) {
    let states: Vec<World> = world.crash_states(plan.states, seed).collect();
    let mut random = Random::new(seed);
    let mut resumed = vec![0];
    let count = u64::try_from(states.len()).unwrap();
    let more = plan.resumed.saturating_sub(1).min(states.len() - 1);
    resumed.extend((0..more).map(|_| usize::try_from(random.below(count)).unwrap()));
    for (number, state) in states.iter().enumerate() {
        found.states += 1;
        let place = format!("{place}, state {number}");
        found.judge(check(&HISTORY, state, progress), &place);
        if resumed.contains(&number) {
            resume(found, state, wraps, progress, plan, seed, &place);
        }
    }
}

/// Goes on to the end of the history; then again from the same world, cut at a few places.
fn resume(
    found: &mut Found,
    world: &World,
    wraps: Wraps,
    progress: &Progress,
    plan: &Plan,
    seed: u64,
    place: &str,
) {
    let whole = world.restart();
    to_the_end(found, &whole, wraps, 2, progress.clone(), &format!("{place}, resumed"));
    let mut random = Random::new(seed);
    for turn in 0..plan.again {
        // Once the service is first, once the agent.
        let process = 2 + turn % 2;
        let world = world.restart();
        // Every other pair early: what a process finds at its start is where trust is misplaced.
        let end = if turn % 4 < 2 { EARLY } else { whole.operations() + 1 };
        let cut = random.below(end);
        world.cut_power_after(cut);
        let mut progress = progress.clone();
        drop(finish(&HISTORY, &Rig::new(&world, wraps, process), &mut progress));
        for (number, state) in world.crash_states(plan.states_again, cut).enumerate() {
            found.states_again += 1;
            let place = format!("{place}, cut again after {cut}, state {number}");
            found.judge(check(&HISTORY, &state, &progress), &place);
            if number == 0 {
                to_the_end(found, &state, wraps, process + 2, progress.clone(), &place);
            }
        }
    }
}

/// Goes on without any crash: the history must come to its end, with every point.
pub(crate) fn to_the_end(
    found: &mut Found,
    world: &World,
    wraps: Wraps,
    process: u64,
    mut progress: Progress,
    place: &dyn fmt::Display,
) {
    found.resumed += 1;
    let run = finish(&HISTORY, &Rig::new(world, wraps, process), &mut progress);
    if let Err(error) = run {
        found.judge::<()>(Err(format!("does not go on: {error}")), place);
        return;
    }
    let complete = match check(&HISTORY, world, &progress) {
        Ok(points) if points != HISTORY.markers() => {
            Err(format!("{points} of {} points in the end", HISTORY.markers()))
        }
        verdict => verdict,
    };
    found.judge(complete, place);
}
