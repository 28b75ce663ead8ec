//! Rewriting lists of layers: what takes long. It commits nothing, so it can go on beside whoever
//! prunes and commits, and be stopped at any time.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use afterimage_changelog::{Epoch, Name, ObjectId};
use afterimage_recovery::{
    LayerRef, Replacement,
    compact::{CompactionSettings, Limits, Pace, Reason, Rewrite, Shape, plan, rewrite, survey},
};
use afterimage_storage::{Nonces, Store};

use super::{Tools, lists::List};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
};

/// Level of zstd for frames that compaction packs anew.
const COMPACTED_LEVEL: i32 = 1;

/// What lists are rewritten with.
#[derive(Clone)]
pub(super) struct Compactor {
    target: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    clock: Clock,
    group: Name,
    settings: CompactionSettings,
    /// Bytes of memory to hold at most.
    memory: u64,
    settled: Settled,
}

/// Layers that a rewrite for waste has made. A survey only estimates what a rewrite gives back; where it
/// is wrong, the same bytes would be rewritten again and again.
#[derive(Clone, Debug, Default)]
struct Settled(Arc<Mutex<BTreeSet<(bool, ObjectId)>>>);

/// Layers that are remembered at most; with more, all are forgotten, and may be rewritten once more.
const SETTLED_MAX: usize = 16 << 10;

impl Settled {
    fn are_all(&self, layers: &[LayerRef], shape: Shape) -> bool {
        let settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_base = shape == Shape::Base;
        layers
            .iter()
            .all(|layer| settled.contains(&(is_base, layer.id)))
    }

    fn add(&self, layers: &[LayerRef], shape: Shape) {
        let mut settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.len() + layers.len() > SETTLED_MAX {
            settled.clear();
        }
        let is_base = shape == Shape::Base;
        settled.extend(layers.iter().map(|layer| (is_base, layer.id)));
    }
}

/// Lists to be looked at.
#[derive(Debug)]
pub(super) struct Job {
    /// Of the worker.
    pub(super) epoch: Epoch,
    pub(super) lists: Vec<List>,
}

/// What came of a job. What was rewritten before it was stopped or failed counts.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// To be committed, all of it durable.
    pub(super) replaced: Vec<Replacement>,
    /// Points whose lists these are.
    pub(super) rewritten: Vec<u64>,
    /// Stored bytes that were read for it.
    pub(super) read_bytes: u64,
    /// Points whose lists are still to be looked at.
    pub(super) left: Vec<u64>,
    /// Why it ended early.
    pub(super) error: Option<Error>,
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compactor({})", self.group)
    }
}

impl Compactor {
    /// `None` where nothing is to be compacted.
    pub(super) fn of(tools: &Tools) -> Option<Compactor> {
        let Tools {
            group,
            target,
            nonces,
            clock,
            upkeep,
            memory,
            ..
        } = tools;
        Some(Compactor {
            target: Arc::clone(target),
            nonces: Arc::clone(nonces),
            clock: Arc::clone(clock),
            group: group.clone(),
            settings: upkeep.compact?,
            memory: *memory,
            settled: Settled::default(),
        })
    }

    /// Surveys lists and rewrites those that want it, until `pace` says stop or one fails. A list of
    /// which something is damaged is not tried again by this worker: the others are.
    pub(super) fn run(&self, job: Job, pace: &mut Pace<'_>) -> Done {
        let mut done = Done::default();
        let epoch = job.epoch;
        let mut lists = job.lists.into_iter();
        while let Some(list) = lists.next() {
            match self.look_at(&list, epoch, &mut done, pace) {
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => done.left.push(list.point),
                Err(error) => {
                    if error.kind() != ErrorKind::Corrupt {
                        done.left.push(list.point);
                    }
                    done.error = Some(error);
                }
            }
            done.left.extend(lists.map(|list| list.point));
            break;
        }
        done
    }

    /// Breaks where it was stopped.
    fn look_at(
        &self,
        list: &List,
        epoch: Epoch,
        done: &mut Done,
        pace: &mut Pace<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let Compactor {
            target,
            nonces,
            clock,
            group,
            settings,
            memory,
            settled,
        } = self;
        let List { layers, shape, .. } = list;
        let limits = Limits::within(*shape, *memory);
        let Some(surveyed) = survey(target, group, layers, *shape, &limits, pace)? else {
            return Ok(ControlFlow::Break(()));
        };
        let Some(plan) = plan(&surveyed, settings) else {
            return Ok(ControlFlow::Continue(()));
        };
        let job = Rewrite {
            store: target,
            nonces,
            group,
            epoch,
            created: clock(),
            level: COMPACTED_LEVEL,
            shape: plan.shape,
            limits: Limits::within(plan.shape, *memory),
        };
        let old = layers.get(plan.layers).unwrap_or_default();
        if plan.reason == Reason::Waste && settled.are_all(old, plan.shape) {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(rewritten) = rewrite(&job, old, pace)? else {
            return Ok(ControlFlow::Break(()));
        };
        if plan.reason == Reason::Waste {
            settled.add(&rewritten.written.layers, plan.shape);
        }
        done.read_bytes += rewritten.written.fetched_bytes;
        done.rewritten.push(list.point);
        done.replaced.push(Replacement {
            layers: old.iter().map(|layer| layer.id).collect(),
            with: rewritten.written.layers,
        });
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use afterimage_recovery::{compact::Shape, load_head, name::layer_key};

    use super::*;
    use crate::{in_use::InUse, maintain::Upkeep, stages::tests::committed};

    #[test]
    fn a_damaged_list_is_not_tried_again_and_those_behind_it_are() {
        let parts = committed(3);
        let head = load_head(parts.target.as_ref(), &parts.group).unwrap();
        let manifest = head.unwrap().manifest;
        let list = |point: usize| List {
            point: manifest.points[point].id,
            layers: manifest.points[point].layers.clone(),
            shape: Shape::Merge,
        };
        let job = |lists: Vec<List>| Job {
            epoch: manifest.epoch,
            lists,
        };
        let compactor = Compactor::of(&Tools {
            group: parts.group.clone(),
            target: Arc::clone(&parts.target),
            nonces: Arc::clone(&parts.nonces),
            clock: Arc::clone(&parts.clock),
            upkeep: Upkeep::default(),
            memory: 64 << 20,
            in_use: InUse::default(),
        });
        let compactor = compactor.unwrap();
        let mut on = |_bytes| ControlFlow::Continue(());
        let layer = manifest.points[1].layers[0];
        let key = layer_key(&parts.group, layer.epoch, layer.id);
        parts.target.delete(&key).unwrap();
        let done = compactor.run(job(vec![list(0), list(1), list(2)]), &mut on);
        assert_eq!(done.error.unwrap().kind(), ErrorKind::Corrupt);
        assert_eq!(done.left, [manifest.points[2].id]);
        let done = compactor.run(job(vec![list(2)]), &mut on);
        assert!(done.error.is_none() && done.left.is_empty());
        // Stopped: all of them are left.
        let mut off = |_bytes| ControlFlow::Break(());
        let done = compactor.run(job(vec![list(0), list(2)]), &mut off);
        assert_eq!(done.left, [manifest.points[0].id, manifest.points[2].id]);
    }

    /// A survey that promises more than a rewrite gives must not make it rewrite for ever.
    #[test]
    fn what_was_rewritten_for_waste_is_not_rewritten_for_it_again() {
        let parts = committed(1);
        let head = load_head(parts.target.as_ref(), &parts.group).unwrap();
        let manifest = head.unwrap().manifest;
        // A layer that hides itself.
        let layer = manifest.points[0].layers[0];
        let list = List {
            point: manifest.points[0].id,
            layers: vec![layer, layer],
            shape: Shape::Merge,
        };
        let job = || Job {
            epoch: manifest.epoch,
            lists: vec![list.clone()],
        };
        let compactor = Compactor {
            target: Arc::clone(&parts.target),
            nonces: Arc::clone(&parts.nonces),
            clock: Arc::clone(&parts.clock),
            group: parts.group.clone(),
            settings: CompactionSettings {
                dead_percent_max: 0,
                own_dead_percent_max: 0,
                gain_bytes_min: 0,
                ..CompactionSettings::default()
            },
            memory: 64 << 20,
            settled: Settled::default(),
        };
        let mut on = |_bytes| ControlFlow::Continue(());
        let planned = compactor.run(job(), &mut on);
        assert_eq!(planned.rewritten, [list.point], "there is waste");
        let made = |shape| compactor.settled.add(&list.layers, shape);
        made(Shape::Base);
        assert_eq!(compactor.run(job(), &mut on).rewritten, [list.point]);
        made(Shape::Merge);
        assert!(compactor.run(job(), &mut on).rewritten.is_empty());
    }
}
