//! Agents that take one stream over from each other, and a service that reads it and deletes what is
//! covered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use afterimage::{
    MarkerKind, Name, Timestamp,
    cache::{
        CacheError, CacheErrorKind, SegmentLimits, StreamReader, StreamWriter, WriterOptions,
        segment_key, segment_number,
    },
    changelog::{Disk, ObjectId, Position, SectorSize, Sequence},
    storage::{Key, Nonces, Store, StoreErrorKind},
};
use afterimage_testkit::{Random, SimStore, Turn, Turning, take_turns};

use crate::{Outcome, Wrap, client, lock, stage};

/// What was reported, and what was read.
#[derive(Debug, Default)]
struct Ledger {
    outcome: Outcome,
    /// Records of segments that were reported as sealed: markers, known by their cuts.
    sealed: BTreeMap<Sequence, ObjectId>,
    /// Records that the service read, in segments that follow each other.
    read: BTreeMap<Sequence, ObjectId>,
    /// Where the newest point ends.
    covered: Option<Position>,
    /// Agents that have not ended.
    agents: u64,
}

struct Shared<'a> {
    sim: &'a SimStore,
    nonces: &'a Arc<Nonces>,
    ledger: &'a Mutex<Ledger>,
}

fn group() -> Name {
    "shop".parse().unwrap()
}

fn stream() -> Name {
    "web-1".parse().unwrap()
}

/// One race.
pub(crate) fn race(seed: u64, wrap: Wrap) -> Outcome {
    race_with(seed, wrap, 0)
}

/// One race in which the service deletes some of the segments too that are not to be deleted.
pub(crate) fn race_with(seed: u64, wrap: Wrap, too_far: u64) -> Outcome {
    let mut random = Random::new(seed);
    let (sim, pace) = stage(&mut random);
    let nonces = Arc::new(Nonces::seeded(random.next()));
    let agents = 2 + u64::from(random.percent(30));
    let ledger = Mutex::new(Ledger {
        agents,
        ..Ledger::default()
    });
    let shared = Shared {
        sim: &sim,
        nonces: &nonces,
        ledger: &ledger,
    };
    let mut threads: Vec<Turning<'_>> = Vec::new();
    for _ in 0..agents {
        let (shared, random) = (&shared, Random::new(random.next()));
        threads.push(Box::new(move |turn: Turn| {
            write(shared, random, &turn, wrap);
            lock(shared.ledger).agents -= 1;
        }));
    }
    let (reader, service) = (&shared, Random::new(random.next()));
    threads.push(Box::new(move |turn: Turn| {
        read(reader, service, &turn, wrap, too_far);
    }));
    let ended = take_turns(random.next(), pace, threads);
    finish(&shared, wrap);
    let panicked = ended.iter().any(Result::is_err);
    let mut ledger = ledger.into_inner().unwrap();
    let outcome = &mut ledger.outcome;
    outcome.expect(!panicked, || "somebody panicked".to_owned());
    outcome.close(&sim);
    ledger.outcome
}

fn open(shared: &Shared<'_>, store: Arc<dyn Store>) -> Result<StreamWriter, CacheError> {
    let disk = Disk::new("root".parse().unwrap(), 1 << 20, SectorSize::B512).unwrap();
    let options = WriterOptions {
        group: group(),
        stream: stream(),
        disks: vec![disk],
        limits: SegmentLimits::default(),
        level: 1,
    };
    StreamWriter::open(store, Arc::clone(shared.nonces), options)
}

/// Some lives of one agent: each takes the stream over and seals segments until it is fenced or fails.
fn write(shared: &Shared<'_>, mut random: Random, turn: &Turn, wrap: Wrap) {
    for _ in 0..1 + random.below(3) {
        let store = client(shared.sim, turn.clone(), random.percent(50), wrap);
        let before = lock(shared.ledger).sealed.keys().next_back().copied();
        let opened = open(shared, store);
        let mut ledger = lock(shared.ledger);
        let mut writer = match opened {
            Ok(writer) => writer,
            Err(error) => {
                ledger.failed(&error, "opening a stream");
                continue;
            }
        };
        // One that opened behind what another one had left in place of a covered segment may go on
        // behind less than was sealed; then it is fenced before it reports anything.
        let goes_on = before.is_none_or(|before| before <= writer.last());
        drop(ledger);
        for _ in 0..2 + random.below(12) {
            let sealed = seal(shared, &mut writer, 1 + random.below(3));
            let is_fair = goes_on || sealed.is_err();
            let what = || format!("{before:?} was sealed and sealed again");
            lock(shared.ledger).outcome.expect(is_fair, what);
            if let Err(error) = sealed {
                lock(shared.ledger).failed(&error, "sealing");
                break;
            }
        }
    }
}

/// Seals a segment with some markers.
fn seal(shared: &Shared<'_>, writer: &mut StreamWriter, markers: u64) -> Result<(), CacheError> {
    let mut records = Vec::new();
    for _ in 0..markers {
        let cut = ObjectId(shared.nonces.next());
        writer.mark(MarkerKind::Crash, "", cut, Timestamp(1))?;
        records.push((writer.last(), cut));
    }
    writer.seal()?;
    let mut ledger = lock(shared.ledger);
    ledger.outcome.reported += 1;
    for (sequence, cut) in records {
        let before = ledger.sealed.insert(sequence, cut);
        ledger.outcome.expect(before.is_none(), || {
            format!("record {sequence} was reported as sealed twice")
        });
    }
    Ok(())
}

/// The service: it reads on, begins anew where its newest point ends, and deletes what is covered.
fn read(shared: &Shared<'_>, mut random: Random, turn: &Turn, wrap: Wrap, too_far: u64) {
    let mut waiting: BTreeSet<Key> = BTreeSet::new();
    let mut deleted = 0;
    while lock(shared.ledger).agents > 0 {
        let store = client(shared.sim, turn.clone(), random.percent(50), wrap);
        let covered = lock(shared.ledger).covered;
        let mut reader = StreamReader::new(Arc::clone(&store), group(), stream(), covered);
        for _ in 0..1 + random.below(30) {
            let Some(end) = next(shared, &mut reader, &mut random) else {
                continue;
            };
            if !random.percent(60) {
                continue;
            }
            lock(shared.ledger).covered = Some(end);
            let gone = deleted..end.segment + too_far;
            waiting.extend(gone.map(|number| segment_key(&group(), &stream(), number)));
            deleted = deleted.max(end.segment);
            waiting.retain(|key| {
                let is_gone = store.delete(key).is_ok();
                lock(shared.ledger).outcome.deleted += u64::from(is_gone);
                !is_gone
            });
        }
    }
}

/// Reads the next segment, if there is one.
fn next(shared: &Shared<'_>, reader: &mut StreamReader, random: &mut Random) -> Option<Position> {
    let segment = reader.next_segment();
    let checked = match segment {
        Ok(None) if random.percent(20) => reader.check_no_gap(),
        _ => Ok(()),
    };
    let mut ledger = lock(shared.ledger);
    let failed = segment.as_ref().err().or(checked.as_ref().err());
    if let Some(error) = failed {
        ledger.failed(error, "reading");
    }
    let segment = segment.ok()??;
    for marker in &segment.container.directory.markers {
        let before = ledger.read.insert(marker.sequence, marker.cut);
        let is_same = before.is_none_or(|before| before == marker.cut);
        ledger.outcome.expect(is_same, || {
            format!("record {} was read and is another one now", marker.sequence)
        });
    }
    Some(segment.end())
}

impl Ledger {
    /// Somebody was told no. Only what a store may do, or another agent, is a reason.
    fn failed(&mut self, error: &CacheError, doing: &str) {
        match &error.kind {
            CacheErrorKind::Fenced => {
                self.outcome.fenced += 1;
                let number = Key::new(&error.place)
                    .ok()
                    .and_then(|key| segment_number(&key));
                let covered = self.covered.map(|covered| covered.segment);
                self.outcome.late += u64::from(number.is_some() && number < covered);
            }
            CacheErrorKind::Store(error) if error.kind == StoreErrorKind::Unavailable => {
                let is_unclear = error.effect == afterimage::storage::Effect::Unknown;
                self.outcome.in_doubt += u64::from(is_unclear);
            }
            // What was the last segment when it was listed has been succeeded and covered since.
            CacheErrorKind::Store(error)
                if error.kind == StoreErrorKind::NotFound && doing == "opening a stream" => {}
            _ => self
                .outcome
                .losses
                .push(format!("{doing} ended with: {error}")),
        }
    }
}

/// All is quiet: one more agent goes on, and what was reported as sealed is read from the first to the
/// last record.
fn finish(shared: &Shared<'_>, wrap: Wrap) {
    shared.sim.calm();
    shared.sim.settle_late();
    let store = || wrap(Arc::new(shared.sim.client(None)));
    let sealed = open(shared, store()).and_then(|mut writer| seal(shared, &mut writer, 1));
    let covered = lock(shared.ledger).covered;
    let mut reader = StreamReader::new(store(), group(), stream(), covered);
    let mut random = Random::new(0);
    while next(shared, &mut reader, &mut random).is_some() {}
    let checked = reader.check_no_gap();
    let mut ledger = lock(shared.ledger);
    let Ledger {
        outcome,
        sealed: reported,
        read,
        ..
    } = &mut *ledger;
    for (what, result) in [("the last agent", sealed), ("the stream", checked)] {
        if let Err(error) = result {
            outcome.losses.push(format!("{what}: {error}"));
        }
    }
    for (sequence, cut) in reported {
        let is_read = read.get(sequence) == Some(cut);
        outcome.expect(is_read, || {
            format!("record {sequence} was reported as sealed and is not in the stream")
        });
    }
    let whole = (1..).zip(read.keys()).all(|(due, found)| found.0 == due);
    outcome.expect(whole, || "a record is missing".to_owned());
}
