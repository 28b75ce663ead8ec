//! Keeping a target in shape: pruning, trimming the any-write window, merged indexes, compaction,
//! and giving space back. One step at a time, each of them a change to be committed.
//!
//! | part | what |
//! | --- | --- |
//! | [`Maintenance`] | decides what is next, and notes what was committed |
//! | [`upkeep`] | what is wanted, and what was done |
//! | [`lists`] | which lists of layers may want compaction |
//! | [`compactor`] | rewrites them, which takes long and commits nothing |
//! | [`pacer`] | how fast it may |
//! | [`window`] | which segments the any-write window needs |
//! | [`beside`] | all of it beside a running ingest, compaction on a thread of its own |

mod beside;
mod compactor;
mod lists;
mod pacer;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
mod upkeep;
mod window;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use afterimage_changelog::{Epoch, Name, ObjectId, Timestamp, count};
use afterimage_recovery::{
    Change, Collected, Collector, Head, IndexJob, LayerRef, Manifest, RecoveryError,
    RecoveryErrorKind, forget_ended,
    holds::list_holds,
    mark_pruning,
    name::{index_key, layer_key, pruning_key},
    plan_indexes, plan_prune,
    retention::{Decision, Keep},
    unmark_pruning_before, write_index,
};
use afterimage_storage::{Effect, Key, Nonces, Store, StoreErrorKind};

pub use self::upkeep::{Tended, Upkeep};
pub(crate) use self::{beside::Upkeeping, window::hold_of_window};
use self::{
    compactor::{Compactor, Done, Job},
    lists::Lists,
    pacer::{Around, Pacer},
};
use crate::{
    clock::{Clock, instant},
    error::{Error, ErrorKind},
    in_use::InUse,
    stop::Stop,
};

/// Least time between two prunings while points are made.
const PRUNE_EVERY: Duration = Duration::from_secs(10);
/// The same, and between two collections, where the lists that both need are billed.
pub(crate) const BILLED_EVERY: Duration = Duration::from_secs(3600);
/// Manifests that may wait to be collected while nothing else does.
const MANIFESTS_WAITING_MAX: usize = 64;

/// What the upkeep of a target works with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) group: Name,
    pub(crate) target: Arc<dyn Store>,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) clock: Clock,
    pub(crate) upkeep: Upkeep,
    /// Bytes of memory that compaction may hold.
    pub(crate) memory: u64,
    /// What other threads of the worker read from.
    pub(crate) in_use: InUse,
}

/// Whether so much time has passed; also where the clock was set back since.
fn is_past(at: Timestamp, every: Duration, now: Timestamp) -> bool {
    let since = now.0.checked_sub(at.0).map(Duration::from_micros);
    since.is_none_or(|since| since >= every)
}

/// Commits a change and gives the head it made.
pub(crate) type Commit<'a> = dyn FnMut(Change) -> Result<Arc<Head>, Error> + Send + 'a;

/// Changes that keep a target in shape, one after the other.
pub(crate) struct Maintenance {
    tools: Tools,
    collector: Collector,
    /// Which lists of layers are to be looked at; `None` where nothing is compacted.
    lists: Option<Lists>,
    /// The newest head that was looked at.
    seen: Arc<Head>,
    /// When points were last pruned, and up to which one.
    pruned: Option<(Timestamp, u64)>,
    /// When space was last given back, or this worker began and found nothing to be given back.
    collected: Option<Timestamp>,
    /// Marks that points are being pruned, or that could not be taken back yet.
    marks: Vec<Key>,
    /// Whether it is not known what the last commit came to.
    is_in_doubt: bool,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tools({:?})", self.upkeep)
    }
}

impl std::fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Maintenance({})", self.tools.group)
    }
}

impl Maintenance {
    /// Looks for what earlier workers left.
    pub(crate) fn open(tools: &Tools, head: &Arc<Head>) -> Result<Maintenance, Error> {
        let manifest = &head.manifest;
        let Tools { group, target, .. } = tools;
        unmark_pruning_before(target.as_ref(), group, manifest.epoch)?;
        forget_ended(target.as_ref(), group, manifest.epoch)?;
        let collector = Collector::open(Arc::clone(target), group.clone(), head)?;
        let is_clean = collector.waiting() + collector.manifests_waiting() == 0;
        let collected = is_clean.then(|| (tools.clock)());
        let settings = tools.upkeep.compact;
        Ok(Maintenance {
            tools: tools.clone(),
            collector,
            lists: settings.map(|settings| Lists::of(manifest, settings)),
            seen: Arc::clone(head),
            pruned: None,
            collected,
            marks: Vec::new(),
            is_in_doubt: false,
        })
    }

    /// Does all there is to do but compaction; with `due` also what could wait for more points.
    ///
    /// What this committed itself may be newer than the head that it is told of, which is not looked
    /// at then: what that one does not name yet would be taken for what nobody names any more.
    pub(crate) fn tend(
        &mut self,
        told: &Arc<Head>,
        due: bool,
        tended: &mut Tended,
        commit: &mut Commit<'_>,
    ) -> Result<(), Error> {
        self.see(told);
        let unmarked = self.unmark();
        let changed = unmarked.and_then(|()| self.change_all(due, tended, commit));
        // A layer that cannot be read, or a policy, is no reason to give no space back.
        let collected = self.collect(due);
        changed.and(collected.map(|collected| tended.collected = collected))
    }

    fn change_all(
        &mut self,
        due: bool,
        tended: &mut Tended,
        commit: &mut Commit<'_>,
    ) -> Result<(), Error> {
        while let Some(change) = self.next(due)? {
            self.commit(change, tended, commit)?;
        }
        Ok(())
    }

    /// What is deleted where enough waits for it.
    fn collect(&mut self, due: bool) -> Result<Collected, Error> {
        let manifests = self.collector.manifests_waiting();
        let is_wanted = self.collector.waiting() > 0
            || manifests > MANIFESTS_WAITING_MAX
            || due && manifests > 0;
        let now = (self.tools.clock)();
        let is_due = match self.is_billed() && !due {
            false => is_wanted,
            // What an earlier worker left does not wait for a worker that may end within the hour, too.
            true => self
                .collected
                .map_or(self.collector.waiting() + manifests > 0, |at| {
                    is_wanted && is_past(at, BILLED_EVERY, now)
                }),
        };
        if !is_due {
            return Ok(Collected::default());
        }
        let used = self.tools.in_use.collect(&self.seen);
        let used = used.as_ref().map(|head| &head.manifest);
        let collected = self.collector.collect(&self.seen, used, now)?;
        self.collected = Some(now);
        Ok(collected)
    }

    fn is_billed(&self) -> bool {
        self.tools.target.is_billed()
    }

    fn commit(
        &mut self,
        change: Change,
        tended: &mut Tended,
        commit: &mut Commit<'_>,
    ) -> Result<(), Error> {
        let pruned = count(change.drop.len());
        let indexed = count(change.indexes.len());
        let (new_layers, new_indexes) = new_objects(&change);
        let committed = commit(change);
        match &committed {
            Ok(head) => {
                self.is_in_doubt = false;
                self.see(head);
                tended.pruned += pruned;
                tended.compacted += count(new_layers.len());
                tended.indexed += indexed;
            }
            Err(error) if is_refused(error) => {
                // Of one before, nobody who has ended says what it came to.
                self.is_in_doubt &= error.kind() == ErrorKind::Stopped;
                // Nobody names them now, and nobody ever will.
                self.delete(&new_layers, layer_key);
                self.delete(&new_indexes, index_key);
                self.pruned = None;
            }
            Err(_) => self.is_in_doubt = true,
        }
        let unmarked = self.unmark();
        committed.and(unmarked)
    }

    /// Takes back our own marks: what was decided under them is in a manifest or will be in none.
    /// Where the manifest may be on its way they stay, for a pin would come too late.
    fn unmark(&mut self) -> Result<(), Error> {
        if self.is_in_doubt {
            return Ok(());
        }
        while let Some(mark) = self.marks.last() {
            self.tools.target.delete(mark)?;
            self.marks.pop();
        }
        Ok(())
    }

    fn delete(&self, objects: &[LayerRef], key: fn(&Name, Epoch, ObjectId) -> Key) {
        for object in objects {
            let key = key(&self.tools.group, object.epoch, object.id);
            if let Err(error) = self.tools.target.delete(&key) {
                tracing::warn!(%key, %error, "an object that no manifest names was left");
            }
        }
    }

    /// Notes what was committed since the last look, by whomever.
    fn see(&mut self, head: &Arc<Head>) {
        if head.manifest.number > self.seen.manifest.number {
            self.collector.note(&self.seen.manifest, &head.manifest);
            if let Some(lists) = &mut self.lists {
                lists.note(&self.seen.manifest, &head.manifest);
            }
            self.seen = Arc::clone(head);
        }
    }

    /// The next change; everything that it names is durable.
    fn next(&mut self, due: bool) -> Result<Option<Change>, Error> {
        if let Some(change) = self.points(due)? {
            return Ok(Some(change));
        }
        self.index(&Arc::clone(&self.seen).manifest)
    }

    /// The next change of which points and segments stay.
    fn points(&mut self, due: bool) -> Result<Option<Change>, Error> {
        let head = Arc::clone(&self.seen);
        let manifest = &head.manifest;
        if let Some(keep) = &self.tools.upkeep.keep
            && keep.to_string() != manifest.keep
        {
            return Ok(Some(Change {
                keep: Some(keep.to_string()),
                ..Change::default()
            }));
        }
        // A segment that is damaged keeps one of both from being done, and not the other one.
        let trimmed = self.trim(manifest);
        if let Ok(Some(_)) = trimmed {
            return trimmed;
        }
        match self.prune(manifest, due)? {
            None => trimmed,
            pruned => Ok(pruned),
        }
    }

    /// The next lists to be looked at. One job at a time: until [`Maintenance::finish`] is told what
    /// came of it, another one might be of the same layers. What is pruned and committed meanwhile
    /// does not matter, since layers of points that go stay neighbours, and what lies at the bottom
    /// stays there.
    fn job(&mut self) -> Option<Job> {
        let manifest = &self.seen.manifest;
        let lists = self.lists.as_mut()?.take(manifest);
        (!lists.is_empty()).then_some(Job {
            epoch: manifest.epoch,
            lists,
        })
    }

    /// Commits what came of a job, all of it at once.
    ///
    /// # Errors
    ///
    /// Why it could not be committed, or else why the job ended early.
    fn finish(
        &mut self,
        done: Done,
        tended: &mut Tended,
        commit: &mut Commit<'_>,
    ) -> Result<(), Error> {
        let Done {
            replaced,
            rewritten,
            read_bytes,
            left,
            error,
        } = done;
        self.put_back(left);
        if !replaced.is_empty() {
            let change = Change {
                replace: replaced,
                ..Change::default()
            };
            let committed = self.commit(change, tended, commit);
            committed.inspect_err(|error| {
                // What does not fit the newest manifest will not fit it another time either.
                if is_refused(error) && !is_stale(error) {
                    self.put_back(rewritten);
                }
            })?;
            tended.compacted_bytes += read_bytes;
        }
        error.map_or(Ok(()), Err)
    }

    fn put_back(&mut self, points: Vec<u64>) {
        if let Some(lists) = &mut self.lists {
            lists.put_back(points);
        }
    }

    /// Does all there is to do, compaction too, until it is done or stopped.
    pub(crate) fn tend_all(
        &mut self,
        stop: &Stop,
        commit: &mut Commit<'_>,
    ) -> Result<Tended, Error> {
        let mut tended = Tended::default();
        // What is to go is not compacted before.
        while let Some(change) = self.points(true)? {
            self.commit(change, &mut tended, commit)?;
        }
        let rate = self.tools.upkeep.compact_bytes_per_second;
        let mut pacer = Pacer::new(
            rate,
            Alone {
                stop,
                origin: instant(),
            },
        );
        if let Some(compactor) = Compactor::of(&self.tools) {
            while !stop.is_stopped()
                && let Some(job) = self.job()
            {
                let done = compactor.run(job, &mut |bytes| pacer.pace(bytes));
                self.finish(done, &mut tended, commit)?;
            }
        }
        let newest = Arc::clone(&self.seen);
        self.tend(&newest, true, &mut tended, commit)?;
        Ok(tended)
    }

    /// Merged indexes over layers that have none, so that points are opened by opening few objects. All of
    /// them in one change: there are several where many points came at once.
    fn index(&self, manifest: &Manifest) -> Result<Option<Change>, Error> {
        let limits = self.tools.upkeep.index;
        if plan_indexes(manifest, &limits).is_none() {
            return Ok(None);
        }
        let job = IndexJob {
            store: &self.tools.target,
            nonces: &self.tools.nonces,
            created: (self.tools.clock)(),
            limits,
        };
        let mut planned = manifest.clone();
        let mut indexes = Vec::new();
        while let Some((first, layers)) = plan_indexes(&planned, &limits) {
            match write_index(&job, &planned, first, layers) {
                Ok(index) => {
                    planned.indexes.push(index.clone());
                    indexes.push(index);
                }
                Err(error) if indexes.is_empty() => return Err(error.into()),
                // It will fail again when it is the first.
                Err(_) => break,
            }
        }
        Ok(Some(Change {
            indexes,
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
        let now = (self.tools.clock)();
        let waits = self.pruned.is_some_and(|(at, up_to)| {
            let every = if self.is_billed() {
                BILLED_EVERY
            } else {
                PRUNE_EVERY
            };
            up_to == newest || !due && !is_past(at, every, now)
        });
        if waits {
            return Ok(None);
        }
        self.pruned = Some((now, newest));
        // Most of the time nothing is to go, whatever is held.
        if dropped(&plan_prune(manifest, &keep, &[], now)).is_empty() {
            return Ok(None);
        }
        let decided = self.decide(manifest, &keep, now);
        let is_sent = decided.as_ref().is_ok_and(|drop| !drop.is_empty());
        if !is_sent {
            let unmarked = self.unmark();
            decided.inspect_err(|_| self.pruned = None)?;
            return unmarked.map(|()| None);
        }
        Ok(Some(Change {
            drop: decided?,
            ..Change::default()
        }))
    }

    /// Leaves its mark, also where it fails: it may be there then.
    fn decide(
        &mut self,
        manifest: &Manifest,
        keep: &Keep,
        now: Timestamp,
    ) -> Result<BTreeSet<u64>, Error> {
        let id = ObjectId(self.tools.nonces.next());
        let Tools {
            target,
            group,
            upkeep,
            ..
        } = &self.tools;
        self.marks.push(pruning_key(group, manifest.epoch, id));
        mark_pruning(target.as_ref(), group, manifest.epoch, id)?;
        let holds = list_holds(target.as_ref(), group)?;
        let mut holds: Vec<_> = holds.into_iter().map(|(_, hold)| hold).collect();
        holds.extend(hold_of_window(target.as_ref(), manifest, upkeep.rewind)?);
        Ok(dropped(&plan_prune(manifest, keep, &holds, now)))
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

/// Whether it is known that nothing came of a commit and nothing will. Whoever has stopped never
/// took it.
fn is_refused(error: &Error) -> bool {
    error.kind() == ErrorKind::Stopped
        || cause_of(error).is_some_and(|known| match &known.kind {
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

/// Nobody is in the way of a worker that does nothing else.
#[derive(Debug)]
struct Alone<'a> {
    stop: &'a Stop,
    origin: Instant,
}

impl Around for Alone<'_> {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn is_pressed(&self) -> bool {
        false
    }

    fn stops(&self, wait: Duration) -> bool {
        self.stop.wait(wait)
    }
}
