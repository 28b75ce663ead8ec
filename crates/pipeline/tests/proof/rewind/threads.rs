//! The window as a pipeline with threads keeps it: points are committed and segments kept, trimmed and
//! deleted while others come. A run does not repeat exactly, but what was promised holds for every
//! order of events.

use std::sync::LazyLock;

use afterimage::{Error, Event, cache::StreamWriter};

use super::{
    HISTORY,
    sweeps::{PLAN, crashes},
    upkeep,
};
use crate::{
    support::{
        Found, Plan, Progress, Rig, Wraps,
        run::{agent, send},
    },
    threads::{builder, note},
};

/// Places of a run that are cut; the order of events is another one each time.
const PLACES: usize = 250;
/// Segments that are in the cache when a run begins, if there are so many.
const BEFORE: usize = 3;

/// The sweep without a mutant, done once however many tests ask.
pub(crate) static WITHOUT_MUTANT: LazyLock<Found> =
    LazyLock::new(|| crashes(finish, Wraps::NONE, PLAN.scaled(), PLACES));

/// The same with a mutant, up to the first loss.
pub(crate) fn sweep_mutant(wraps: Wraps) -> Found {
    let plan = Plan {
        first_loss_only: true,
        ..PLAN
    };
    crashes(finish, wraps, plan, PLACES)
}

#[test]
fn every_write_of_the_window_can_be_gone_back_to_after_any_crash_of_a_pipeline() {
    let found = &*WITHOUT_MUTANT;
    println!("rewind threads: {found}");
    found.assert_lossless();
    let is_sweep = found.places > 200 && found.states > 500;
    assert!(is_sweep, "{found} is no sweep");
}

/// The segments that the cache lacks, one after the other.
struct Source {
    agent: StreamWriter,
    ends: std::slice::Iter<'static, usize>,
    /// Records that are known to be in the cache.
    sealed: u64,
    failed: Option<Error>,
}

impl Source {
    fn send_next(&mut self) {
        if self.failed.is_some() {
            return;
        }
        if let Some(&end) = self.ends.next() {
            match send(&HISTORY, &mut self.agent, end) {
                Ok(()) => self.sealed = self.agent.last().0,
                Err(error) => self.failed = Some(error),
            }
        }
    }
}

/// Runs until all of the history is in the cache and in points. With every point that is told another
/// segment comes.
fn finish(rig: &Rig, progress: &mut Progress) -> Result<(), Error> {
    let stores = rig.stores()?;
    let agent = agent(&HISTORY, rig, &stores.cache)?;
    let mut source = Source {
        sealed: agent.last().0,
        agent,
        ends: HISTORY.segments.iter(),
        failed: None,
    };
    for turn in 1.. {
        (0..BEFORE).for_each(|_| source.send_next());
        let is_last = source.ends.len() == 0;
        let worker = Rig::new(&rig.world, rig.wraps, rig.process + 1000 * turn);
        let pipeline = builder(&worker, &stores).upkeep(upkeep()).build().unwrap();
        let told = &mut Progress::default();
        let ran = pipeline.run_once(&mut |event| {
            note(&event, told);
            if matches!(event, Event::Point { .. }) {
                source.send_next();
            }
        });
        progress.sealed = progress.sealed.max(source.sealed);
        progress.points = progress.points.max(told.points);
        ran?;
        if let Some(error) = source.failed.take() {
            return Err(error);
        }
        if is_last {
            break;
        }
    }
    Ok(())
}
