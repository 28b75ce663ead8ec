//! The power cut after every operation of the whole chain, and once more while it goes on.

use std::{fmt, sync::LazyLock};

use afterimage::Error;
use afterimage_testkit::{Random, World};

use crate::support::{
    Found, HISTORY, Plan, Progress, Rig, Wraps, check, finish, on_one_thread,
    run::{Service, agent, send},
    spread,
};

/// Seed of the worlds: it decides where writes tear.
const SEED: u64 = 1;
/// Operations in which a process opens stores and takes over what it finds.
const EARLY: u64 = 48;

/// How far the sweep goes.
const PLAN: Plan = Plan {
    states: 24,
    resumed: 1,
    again: 1,
    states_again: 3,
    first_loss_only: false,
};

/// The sweep of two crashes without a mutant, done once however many tests ask.
pub(crate) static WITHOUT_MUTANT: LazyLock<Found> =
    LazyLock::new(|| on_one_thread(|| sweep(Wraps::NONE, PLAN.scaled())));

#[test]
fn nothing_reported_is_lost_and_no_point_is_wrong_after_any_two_crashes() {
    let found = &*WITHOUT_MUTANT;
    println!("crash sweep: {found}");
    found.assert_lossless();
    let is_sweep = found.places > 300 && found.states > 3_000 && found.states_again > 3_000;
    assert!(is_sweep, "{found} is no sweep");
}

/// A segment of an agent that died between its link and the sync of the directory can be seen and
/// can still be lost. The service may make a point of it only once it is durable: or the agent, back
/// after a power cut, would write another segment of that number, which contradicts the point.
#[test]
fn no_point_covers_a_segment_that_a_dead_agent_may_take_along() {
    let mut found = Found::default();
    on_one_thread(|| {
        let whole = World::new(SEED);
        agent_alone(&whole, &mut Progress::default()).unwrap();
        for death in 0..=whole.operations() {
            let world = World::new(SEED);
            world.cut_power_after(death);
            let mut progress = Progress::default();
            drop(agent_alone(&world, &mut progress));
            cut_services(&mut found, &world.restart(), &progress, death);
        }
    });
    println!("dead agents: {found}");
    found.assert_lossless();
}

/// Fills the cache, with nobody there to empty it.
fn agent_alone(world: &World, progress: &mut Progress) -> Result<(), Error> {
    let rig = Rig::new(world, Wraps::NONE, 1);
    let mut agent = agent(&HISTORY, &rig, &rig.stores()?.cache)?;
    for &end in &HISTORY.segments {
        send(&HISTORY, &mut agent, end)?;
        progress.sealed = agent.last().0;
    }
    Ok(())
}

/// Cuts a service at some places, which works on what a dead agent left.
fn cut_services(found: &mut Found, left: &World, progress: &Progress, death: u64) {
    let alone = |world: &World, progress: &mut Progress| {
        let rig = Rig::new(world, Wraps::NONE, 2);
        Service::open(&rig, &rig.stores()?)?.catch_up(progress)
    };
    let whole = left.restart();
    alone(&whole, &mut progress.clone()).unwrap();
    let operations = whole.operations();
    for cut in (0..operations).step_by(7).chain([operations]) {
        found.places += 1;
        let world = left.restart();
        world.cut_power_after(cut);
        let mut progress = progress.clone();
        drop(alone(&world, &mut progress));
        let place = format!("agent dead after {death}, service cut after {cut}");
        // The first state is the one in which nothing pending survived.
        for state in world.crash_states(1, cut) {
            found.states += 1;
            found.judge(check(&HISTORY, &state, &progress), &place);
            to_the_end(found, &state, Wraps::NONE, 3, progress.clone(), &place);
        }
    }
}

/// The sweep of two crashes with a mutant, up to the first loss.
pub(crate) fn sweep_mutant(wraps: Wraps) -> Found {
    let plan = Plan {
        first_loss_only: true,
        ..PLAN
    };
    on_one_thread(|| sweep(wraps, plan))
}

/// Cuts the power after each operation of the history in turn, and looks at what that may leave:
///
/// 1. the crash states, each checked, some resumed to the end and cut again on their way;
/// 2. the world of a process that died while the power stayed on, resumed and cut the same way.
fn sweep(wraps: Wraps, plan: Plan) -> Found {
    let mut found = Found::default();
    let whole = World::new(SEED);
    let rig = Rig::new(&whole, wraps, 1);
    let run = finish(&HISTORY, &rig, &mut Progress::default());
    found.judge(run.map_err(|error| error.to_string()), "without any crash");
    for cut in spread(whole.operations() + 1) {
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
        // What a dead process left visible is where trust is most easily misplaced.
        let plan = Plan {
            again: 4 * plan.again,
            ..plan
        };
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
    let count = u64::try_from(states.len()).unwrap();
    let mut pick = |turn| match turn {
        0 => 0,
        _ => usize::try_from(random.below(count)).unwrap(),
    };
    let resumed: Vec<usize> = (0..plan.resumed).map(&mut pick).collect();
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
    to_the_end(
        found,
        &whole,
        wraps,
        2,
        progress.clone(),
        &format!("{place}, resumed"),
    );
    let mut random = Random::new(seed);
    for turn in seed..seed + plan.again {
        // Once the service is first, once the agent.
        let process = 2 + turn % 2;
        let world = world.restart();
        // Every other pair early: what a process finds at its start is where trust is misplaced.
        let end = if turn % 4 < 2 {
            EARLY
        } else {
            whole.operations() + 1
        };
        let cut = random.below(end);
        world.cut_power_after(cut);
        let mut progress = progress.clone();
        drop(finish(
            &HISTORY,
            &Rig::new(&world, wraps, process),
            &mut progress,
        ));
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
        Ok(points) if points != HISTORY.markers() => Err(format!(
            "{points} of {} points in the end",
            HISTORY.markers()
        )),
        verdict => verdict,
    };
    found.judge(complete, place);
}
