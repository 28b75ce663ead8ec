//! Keeping a target in shape: pruning, trimming the any-write window, merged indexes, compaction,
//! and giving space back. One step at a time, each of them a change to be committed; no threads.

#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::{BTreeSet, HashSet},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use afterimage_changelog::{Epoch, Name, ObjectId, Timestamp};
use afterimage_recovery::{
    Change, Collected, Collector, Head, IndexJob, IndexLimits, LayerRef, Manifest, RecoveryError,
    RecoveryErrorKind, Replacement,
    compact::{CompactionSettings, Limits, Rewrite, Shape, plan, rewrite, survey},
    holds::list_holds,
    mark_pruning,
    name::{index_key, layer_key},
    plan_indexes, plan_prune,
    retention::{Decision, Keep},
    unmark_pruning_before, write_index,
};
use afterimage_storage::{Effect, Key, Nonces, Store, StoreErrorKind};

use crate::{clock::Clock, error::Error};

/// Least time between two prunings while points are made.
const PRUNE_EVERY: Duration = Duration::from_secs(10);
/// Level of zstd for frames that compaction packs anew.
const COMPACTED_LEVEL: i32 = 1;
/// Manifests that may wait to be collected while nothing else does.
const MANIFESTS_WAITING_MAX: usize = 64;

/// What is kept, and what is done in the background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Which points stay; where none is given, what the group was told before, or all.
    pub keep: Option<Keep>,
    /// How far back single writes can be gone to, from the newest point on.
    pub rewind: Option<Duration>,
    /// When layers are compacted; never where nothing is given.
    pub compact: Option<CompactionSettings>,
    /// How layers are merged into indexes.
    pub index: IndexLimits,
}

/// Changes that keep a target in shape, one after the other.
pub(crate) struct Maintenance {
    target: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    clock: Clock,
    group: Name,
    upkeep: Upkeep,
    collector: Collector,
    /// Lists of layers that need no compaction, and whether each is the oldest point's.
    settled: HashSet<(bool, Vec<ObjectId>)>,
    /// The newest head that was looked at.
    seen: Head,
    /// When points were last pruned, and up to which one.
    pruned: Option<(Timestamp, u64)>,
    /// Marks that points are being pruned.
    marks: Vec<Key>,
}

impl std::fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Maintenance({})", self.group)
    }
}

/// Told how many bytes are about to be moved; says whether to go on, and may wait before it does.
pub(crate) type Pace<'a> = dyn FnMut(u64) -> ControlFlow<()> + Send + 'a;

fn ids_of(layers: &[LayerRef]) -> Vec<ObjectId> {
    layers.iter().map(|layer| layer.id).collect()
}

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Points that were pruned.
    pub pruned: u64,
    /// Layers that took the place of others.
    pub compacted: u64,
    /// Merged indexes made.
    pub indexed: u64,
    /// What was deleted.
    pub collected: Collected,
}

impl Maintenance {
    /// Looks for what earlier workers left.
    pub(crate) fn open(
        target: Arc<dyn Store>,
        nonces: Arc<Nonces>,
        clock: Clock,
        upkeep: Upkeep,
        head: &Head,
    ) -> Result<Maintenance, Error> {
        let group = head.manifest.group.clone();
        unmark_pruning_before(target.as_ref(), &group, head.manifest.epoch)?;
        let collector = Collector::open(Arc::clone(&target), group.clone(), head)?;
        Ok(Maintenance {
            target,
            nonces,
            clock,
            group,
            upkeep,
            collector,
            settled: HashSet::new(),
            seen: head.clone(),
            pruned: None,
            marks: Vec::new(),
        })
    }

    /// Does all there is to do, committing through `commit`; with `due` also what could wait for
    /// more points.
    ///
    /// What this committed itself may be newer than the head that it is told of, which is not looked
    /// at then: what that one does not name yet would be taken for what nobody names any more.
    pub(crate) fn tend(
        &mut self,
        told: &Head,
        due: bool,
        commit: &mut (dyn FnMut(Change) -> Result<Head, Error> + Send),
        pace: &mut Pace<'_>,
    ) -> Result<Tended, Error> {
        let mut tended = Tended::default();
        self.see(told);
        while let Some(change) = self.next(due, pace)? {
            tended.pruned += size_of_set(&change.drop);
            let replaced = change.replace.iter();
            tended.compacted += replaced
                .map(|replaced| afterimage_changelog::count(replaced.layers.len()))
                .sum::<u64>();
            tended.indexed += afterimage_changelog::count(change.indexes.len());
            let (new_layers, new_indexes) = new_objects(&change);
            let committed = commit(change);
            match &committed {
                // What was decided before is in this manifest or will be in none.
                Ok(_) => self.unmark()?,
                Err(error) if is_stale(error) => {
                    // Nobody names them now, and nobody ever will.
                    self.delete(&new_layers, layer_key);
                    self.delete(&new_indexes, index_key);
                    self.unmark()?;
                }
                // Where the manifest may be on its way, a pin would come too late.
                Err(error) if !is_refused(error) => {}
                Err(_) => self.unmark()?,
            }
            self.see(&committed?);
        }
        let manifests = self.collector.manifests_waiting();
        let is_due = self.collector.waiting() > 0
            || manifests > MANIFESTS_WAITING_MAX
            || due && manifests > 0;
        if is_due {
            tended.collected = self.collector.collect(&self.seen, (self.clock)())?;
        }
        Ok(tended)
    }

    /// Takes back our own marks.
    fn unmark(&mut self) -> Result<(), Error> {
        while let Some(mark) = self.marks.last() {
            self.target.delete(mark)?;
            self.marks.pop();
        }
        Ok(())
    }

    fn delete(&self, objects: &[LayerRef], key: fn(&Name, Epoch, ObjectId) -> Key) {
        for object in objects {
            let key = key(&self.group, object.epoch, object.id);
            if let Err(error) = self.target.delete(&key) {
                tracing::warn!(%key, %error, "an object that no manifest names was left");
            }
        }
    }

    /// Notes what was committed since the last look, by whomever.
    fn see(&mut self, head: &Head) {
        if head.manifest.number > self.seen.manifest.number {
            self.collector.note(&self.seen.manifest, &head.manifest);
            self.seen.clone_from(head);
        }
    }

    /// The next change; everything that it names is durable.
    fn next(&mut self, due: bool, pace: &mut Pace<'_>) -> Result<Option<Change>, Error> {
        let manifest = &self.seen.manifest.clone();
        if let Some(keep) = &self.upkeep.keep
            && keep.to_string() != manifest.keep
        {
            return Ok(Some(Change {
                keep: Some(keep.to_string()),
                ..Change::default()
            }));
        }
        if let Some(change) = self.prune(manifest, due)? {
            return Ok(Some(change));
        }
        if let Some(change) = self.trim(manifest)? {
            return Ok(Some(change));
        }
        if let Some(change) = self.compact(manifest, pace)? {
            return Ok(Some(change));
        }
        self.index(manifest)
    }

    /// Layers of one point that become fewer, or give dead bytes back. Every list is looked at once;
    /// the oldest point's becomes a base.
    fn compact(
        &mut self,
        manifest: &Manifest,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Change>, Error> {
        let Some(settings) = self.upkeep.compact else {
            return Ok(None);
        };
        let oldest = manifest.points.first().map(|point| point.id);
        for point in &manifest.points {
            let shape = match Some(point.id) == oldest {
                true => Shape::Base,
                false => Shape::Merge,
            };
            let list = (shape == Shape::Base, ids_of(&point.layers));
            if point.layers.is_empty() || self.settled.contains(&list) {
                continue;
            }
            let limits = Limits::of(shape);
            let surveyed = survey(
                &self.target,
                &self.group,
                &point.layers,
                shape,
                &limits,
                pace,
            )?;
            let Some(surveyed) = surveyed else {
                return Ok(None);
            };
            let Some(plan) = plan(&surveyed, &settings) else {
                self.settled.insert(list);
                continue;
            };
            let job = Rewrite {
                store: &self.target,
                nonces: &self.nonces,
                group: &self.group,
                epoch: manifest.epoch,
                created: (self.clock)(),
                level: COMPACTED_LEVEL,
                shape: plan.shape,
                limits: Limits::of(plan.shape),
            };
            let old = point.layers.get(plan.layers).unwrap_or_default();
            let Some(rewritten) = rewrite(&job, old, pace)? else {
                return Ok(None);
            };
            let replacement = Replacement {
                layers: old.iter().map(|layer| layer.id).collect(),
                with: rewritten.written.layers,
            };
            return Ok(Some(Change {
                replace: vec![replacement],
                ..Change::default()
            }));
        }
        Ok(None)
    }

    /// A merged index over layers that have none, so that points are opened by opening few objects.
    fn index(&self, manifest: &Manifest) -> Result<Option<Change>, Error> {
        let limits = self.upkeep.index;
        let Some((first, layers)) = plan_indexes(manifest, &limits) else {
            return Ok(None);
        };
        let job = IndexJob {
            store: &self.target,
            nonces: &self.nonces,
            created: (self.clock)(),
            limits,
        };
        let index = write_index(&job, manifest, first, layers)?;
        Ok(Some(Change {
            indexes: vec![index],
            ..Change::default()
        }))
    }

    /// Points that are to go: marks that it is being decided, lists the holds, decides. The mark is
    /// taken back once it is known that the change was committed or never will be.
    fn prune(&mut self, manifest: &Manifest, due: bool) -> Result<Option<Change>, Error> {
        let Some(keep) = kept_by(manifest)? else {
            return Ok(None);
        };
        let Some(newest) = manifest.points.last().map(|point| point.id) else {
            return Ok(None);
        };
        let now = (self.clock)();
        let waits = self.pruned.is_some_and(|(at, up_to)| {
            let since = Duration::from_micros(now.0.saturating_sub(at.0));
            up_to == newest || !due && since < PRUNE_EVERY
        });
        if waits {
            return Ok(None);
        }
        self.pruned = Some((now, newest));
        // Most of the time nothing is to go, whatever is held.
        if dropped(&plan_prune(manifest, &keep, &[], now)).is_empty() {
            return Ok(None);
        }
        let id = ObjectId(self.nonces.next());
        let mark = mark_pruning(self.target.as_ref(), &self.group, manifest.epoch, id)?;
        self.marks.push(mark);
        let holds = list_holds(self.target.as_ref(), &self.group)?;
        let mut holds: Vec<_> = holds.into_iter().map(|(_, hold)| hold).collect();
        holds.extend(self.hold_of_window(manifest));
        let drop = dropped(&plan_prune(manifest, &keep, &holds, now));
        if drop.is_empty() {
            self.unmark()?;
            return Ok(None);
        }
        Ok(Some(Change {
            drop,
            ..Change::default()
        }))
    }
}

/// The layers and the objects of indexes that a change brings.
fn new_objects(change: &Change) -> (Vec<LayerRef>, Vec<LayerRef>) {
    let layers = change.replace.iter().flat_map(|replace| &replace.with);
    let indexes = change.indexes.iter().flat_map(|index| &index.objects);
    (layers.copied().collect(), indexes.copied().collect())
}

/// Whether a change was refused because it was decided on an older manifest.
fn is_stale(error: &Error) -> bool {
    cause_of(error).is_some_and(|known| matches!(known.kind, RecoveryErrorKind::Stale(_)))
}

/// Whether it is known that nothing came of a commit and nothing will.
fn is_refused(error: &Error) -> bool {
    cause_of(error).is_some_and(|known| match &known.kind {
        RecoveryErrorKind::Store(cause) => {
            cause.effect == Effect::None && cause.kind != StoreErrorKind::NotDurable
        }
        kind => matches!(
            kind,
            RecoveryErrorKind::Stale(_) | RecoveryErrorKind::Limit(_)
        ),
    })
}

fn cause_of(error: &Error) -> Option<&RecoveryError> {
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = below {
        if let Some(known) = cause.downcast_ref::<RecoveryError>() {
            return Some(known);
        }
        below = cause.source();
    }
    None
}

/// The policy of a group; `None` where all points stay.
pub(crate) fn kept_by(manifest: &Manifest) -> Result<Option<Keep>, Error> {
    if manifest.keep.is_empty() {
        return Ok(None);
    }
    let keep = manifest.keep.parse();
    keep.map(Some).map_err(|error| {
        Error::corrupt(format!(
            "manifest {} of group {} keeps points by {:?}, which is no policy: {error}",
            manifest.number, manifest.group, manifest.keep
        ))
    })
}

fn dropped(decisions: &[Decision]) -> BTreeSet<u64> {
    let gone = decisions.iter().filter(|decision| !decision.keep);
    gone.map(|decision| decision.id).collect()
}

fn size_of_set(set: &BTreeSet<u64>) -> u64 {
    afterimage_changelog::count(set.len())
}
