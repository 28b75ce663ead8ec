//! Kept segments that are spoiled: what is gone back to is right or refused, upkeep lets go of
//! nothing that is needed, and what is spoiled before it is kept is not kept.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use afterimage::{
    Error, ErrorKind, Moment, Points, RestoreProgress, Rewound, Stop, Tend, Upkeep,
    cache::segment_key,
    changelog::{Container, SECTOR, Sequence, size},
    recovery::{load_head, name::kept_key},
    storage::{Key, MemoryDisk, MemoryStore, Store, StoreError},
};
use afterimage_testkit::{Spoil, Tried, World};
use bytes::Bytes;

use super::{AFTER, HISTORY, SECTORS, WINDOW, go_back, same, tend};
use crate::support::{
    Progress, Rig, Scenario, Wraps,
    hooked::{Hooks, hooked},
    rig::Stores,
    run::{Service, agent, send},
};

/// Segments of which every byte is spoiled: one with a marker in its midst, and one with none.
const SPOILED: [u64; 2] = [4, 6];

fn key(number: u64) -> Key {
    kept_key(&Scenario::group(), &Scenario::stream(), number)
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn rig(process: u64) -> Rig {
    Rig::new(&World::new(1), Wraps::NONE, process)
}

/// A cache with the whole history.
fn cache(process: u64) -> Arc<dyn Store> {
    let cache = memory();
    let mut agent = agent(&HISTORY, &rig(process), &cache).unwrap();
    for &end in &HISTORY.segments {
        send(&HISTORY, &mut agent, end).unwrap();
    }
    cache
}

/// Makes points of all that is in a cache, and keeps it.
fn keep(cache: Arc<dyn Store>, target: &Arc<dyn Store>, process: u64) -> Result<(), Error> {
    let stores = Stores {
        cache,
        target: Arc::clone(target),
        restored: memory(),
    };
    let mut service = Service::keeping(&rig(process), &stores)?;
    service.catch_up(&mut Progress::default())
}

/// A target that keeps all segments of the history.
struct Kept {
    target: Arc<dyn Store>,
    points: Points,
    /// The segments, by their number.
    segments: Vec<Bytes>,
}

impl Kept {
    fn new(process: u64) -> Kept {
        let target = memory();
        keep(cache(process), &target, process + 1).unwrap();
        let points = Points::load(&target, &Scenario::group()).unwrap();
        let segments = 0..u64::try_from(HISTORY.segments.len()).unwrap();
        let segments = segments.map(|number| target.read(&key(number)).unwrap());
        Kept {
            segments: segments.collect(),
            target,
            points,
        }
    }

    /// The same objects in another store.
    fn copy(&self) -> Arc<dyn Store> {
        let copy = memory();
        let all = Key::new(Scenario::group().as_str()).unwrap();
        for entry in self.target.list(&all, None, usize::MAX).unwrap() {
            let bytes = self.target.read(&entry.key).unwrap();
            copy.create(&entry.key, &[bytes]).unwrap();
        }
        copy
    }

    fn numbers(&self) -> std::ops::Range<u64> {
        0..u64::try_from(self.segments.len()).unwrap()
    }

    fn segment(&self, number: u64) -> &Bytes {
        &self.segments[size(number)]
    }

    /// Every record that is reached by a segment, and some behind it.
    fn moments(&self, number: u64) -> impl Iterator<Item = u64> + use<> {
        let Container { header, footer, .. } = opened(self.segment(number));
        let newest = u64::try_from(HISTORY.records.len()).unwrap();
        (header.first.0..=(footer.last.0 + 2).min(newest)).chain([newest])
    }

    /// Goes back to records while some objects are others, or missing; gives how many were refused.
    fn look(
        &self,
        replaced: &[(u64, Option<&Bytes>)],
        moments: impl Iterator<Item = u64>,
        what: &str,
    ) -> u64 {
        for (number, bytes) in replaced {
            put(&self.target, *number, *bytes);
        }
        let refused = moments.map(|sequence| self.went_back(sequence, replaced, what));
        let refused = refused.map(u64::from).sum();
        for (number, _) in replaced {
            put(&self.target, *number, Some(self.segment(*number)));
        }
        refused
    }

    /// Whether it is refused to go back to a record. Where it is not, what is there is right; where it
    /// is, the refusal says what is broken, and no sector holds what it never held.
    fn went_back(&self, sequence: u64, replaced: &[(u64, Option<&Bytes>)], what: &str) -> bool {
        let disk = MemoryDisk::new(SECTORS * SECTOR);
        let moment = Moment::Record(Sequence(sequence));
        let found = Rewound::find(&self.target, &self.points, moment);
        let went = found.and_then(|rewound| {
            let (name, progress) = (&HISTORY.disks[0].name, RestoreProgress::default());
            rewound.write(&self.points, name, &disk, &progress, &Stop::default())
        });
        let content = disk.content();
        let Err(error) = went else {
            let right = same(&AFTER[size(sequence)], &content);
            right.unwrap_or_else(|wrong| panic!("{what}, record {sequence}: {wrong}"));
            return false;
        };
        let mut keys = replaced.iter().map(|(number, _)| key(*number));
        let names = |key: Key| error.to_string().contains(key.as_str());
        let told = error.kind() == ErrorKind::Corrupt && keys.any(names);
        assert!(told, "{what}, record {sequence}: {error}");
        let reached = |sequences: &[Sequence]| sequences[0].0 <= sequence;
        let mut points = self.points.list().iter().rev();
        let base = points.find(|point| reached(&point.sequences)).unwrap();
        let known = [&AFTER[size(base.sequences[0].0)], &AFTER[size(sequence)]];
        for (at, sector) in (0..)
            .step_by(size(SECTOR))
            .zip(content.chunks(size(SECTOR)))
        {
            let held = known.iter().any(|disk| disk[at..].starts_with(sector));
            let blank = sector.iter().all(|&byte| byte == 0);
            assert!(
                held || blank,
                "{what}, record {sequence}: byte {at} is wrong"
            );
        }
        true
    }
}

/// Puts another object in the place of a kept segment, or none.
fn put(target: &Arc<dyn Store>, number: u64, bytes: Option<&Bytes>) {
    target.delete(&key(number)).unwrap();
    if let Some(bytes) = bytes {
        let bytes = std::slice::from_ref(bytes);
        target.create(&key(number), bytes).unwrap();
    }
}

fn opened(bytes: &Bytes) -> Container {
    let length = u64::try_from(bytes.len()).unwrap();
    let part = |range: std::ops::Range<u64>| {
        Ok::<_, std::convert::Infallible>(bytes.slice(size(range.start)..size(range.end)))
    };
    Container::open(length, bytes, part).unwrap()
}

fn spoils(bytes: &Bytes) -> Vec<Spoil> {
    let mut all = Spoil::each_byte(bytes, 5);
    all.extend(Spoil::frame_swaps(bytes));
    all
}

/// Each byte is met by some of the writes that are gone back to.
#[test]
fn a_spoiled_kept_segment_gives_no_wrong_byte() {
    let kept = Kept::new(10);
    let mut tried = Tried::default();
    for number in SPOILED {
        let whole = kept.segment(number);
        assert_eq!(kept.look(&[], kept.moments(number), "as it is"), 0);
        for spoil in spoils(whole) {
            let spoiled = spoil.apply(whole);
            let what = format!("{spoil:?} of segment {number}");
            // Another length is met before anything is looked for.
            let is_other_length = spoiled.len() != whole.len();
            let moments = kept
                .moments(number)
                .take(if is_other_length { 1 } else { 99 });
            let refused = kept.look(&[(number, Some(&spoiled))], moments, &what);
            assert!(refused > 0, "{what} is not met");
            tried.count(spoil);
        }
    }
    println!("kept segments: {tried}");
}

/// Each in the place of each other one, each of another history of the same writes, each missing.
#[test]
fn a_kept_segment_in_the_place_of_another_is_refused() {
    let (kept, other) = (Kept::new(10), Kept::new(20));
    let newest = u64::try_from(HISTORY.records.len()).unwrap();
    let all = |replaced: &[(u64, Option<&Bytes>)], what: &str| {
        let moments: BTreeSet<u64> = replaced
            .iter()
            .map(|(number, _)| opened(kept.segment(*number)).footer.last.0)
            .filter(|&last| last > kept.points.list()[0].sequences[0].0)
            .chain([newest])
            .collect();
        let looked = u64::try_from(moments.len()).unwrap();
        let refused = kept.look(replaced, moments.into_iter(), what);
        assert_eq!(refused, looked, "{what}");
    };
    for number in kept.numbers() {
        let (stranger, what) = (other.segment(number), format!("another {number}"));
        all(&[(number, Some(stranger))], &what);
        all(&[(number, None)], &format!("no {number}"));
        for second in number + 1..kept.numbers().end {
            let both = [kept.segment(second), kept.segment(number)];
            let swapped = [(number, Some(both[0])), (second, Some(both[1]))];
            all(&swapped, &format!("{number} and {second}"));
            all(&swapped[..1], &format!("{second} as {number}"));
            all(&swapped[1..], &format!("{number} as {second}"));
        }
    }
}

/// A segment that was missing was taken for one that does not need the one before it, and upkeep let
/// go of that: with a copy of the missing one back in its place the window had lost its start.
#[test]
fn upkeep_lets_go_of_nothing_that_is_needed_where_a_segment_is_spoiled() {
    let kept = Kept::new(10);
    let (mut refused, mut trimmed) = (0, 0);
    for number in kept.numbers() {
        let whole = kept.segment(number);
        let flips = Spoil::each_byte(whole, number).into_iter().step_by(499);
        let spoiled = flips.map(|spoil| Some(spoil.apply(whole)));
        let swapped = [(number + 1) % kept.numbers().end].map(|other| kept.segment(other).clone());
        for bytes in spoiled.chain(swapped.map(Some)).chain([None]) {
            let target = kept.copy();
            put(&target, number, bytes.as_ref());
            if let Err(error) = tend(&target, &rig(30)) {
                let named = error.to_string().contains(key(number).as_str());
                assert!(named && error.kind() == ErrorKind::Corrupt, "{error}");
                refused += 1;
            }
            put(&target, number, Some(whole));
            let points = Points::load(&target, &Scenario::group()).unwrap();
            trimmed += u64::from(points.manifest().streams[0].kept < kept.numbers().end);
            let seen = go_back(&points);
            assert!(seen.is_ok(), "{number}, spoiled: {seen:?}");
        }
    }
    println!("upkeep: {refused} refused, {trimmed} trimmed");
    assert!(refused > 10 && trimmed > 10, "{refused} and {trimmed}");
}

/// Prunes as much as may go.
fn prune(target: &Arc<dyn Store>, rewind: Option<Duration>) -> Result<(), Error> {
    let upkeep = Upkeep {
        keep: Some("1s:all".parse().unwrap()),
        rewind,
        ..Upkeep::default()
    };
    let tend = Tend {
        take_over: true,
        ..Tend::new(Arc::clone(target), Scenario::group(), upkeep)
    };
    tend.run(&Stop::default()).map(drop)
}

/// How many points there are, and how many records can be gone back to.
fn left(target: &Arc<dyn Store>) -> (usize, u64) {
    let points = Points::load(target, &Scenario::group()).unwrap();
    (points.list().len(), go_back(&points).unwrap().right)
}

/// Which point single writes are reached from is told by the first segment that is kept; no other one
/// is looked at.
#[test]
fn no_point_is_pruned_that_is_needed_where_a_segment_is_spoiled() {
    let kept = Kept::new(10);
    let (points, right) = left(&kept.target);
    for number in 0..3 {
        let whole = kept.segment(number);
        let flips = Spoil::each_byte(whole, number).into_iter().step_by(97);
        let spoiled = flips.map(|spoil| Some(spoil.apply(whole)));
        for bytes in spoiled.chain([Some(kept.segment(7).clone()), None]) {
            let target = kept.copy();
            put(&target, number, bytes.as_ref());
            let pruned = prune(&target, None);
            put(&target, number, Some(whole));
            let (there, still) = left(&target);
            assert_eq!(still, right, "{number}");
            match pruned {
                Ok(()) => assert_eq!(there, 2),
                Err(error) => {
                    let named = error.to_string().contains(key(number).as_str());
                    assert!(named && error.kind() == ErrorKind::Corrupt, "{error}");
                    assert_eq!((there, number), (points, 0));
                }
            }
        }
    }
}

/// Else pruning could wait for ever for a segment that trimming would let go of.
#[test]
fn a_spoiled_segment_is_never_in_the_way_of_both_trimming_and_pruning() {
    let kept = Kept::new(10);
    let (points, _) = left(&kept.target);
    let mut refused = 0;
    for number in kept.numbers() {
        let whole = kept.segment(number);
        for bytes in [Some(Spoil::Flip { bit: 9 }.apply(whole)), None] {
            let target = kept.copy();
            put(&target, number, bytes.as_ref());
            if let Err(error) = prune(&target, Some(WINDOW)) {
                let named = error.to_string().contains(key(number).as_str());
                assert!(named && number > 0 && bytes.is_some(), "{error}");
                refused += 1;
            }
            put(&target, number, Some(whole));
            assert!(left(&target).0 < points, "{number} keeps points from going");
        }
    }
    assert!(refused > 5, "{refused}");
}

/// A cache of which an object is another one when it is read whole, as only who keeps it does. It
/// keeps what is acknowledged.
#[derive(Debug)]
struct Spoiling {
    key: Key,
    bytes: Bytes,
}

impl Hooks for Spoiling {
    fn read(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        match *key == self.key {
            true => Ok(self.bytes.clone()),
            false => store.read(key),
        }
    }

    fn delete(&self, _store: &dyn Store, _key: &Key) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Only damage was found, and another segment of the stream was kept as the one that it was not.
#[test]
fn a_segment_that_is_spoiled_in_the_cache_is_not_kept() {
    const NUMBER: u64 = 2;
    let (intact, other) = (cache(10), cache(20));
    let name = |number| segment_key(&Scenario::group(), &Scenario::stream(), number);
    let whole = intact.read(&name(NUMBER)).unwrap();
    let mut tried = Tried::default();
    let refused = |bytes: Bytes, what: &str| {
        let key = name(NUMBER);
        let spoiling = hooked(Arc::clone(&intact), Spoiling { key, bytes });
        let target = memory();
        let error = keep(spoiling, &target, 30).unwrap_err();
        let named = error.to_string().contains(name(NUMBER).as_str());
        assert!(
            named && error.kind() == ErrorKind::Corrupt,
            "{what}: {error}"
        );
        assert!(target.size(&self::key(NUMBER)).is_err(), "{what} is kept");
        let head = load_head(target.as_ref(), &Scenario::group()).unwrap();
        assert!(head.unwrap().manifest.points.is_empty(), "{what}");
    };
    for spoil in spoils(&whole) {
        refused(spoil.apply(&whole), &format!("{spoil:?}"));
        tried.count(spoil);
    }
    refused(intact.read(&name(1)).unwrap(), "the one before it");
    refused(other.read(&name(NUMBER)).unwrap(), "another history");
    println!("segments to be kept: {tried}");
}
