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
//! | [`beside`] | all of it beside a running ingest, compaction on a thread of its own |

mod beside;
mod compactor;
mod lists;
mod pacer;
mod upkeep;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use afterimage_cache::open_segment;
use afterimage_changelog::{Epoch, Name, ObjectId, Timestamp, count};
use afterimage_recovery::{
    Change, Collected, Collector, Head, IndexJob, LayerRef, Manifest, RecoveryError,
    RecoveryErrorKind, StreamPosition, forget_ended,
    holds::list_holds,
    mark_pruning,
    name::{index_key, layer_key},
    plan_indexes, plan_prune,
    retention::{Decision, Keep},
    unmark_pruning, write_index,
};
use afterimage_storage::{Key, Nonces, Store};

pub(crate) use self::beside::Upkeeping;
pub use self::upkeep::{Tended, Upkeep};
use self::{
    compactor::{Compactor, Done, Job},
    lists::Lists,
    pacer::{Around, Pacer},
};
use crate::{
    clock::{Clock, instant},
    error::Error,
    in_use::InUse,
    rewind::kept_store,
    stop::Stop,
};

/// Least time between two prunings while points are made.
const PRUNE_EVERY: Duration = Duration::from_secs(10);
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
        unmark_pruning(target.as_ref(), group)?;
        forget_ended(target.as_ref(), group, manifest.epoch)?;
        let collector = Collector::open(Arc::clone(target), group.clone(), head)?;
        let settings = tools.upkeep.compact;
        Ok(Maintenance {
            tools: tools.clone(),
            collector,
            lists: settings.map(|settings| Lists::of(manifest, settings)),
            seen: Arc::clone(head),
            pruned: None,
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
        let changed = self.change_all(due, tended, commit);
        // A layer that cannot be read, or a policy, is no reason to give no space back.
        tended.collected = self.collect(due)?;
        changed
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
        let is_due = self.collector.waiting() > 0
            || manifests > MANIFESTS_WAITING_MAX
            || due && manifests > 0;
        if !is_due {
            return Ok(Collected::default());
        }
        let now = (self.tools.clock)();
        let used = self.tools.in_use.collect(&self.seen);
        let used = used.as_ref().map(|head| &head.manifest);
        Ok(self.collector.collect(&self.seen, used, now)?)
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
        if pruned > 0 {
            unmark_pruning(self.tools.target.as_ref(), &self.tools.group)?;
        }
        if let Err(error) = &committed
            && is_stale(error)
        {
            // Nobody names them now, and nobody ever will.
            self.delete(&new_layers, layer_key);
            self.delete(&new_indexes, index_key);
        }
        self.see(&committed?);
        tended.pruned += pruned;
        tended.compacted += count(new_layers.len());
        tended.indexed += indexed;
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
        if let Some(change) = self.prune(manifest, due)? {
            return Ok(Some(change));
        }
        self.trim(manifest)
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
            read_bytes,
            left,
            error,
        } = done;
        if let Some(lists) = &mut self.lists {
            lists.put_back(left);
        }
        if !replaced.is_empty() {
            let change = Change {
                replace: replaced,
                ..Change::default()
            };
            self.commit(change, tended, commit)?;
            tended.compacted_bytes += read_bytes;
        }
        error.map_or(Ok(()), Err)
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

    /// A merged index over layers that have none, so that points are opened by opening few objects.
    fn index(&self, manifest: &Manifest) -> Result<Option<Change>, Error> {
        let limits = self.tools.upkeep.index;
        let Some((first, layers)) = plan_indexes(manifest, &limits) else {
            return Ok(None);
        };
        let job = IndexJob {
            store: &self.tools.target,
            nonces: &self.tools.nonces,
            created: (self.tools.clock)(),
            limits,
        };
        let index = write_index(&job, manifest, first, layers)?;
        Ok(Some(Change {
            indexes: vec![index],
            ..Change::default()
        }))
    }

    /// Points that are to go: marks that it is being decided, lists the holds, decides. The mark is
    /// taken back once the change is committed or refused.
    fn prune(&mut self, manifest: &Manifest, due: bool) -> Result<Option<Change>, Error> {
        let Some(keep) = kept_by(manifest)? else {
            return Ok(None);
        };
        let Some(newest) = manifest.points.last().map(|point| point.id) else {
            return Ok(None);
        };
        let now = (self.tools.clock)();
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
        let id = ObjectId(self.tools.nonces.next());
        mark_pruning(
            self.tools.target.as_ref(),
            &self.tools.group,
            manifest.epoch,
            id,
        )?;
        let holds = list_holds(self.tools.target.as_ref(), &self.tools.group)?;
        let holds: Vec<_> = holds.into_iter().map(|(_, hold)| hold).collect();
        let drop = dropped(&plan_prune(manifest, &keep, &holds, now));
        if drop.is_empty() {
            unmark_pruning(self.tools.target.as_ref(), &self.tools.group)?;
            return Ok(None);
        }
        Ok(Some(Change {
            drop,
            ..Change::default()
        }))
    }

    /// Segments that are older than the window.
    fn trim(&self, manifest: &Manifest) -> Result<Option<Change>, Error> {
        let newest = manifest
            .points
            .last()
            .map_or(Timestamp(0), |point| point.time);
        let window = self.tools.upkeep.rewind.unwrap_or_default();
        let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let since = Timestamp(newest.0.saturating_sub(window));
        let mut kept = Vec::new();
        for stream in &manifest.streams {
            let wanted = match self.tools.upkeep.rewind {
                // Whoever does not make points does not know how far back they are wanted.
                None => stream.kept,
                Some(_) => self.wanted(stream, since)?,
            };
            if wanted < stream.kept {
                kept.push((stream.name.clone(), wanted));
            }
        }
        Ok((!kept.is_empty()).then(|| Change {
            kept,
            ..Change::default()
        }))
    }

    /// How many of the newest kept segments hold a record that may be of the window.
    fn wanted(&self, stream: &StreamPosition, since: Timestamp) -> Result<u64, Error> {
        let store = kept_store(&self.tools.target, &self.tools.group);
        let mut wanted = stream.kept;
        // A segment says when it was begun, so the one before it was ended by then.
        while wanted > 1 {
            let second = stream.position.segment + 2 - wanted;
            let opened = open_segment(store.as_ref(), &self.tools.group, &stream.name, second)?;
            let begun = opened.map(|segment| segment.header.created);
            if begun.is_some_and(|begun| begun >= since) {
                break;
            }
            wanted -= 1;
        }
        Ok(wanted)
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
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = below {
        if let Some(known) = cause.downcast_ref::<RecoveryError>() {
            return matches!(known.kind, RecoveryErrorKind::Stale(_));
        }
        below = cause.source();
    }
    false
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

#[cfg(test)]
mod tests {
    use afterimage_recovery::{Committer, IndexLimits, PointReader, compact::CompactionSettings};

    use super::*;
    use crate::stages::{open, tests::committed};

    /// Upkeep that had committed an index was told of the head before it, which its queue still held,
    /// took the index for garbage and deleted it: the newest manifest named what was not there.
    #[test]
    fn an_older_head_makes_no_garbage_of_what_was_committed_since() {
        let parts = committed(8);
        let (target, nonces) = (&parts.target, &parts.nonces);
        let mut committer: Committer = open(&parts).unwrap().commits.into_committer();
        let old = committer.head().clone();
        let upkeep = Upkeep {
            index: IndexLimits {
                fan_out: 2,
                ..IndexLimits::default()
            },
            ..Upkeep::default()
        };
        let tools = Tools {
            group: parts.group.clone(),
            target: Arc::clone(target),
            nonces: Arc::clone(nonces),
            clock: Arc::clone(&parts.clock),
            upkeep,
            memory: 64 << 20,
            in_use: InUse::default(),
        };
        let old = Arc::new(old);
        let mut maintenance = Maintenance::open(&tools, &old).unwrap();
        let mut newest = Arc::clone(&old);
        for due in [false, true] {
            let mut commit = |change| {
                newest = Arc::new(committer.commit(change, Timestamp(9))?.clone());
                Ok(Arc::clone(&newest))
            };
            maintenance
                .tend(&old, due, &mut Tended::default(), &mut commit)
                .unwrap();
        }
        assert!(!newest.manifest.indexes.is_empty());
        for point in &newest.manifest.points {
            PointReader::open(target, &newest.manifest, point.id).unwrap();
        }
    }

    /// A replica was being brought forward while the layers that it read were compacted, and found
    /// them deleted.
    #[test]
    fn what_another_thread_reads_from_stays_until_it_has_read() {
        let parts = committed(8);
        let mut committer: Committer = open(&parts).unwrap().commits.into_committer();
        let tools = Tools {
            group: parts.group.clone(),
            target: Arc::clone(&parts.target),
            nonces: Arc::clone(&parts.nonces),
            clock: Arc::clone(&parts.clock),
            upkeep: Upkeep {
                keep: Some("1s:all".parse().unwrap()),
                compact: Some(CompactionSettings {
                    runs_max: 2,
                    ..CompactionSettings::default()
                }),
                ..Upkeep::default()
            },
            memory: 64 << 20,
            in_use: InUse::default(),
        };
        let old = Arc::new(committer.head().clone());
        let mut newest = Arc::clone(&old);
        let mut commit = |change| {
            newest = Arc::new(committer.commit(change, Timestamp(9))?.clone());
            Ok(Arc::clone(&newest))
        };
        let reads = |head: &Head| {
            let point = head.manifest.points.last().unwrap().id;
            let reader = PointReader::open(&parts.target, &head.manifest, point)?;
            reader.read_at(&"root".parse().unwrap(), 0, &mut vec![0; 1 << 20])
        };
        let mut maintenance = Maintenance::open(&tools, &old).unwrap();
        let reading = tools.in_use.read(Arc::clone(&old));
        let tended = maintenance.tend_all(&Stop::default(), &mut commit).unwrap();
        assert!(
            tended.compacted > 0 && tended.collected.held > 0,
            "{tended:?}"
        );
        reads(&old).unwrap();
        drop(reading);
        let late = tools.in_use.read(Arc::clone(&old));
        assert!(late.head().manifest.number > old.manifest.number);
        drop(late);
        let tended = maintenance.tend_all(&Stop::default(), &mut commit).unwrap();
        assert!(tended.collected.objects > 0, "{tended:?}");
        assert!(reads(&old).is_err());
        reads(&newest).unwrap();
    }
}
