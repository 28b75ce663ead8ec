//! Workers that take one group over from each other, commit, and collect.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use afterimage::{
    MarkerKind, Name, Timestamp,
    changelog::{Digest, Disk, Epoch, ObjectId, Position, SectorSize, Sequence},
    recovery::{
        Change, Collector, Committer, Head, LayerRef, Manifest, Proposal, RecoveryError,
        RecoveryErrorKind, Replacement,
        chain::{boundary, check_chain},
        load_head,
        name::{layer_key, manifest_prefix, number},
    },
    storage::{Key, Nonces, Store, StoreErrorKind},
};
use afterimage_testkit::{Random, SimStore, Turn, Turning, take_turns};
use bytes::Bytes;

use crate::{Outcome, Wrap, client, lock, stage};

/// What was reported, and what is known beside the store.
#[derive(Debug, Default)]
struct Ledger {
    outcome: Outcome,
    /// Commits that were reported as done, by number.
    reported: BTreeMap<u64, Digest>,
    /// Points that were reported as made, by their cut, with the number of their manifest.
    points: BTreeMap<ObjectId, u64>,
    /// Points that somebody wanted to drop.
    dropped: BTreeSet<ObjectId>,
    /// Whether a point was there when the group was taken over after a commit in doubt.
    resolved: Vec<(ObjectId, bool)>,
    epochs: BTreeSet<Epoch>,
}

/// What the workers of a race share.
struct Shared<'a> {
    sim: &'a SimStore,
    plain: Arc<dyn Store>,
    nonces: &'a Arc<Nonces>,
    ledger: &'a Mutex<Ledger>,
}

/// A worker that may commit, or that has lost its group.
struct Worker<'a> {
    shared: &'a Shared<'a>,
    store: Arc<dyn Store>,
    random: Random,
    committer: Committer,
    collector: Collector,
    /// The head that the collector was told of last.
    noted: Manifest,
}

fn group() -> Name {
    "shop".parse().unwrap()
}

fn disk() -> Disk {
    Disk::new("root".parse().unwrap(), 1 << 20, SectorSize::B512).unwrap()
}

/// One race.
pub(crate) fn race(seed: u64, wrap: Wrap) -> Outcome {
    let mut random = Random::new(seed);
    let (sim, pace) = stage(&mut random);
    let nonces = Arc::new(Nonces::seeded(random.next()));
    let ledger = Mutex::new(Ledger::default());
    let shared = Shared {
        sim: &sim,
        plain: sim.plain(),
        nonces: &nonces,
        ledger: &ledger,
    };
    let workers = 2 + u64::from(random.percent(30));
    let threads = (0..workers).map(|_| -> Turning<'_> {
        let shared = &shared;
        let random = Random::new(random.next());
        Box::new(move |turn: Turn| live(shared, random, &turn, wrap))
    });
    let threads = threads.collect();
    let ended = take_turns(random.next(), pace, threads);
    finish(&shared, wrap);
    let panicked = ended.iter().any(Result::is_err);
    let mut ledger = ledger.into_inner().unwrap();
    ledger
        .outcome
        .expect(!panicked, || "a worker panicked".to_owned());
    ledger.outcome.close(&sim);
    ledger.outcome
}

/// Some lives of one worker: each takes the group over and works until it is fenced or in doubt.
fn live(shared: &Shared<'_>, mut random: Random, turn: &Turn, wrap: Wrap) {
    let mut in_doubt: Option<ObjectId> = None;
    let mut lives = 1 + random.below(3);
    while lives > 0 {
        lives -= 1;
        let is_patient = random.percent(50);
        let store = client(shared.sim, turn.clone(), is_patient, wrap);
        let worker = Worker::begin(shared, store, Random::new(random.next()));
        let Some(mut worker) = worker else {
            continue;
        };
        if let Some(cut) = in_doubt.take() {
            let head = &worker.committer.head().manifest;
            let is_there = head.points.iter().any(|point| point.cut == cut);
            lock(shared.ledger).resolved.push((cut, is_there));
        }
        in_doubt = worker.work();
        // What is in doubt is settled by another life.
        lives += u64::from(in_doubt.is_some() && random.percent(50));
    }
}

impl Worker<'_> {
    fn begin<'a>(
        shared: &'a Shared<'a>,
        store: Arc<dyn Store>,
        random: Random,
    ) -> Option<Worker<'a>> {
        let nonces = Arc::clone(shared.nonces);
        let acquired = Committer::acquire(Arc::clone(&store), nonces, group(), Timestamp(1));
        let committer = match acquired {
            Ok(committer) => committer,
            Err(error) => {
                lock(shared.ledger).failed(&error, "taking over");
                return None;
            }
        };
        let mut ledger = lock(shared.ledger);
        let epoch = committer.epoch();
        let is_new = ledger.epochs.insert(epoch);
        let outcome = &mut ledger.outcome;
        outcome.expect(is_new, || format!("two workers have epoch {}", epoch.0));
        ledger.report(shared, committer.head());
        drop(ledger);
        let opened = Collector::open(Arc::clone(&store), group(), committer.head());
        let collector = opened
            .map_err(|error| lock(shared.ledger).failed(&error, "looking for leftovers"))
            .ok()?;
        Some(Worker {
            shared,
            store,
            random,
            noted: committer.head().manifest.clone(),
            committer,
            collector,
        })
    }

    /// Commits until it cannot; gives the point whose commit is in doubt.
    fn work(&mut self) -> Option<ObjectId> {
        for _ in 0..2 + self.random.below(9) {
            let Some((change, layer, cut)) = self.change() else {
                continue;
            };
            match self.committer.commit(change, Timestamp(1)) {
                Ok(head) => {
                    let mut ledger = lock(self.shared.ledger);
                    ledger.report(self.shared, head);
                    if let Some(cut) = cut {
                        ledger.points.insert(cut, head.manifest.number);
                    }
                    drop(ledger);
                }
                Err(error) => {
                    let mut ledger = lock(self.shared.ledger);
                    ledger.failed(&error, "a commit");
                    if self.committer.is_in_doubt() {
                        let is_fenced = matches!(error.kind, RecoveryErrorKind::Fenced(_));
                        ledger.outcome.in_doubt += u64::from(!is_fenced);
                        return cut;
                    }
                    drop(ledger);
                    // As a pipeline does: what was not committed for certain leaves nothing.
                    drop(self.store.delete(&layer));
                }
            }
            if self.random.percent(40) {
                self.collect();
            }
        }
        None
    }

    /// A layer that is durable, and a change that names it.
    fn change(&mut self) -> Option<(Change, Key, Option<ObjectId>)> {
        let id = || ObjectId(self.shared.nonces.next());
        let (id, cut) = (id(), id());
        let body = Bytes::copy_from_slice(&id.0);
        let layer = LayerRef {
            epoch: self.committer.epoch(),
            id,
            object_bytes: 16,
            digest: Digest::of(&body),
        };
        let key = layer_key(&group(), layer.epoch, id);
        self.store.create(&key, &[body]).ok()?;
        let points = &self.committer.head().manifest.points;
        let mut change = Change::default();
        let place = usize::try_from(self.random.below(16)).unwrap();
        let chosen = points.get(place);
        if let Some(point) = chosen.filter(|point| !point.layers.is_empty())
            && self.random.percent(30)
        {
            // Compaction: no point is made.
            let layers = point.layers.iter().map(|layer| layer.id).collect();
            let with = vec![layer];
            change.replace.push(Replacement { layers, with });
            return Some((change, key, None));
        }
        if let Some(point) = chosen.filter(|_| place + 1 < points.len())
            && self.random.percent(40)
        {
            change.drop.insert(point.id);
            lock(self.shared.ledger).dropped.insert(point.cut);
        }
        let sequence = self.committer.head().manifest.next_point;
        let position = Position {
            segment: sequence,
            digest: Digest::of(&cut.0),
            sequence: Sequence(sequence),
        };
        change.points.push(Proposal {
            kind: MarkerKind::Crash,
            name: String::new(),
            time: Timestamp(1),
            cut,
            disks: vec![disk()],
            changed_bytes: 16,
            layers: vec![layer],
            streams: vec![("web-1".parse().unwrap(), position)],
        });
        Some((change, key, Some(cut)))
    }

    fn collect(&mut self) {
        let head = self.committer.head();
        self.collector.note(&self.noted, &head.manifest);
        self.noted = head.manifest.clone();
        let collected = self.collector.collect(head, None, Timestamp(1));
        let mut ledger = lock(self.shared.ledger);
        match collected {
            Ok(collected) => ledger.outcome.deleted += collected.manifests,
            Err(error) => ledger.failed(&error, "collecting"),
        }
    }
}

impl Ledger {
    /// A worker was told that its commit counts.
    fn report(&mut self, shared: &Shared<'_>, head: &Head) {
        self.outcome.reported += 1;
        let number = head.manifest.number;
        let before = self.reported.insert(number, head.digest);
        let is_first = before.is_none();
        let what = || format!("manifest {number} was reported twice");
        self.outcome.expect(is_first, what);
        if let Err(what) = standing(shared.plain.as_ref()) {
            self.outcome.losses.push(what);
        }
    }

    /// A worker was told no. Only what a store may do, or another worker, is a reason.
    fn failed(&mut self, error: &RecoveryError, doing: &str) {
        match &error.kind {
            RecoveryErrorKind::Fenced(what) => {
                self.outcome.fenced += 1;
                self.outcome.late += u64::from(what.contains("was collected"));
            }
            RecoveryErrorKind::InDoubt(_) => {}
            RecoveryErrorKind::Store(error) if error.kind == StoreErrorKind::Unavailable => {}
            _ => self
                .outcome
                .losses
                .push(format!("{doing} ended with: {error}")),
        }
    }
}

/// What counts now is one chain, and all that it names is there.
fn standing(store: &dyn Store) -> Result<(), String> {
    let text = |error: RecoveryError| error.to_string();
    check_chain(store, &group()).map_err(text)?;
    let bound = boundary(store, &group()).map_err(text)?;
    let listed = store.list(&manifest_prefix(&group()), None, usize::MAX);
    for entry in listed.unwrap() {
        if number(&entry.key) <= bound {
            continue;
        }
        let manifest = Manifest::decode(&store.read(&entry.key).unwrap()).unwrap();
        for layer in manifest.partial().layers() {
            let key = layer_key(&group(), layer.epoch, layer.id);
            let is_there = store
                .read(&key)
                .is_ok_and(|body| Digest::of(&body) == layer.digest);
            if !is_there {
                return Err(format!("{} names {key}, which is gone", entry.key));
            }
        }
    }
    Ok(())
}

/// All is quiet: one more worker takes over, and everything that was reported is in its history.
fn finish(shared: &Shared<'_>, wrap: Wrap) {
    shared.sim.calm();
    shared.sim.settle_late();
    let store = wrap(Arc::new(shared.sim.client(None)));
    let last = Worker::begin(shared, store, Random::new(1));
    let mut ledger = lock(shared.ledger);
    let Some(mut last) = last else {
        let what = "nobody can take over any more".to_owned();
        return ledger.outcome.losses.push(what);
    };
    drop(ledger);
    let (change, ..) = last.change().unwrap();
    let committed = last.committer.commit(change, Timestamp(1));
    ledger = lock(shared.ledger);
    match committed {
        Ok(head) => ledger.report(shared, head),
        Err(error) => ledger.outcome.losses.push(format!("the last one: {error}")),
    }
    drop(ledger);
    last.collect();
    let mut ledger = lock(shared.ledger);
    let checked = standing(shared.plain.as_ref());
    ledger.outcome.losses.extend(checked.err());
    let history = history(shared);
    ledger.compare(&history);
}

/// The manifests from the first to the newest, each named by the next one, whether they are there still
/// or not.
fn history(shared: &Shared<'_>) -> Vec<(Digest, Manifest)> {
    let created = shared.sim.created().into_iter();
    let manifests = created.filter(|(key, _)| key.as_str().contains("/manifest/"));
    let mut manifests: BTreeMap<[u8; 32], Manifest> = manifests
        .map(|(_, body)| {
            let manifest = Manifest::decode(&body).unwrap().partial().clone();
            (Digest::of(&body).0, manifest)
        })
        .collect();
    let head = load_head(shared.plain.as_ref(), &group()).unwrap().unwrap();
    let mut history = Vec::new();
    let mut digest = head.digest;
    while let Some(manifest) = manifests.remove(&digest.0) {
        let predecessor = manifest.predecessor;
        history.push((digest, manifest));
        digest = predecessor;
    }
    history.reverse();
    history
}

impl Ledger {
    /// Everything that was reported is in the history.
    fn compare(&mut self, history: &[(Digest, Manifest)]) {
        let Ledger {
            outcome,
            reported,
            points,
            dropped,
            resolved,
            ..
        } = self;
        let numbers: BTreeMap<u64, Digest> = history
            .iter()
            .map(|(digest, manifest)| (manifest.number, *digest))
            .collect();
        let first = history.first().map(|(_, manifest)| manifest.number);
        outcome.expect(first == Some(0), || {
            format!("the chain begins at {first:?}")
        });
        for (number, digest) in reported {
            let is_in = numbers.get(number) == Some(digest);
            outcome.expect(is_in, || {
                format!("manifest {number} was reported and is not in the chain")
            });
        }
        let epochs = history.iter().map(|(_, manifest)| manifest.epoch);
        outcome.expect(epochs.is_sorted(), || "an epoch went back".to_owned());
        for (_, manifest) in history {
            let named: BTreeSet<ObjectId> = manifest.points.iter().map(|point| point.cut).collect();
            for (cut, _) in points
                .iter()
                .filter(|(_, since)| **since <= manifest.number)
            {
                outcome.expect(named.contains(cut) || dropped.contains(cut), || {
                    format!("manifest {} has not point {cut}", manifest.number)
                });
            }
        }
        let Some((_, newest)) = history.last() else {
            return;
        };
        for (cut, was_there) in resolved {
            let is_there = newest.points.iter().any(|point| point.cut == *cut);
            let is_settled = is_there == *was_there || dropped.contains(cut);
            outcome.expect(is_settled, || {
                format!("point {cut} was in doubt, then there: {was_there}, now: {is_there}")
            });
        }
    }
}
