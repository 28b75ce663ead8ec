//! The power cut after every operation of a worker that also prunes, compacts and collects.

use std::{collections::BTreeSet, sync::LazyLock};

use afterimage::{
    Error,
    recovery::{chain, load_head},
};
use afterimage_testkit::World;

use super::{HISTORY, check_point, group, is_mark, markers, needed, stored, tend_noting};
use crate::support::{
    Found, Plan, Progress, Rig, Wraps, on_one_thread,
    run::{Service, agent, send},
    spread,
};

const SEED: u64 = 5;
const PLAN: Plan = Plan {
    states: 12,
    resumed: 1,
    again: 0,
    states_again: 0,
    first_loss_only: false,
};

/// What was reported, and what the policy may have let go.
#[derive(Clone, Debug, Default)]
struct Told {
    progress: Progress,
    may_go: BTreeSet<u64>,
}

/// Segment by segment: agent, service, upkeep.
fn finish(world: &World, wraps: Wraps, process: u64, told: &mut Told) -> Result<(), Error> {
    let rig = Rig::new(world, wraps, process);
    let stores = rig.stores()?;
    let mut agent = agent(&HISTORY, &rig, &stores.cache)?;
    told.progress.sealed = told.progress.sealed.max(agent.last().0);
    for (turn, &end) in (0..).zip(&HISTORY.segments) {
        send(&HISTORY, &mut agent, end)?;
        told.progress.sealed = told.progress.sealed.max(agent.last().0);
        // Each worker takes the group over from the one before, with ids of its own.
        let worker = Rig::new(world, wraps, process + 1000 * (2 * turn + 1));
        Service::open(&worker, &stores)?.catch_up(&mut told.progress)?;
        let keeper = Rig::new(world, wraps, process + 1000 * (2 * turn + 2));
        tend_noting(&stores.target, keeper.nonces(), &mut told.may_go)?;
    }
    Ok(())
}

/// Every promise about the points; gives how many there are.
fn check(world: &World, told: &Told) -> Result<usize, String> {
    let rig = Rig::new(&world.restart(), Wraps::NONE, 0);
    let target = rig.stores().map_err(|error| error.to_string())?.target;
    let chain = chain::check_chain(target.as_ref(), &group());
    chain.map_err(|error| error.to_string())?;
    let head = load_head(target.as_ref(), &group()).map_err(|error| error.to_string())?;
    let Some(head) = head else {
        return match told.progress.points {
            0 => Ok(0),
            points => Err(format!("all {points} reported points are gone")),
        };
    };
    let manifest = &head.manifest;
    let there: BTreeSet<u64> = manifest.points.iter().map(|point| point.id).collect();
    let reported = u64::try_from(told.progress.points).unwrap();
    for id in 1..=reported {
        if !there.contains(&id) && (!told.may_go.contains(&id) || id == reported) {
            return Err(format!("point {id} of {reported} is gone, and had to stay"));
        }
    }
    let known = markers();
    for point in &manifest.points {
        if known
            .get(&point.cut.0)
            .map(|&number| u64::try_from(number).unwrap())
            != Some(point.id)
        {
            return Err(format!("point {} is not its marker", point.id));
        }
        check_point(&target, manifest, point.id)?;
    }
    Ok(there.len())
}

/// The sweep without a mutant, done once however many tests ask.
pub(crate) static WITHOUT_MUTANT: LazyLock<Found> =
    LazyLock::new(|| on_one_thread(|| sweep(Wraps::NONE, PLAN.scaled())));

/// The same with a mutant, up to the first loss.
pub(crate) fn sweep_mutant(wraps: Wraps) -> Found {
    let plan = Plan {
        first_loss_only: true,
        ..PLAN
    };
    on_one_thread(|| sweep(wraps, plan))
}

#[test]
fn no_point_that_stays_is_lost_to_upkeep_by_any_crash() {
    let found = &*WITHOUT_MUTANT;
    println!("upkeep crash sweep: {found}");
    found.assert_lossless();
    assert!(
        found.places > 300 && found.states > 1_500,
        "{found} is no sweep"
    );
}

fn sweep(wraps: Wraps, plan: Plan) -> Found {
    let mut found = Found::default();
    let whole = World::new(SEED);
    let mut told = Told::default();
    let run = finish(&whole, wraps, 1, &mut told);
    found.judge(run.map_err(|error| error.to_string()), "without any crash");
    found.judge(check(&whole, &told), "without any crash");
    assert!(told.may_go.len() > 4, "most points go: {told:?}");
    for cut in spread(whole.operations() + 1) {
        if found.is_enough(&plan) {
            break;
        }
        found.places += 1;
        let world = World::new(SEED);
        world.cut_power_after(cut);
        let mut told = Told::default();
        drop(finish(&world, wraps, 1, &mut told));
        let place = format!("cut after {cut}");
        for (number, state) in world.crash_states(plan.states, cut).enumerate() {
            found.states += 1;
            let place = format!("{place}, state {number}");
            found.judge(check(&state, &told), &place);
            if number < plan.resumed && cut % 3 == 0 {
                to_the_end(&mut found, &state, wraps, &told, &place);
            }
        }
    }
    found
}

/// Goes on without a crash: the history comes to its end, every promise holds, and nothing is left
/// that nobody needs.
fn to_the_end(found: &mut Found, state: &World, wraps: Wraps, told: &Told, place: &str) {
    found.resumed += 1;
    let mut told = told.clone();
    let world = state.restart();
    let run = finish(&world, wraps, 2, &mut told);
    found.judge(
        run.map_err(|error| format!("does not go on: {error}")),
        place,
    );
    found.judge(check(&world, &told), place);
    let target = Rig::new(&world, Wraps::NONE, 0).stores().unwrap().target;
    let needed = needed(&target);
    let left: Vec<_> = stored(&target)
        .into_iter()
        .filter(|key| !needed.contains(key) && !is_mark(key))
        .collect();
    let verdict = match left.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("{} objects are left, as {first}", left.len())),
    };
    found.judge(verdict, place);
}
