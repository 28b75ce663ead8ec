//! Tending to a target without a pipeline: pruning, compaction and collection where no worker runs.

use std::{ops::ControlFlow, sync::Arc};

use afterimage_changelog::{Name, Timestamp};
use afterimage_recovery::{
    Committer, Point,
    holds::list_holds,
    load_head, plan_prune,
    retention::{Decision, Keep},
};
use afterimage_storage::{Nonces, Store};

use crate::{
    clock::{Clock, system_clock},
    error::Error,
    maintain::{Maintenance, Tended, Upkeep, kept_by},
    points::Points,
    stop::Stop,
};

/// A worker commits at least when it starts and with every point; one that was heard of so short a
/// time ago is probably at work still.
const QUIET_MICROS: u64 = 10 * 60 * 1_000_000;

/// What becomes of each point of a group, by a policy or by the one that the group has; nothing is
/// changed.
///
/// # Errors
///
/// The store failed, there is no such group, or it has no policy and none is given.
pub fn decisions(
    target: &Arc<dyn Store>,
    group: &Name,
    keep: Option<&Keep>,
) -> Result<Vec<(Arc<Point>, Decision)>, Error> {
    let points = Points::load(target, group)?;
    let manifest = points.manifest();
    let known = match keep {
        Some(keep) => Some(keep.clone()),
        None => kept_by(manifest)?,
    };
    let keep = known.ok_or_else(|| {
        Error::invalid(format!(
            "group {group} has no policy yet: say which points stay (--keep)"
        ))
    })?;
    let holds = list_holds(target.as_ref(), group)?;
    let holds: Vec<_> = holds.into_iter().map(|(_, hold)| hold).collect();
    let decided = plan_prune(manifest, &keep, &holds, system_clock()());
    Ok(manifest
        .points
        .iter()
        .map(Arc::clone)
        .zip(decided)
        .collect())
}

/// Upkeep to be done where no worker runs.
#[derive(Clone)]
pub struct Tend {
    /// The target.
    pub target: Arc<dyn Store>,
    /// The group.
    pub group: Name,
    /// What is kept.
    pub upkeep: Upkeep,
    /// Whether it is done although a worker was heard of lately.
    pub take_over: bool,
    /// Says what time it is.
    pub clock: Clock,
    /// Source of ids.
    pub nonces: Arc<Nonces>,
}

impl std::fmt::Debug for Tend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tend({}, {:?})", self.group, self.upkeep)
    }
}

impl Tend {
    /// Upkeep of a group at a target.
    #[must_use]
    pub fn new(target: Arc<dyn Store>, group: Name, upkeep: Upkeep) -> Tend {
        Tend {
            target,
            group,
            upkeep,
            take_over: false,
            clock: system_clock(),
            nonces: Arc::new(Nonces::from_os()),
        }
    }

    /// Takes the group over and does all the upkeep there is to do. The worker that had it, if any,
    /// is fenced: so without `take_over` this is refused where one was heard of lately.
    ///
    /// # Errors
    ///
    /// The store failed, there is no such group, or a worker is likely to be at work.
    pub fn run(&self, stop: &Stop) -> Result<Tended, Error> {
        let Tend {
            target,
            group,
            upkeep,
            take_over,
            clock,
            nonces,
        } = self;
        let head = load_head(target.as_ref(), group)?;
        let head = head
            .ok_or_else(|| Error::invalid(format!("there is no group {group} at this target")))?;
        let now = clock();
        if !take_over && is_recent(head.manifest.created, now) {
            return Err(Error::invalid(format!(
                "a worker committed to group {group} less than ten minutes ago and may be at work: \
                 it prunes by itself when it is given --keep; if none is at work, say so \
                 (--take-over)"
            )));
        }
        let mut committer =
            Committer::acquire(Arc::clone(target), Arc::clone(nonces), group.clone(), now)?;
        let head = committer.head().clone();
        let mut maintenance = Maintenance::open(
            Arc::clone(target),
            Arc::clone(nonces),
            Arc::clone(clock),
            upkeep.clone(),
            &head,
        )?;
        let mut commit = |change| Ok(committer.commit(change, clock())?.clone());
        let mut pace = |_bytes| match stop.is_stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        maintenance.tend(&head, true, &mut commit, &mut pace)
    }
}

fn is_recent(heard: Timestamp, now: Timestamp) -> bool {
    now.0.saturating_sub(heard.0) < QUIET_MICROS
}
