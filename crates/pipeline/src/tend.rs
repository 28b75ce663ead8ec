//! Tending to a target without a pipeline: pruning, compaction and collection where no worker runs.

use std::sync::Arc;

use afterimage_changelog::{Epoch, Name, Timestamp};
use afterimage_recovery::{
    Committer, Point, has_ended,
    holds::list_holds,
    load_head, mark_ended, plan_prune,
    retention::{Decision, Keep},
};
use afterimage_storage::{Nonces, Store};

use crate::{
    clock::{Clock, system_clock},
    error::Error,
    in_use::InUse,
    maintain::{Maintenance, Tended, Tools, Upkeep, hold_of_window, kept_by},
    points::Points,
    stop::Stop,
};

/// A worker commits at least when it starts and with every point; one that was heard of so short a
/// time ago is probably at work still, unless it said that it has ended.
const QUIET_MICROS: u64 = 10 * 60 * 1_000_000;

/// What compaction may hold where nothing else is done.
const COMPACTION_BYTES: u64 = 64 << 20;

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
    let mut holds: Vec<_> = holds.into_iter().map(|(_, hold)| hold).collect();
    holds.extend(hold_of_window(target.as_ref(), manifest, None)?);
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
        let epoch = head.manifest.epoch;
        if !take_over
            && is_recent(head.manifest.created, now)
            && !has_ended(target.as_ref(), group, epoch)?
        {
            return Err(Error::invalid(format!(
                "a worker committed to group {group} less than ten minutes ago and may be at work: \
                 it prunes by itself when it is given --keep; if none is at work, say so \
                 (--take-over)"
            )));
        }
        let mut committer =
            Committer::acquire(Arc::clone(target), Arc::clone(nonces), group.clone(), now)?;
        let head = Arc::new(committer.head().clone());
        let tools = Tools {
            group: group.clone(),
            target: Arc::clone(target),
            nonces: Arc::clone(nonces),
            clock: Arc::clone(clock),
            upkeep: upkeep.clone(),
            memory: COMPACTION_BYTES,
            in_use: InUse::default(),
        };
        let mut maintenance = Maintenance::open(&tools, &head)?;
        let mut commit = |change| Ok(Arc::new(committer.commit(change, clock())?.clone()));
        let tended = maintenance.tend_all(stop, &mut commit);
        say_ended(target, group, committer.epoch());
        tended
    }
}

/// Says that the worker of an epoch does nothing more, so that nobody waits for it.
pub(crate) fn say_ended(target: &Arc<dyn Store>, group: &Name, epoch: Epoch) {
    if let Err(error) = mark_ended(target.as_ref(), group, epoch) {
        tracing::warn!(%group, %error, "it is not known to others that this worker has ended");
    }
}

fn is_recent(heard: Timestamp, now: Timestamp) -> bool {
    now.0.saturating_sub(heard.0) < QUIET_MICROS
}
