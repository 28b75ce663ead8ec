//! The any-write window: the disk after every single write, and nothing beyond the window.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{path::Path, sync::Arc, time::Duration};

use afterimage::{
    ErrorKind, MarkerKind, Moment, Name, Pipeline, Points, RestoreAt, RestoreProgress, Stop, Tend,
    Timestamp, Upkeep,
    cache::{SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, SectorSize, Sequence},
    decisions,
    recovery::retention::Keep,
    storage::{Disk as _, FileDisk, Key, MemoryStore, Nonces, Store},
};
use afterimage_testkit::{PlainDisk, Random};

const DISK_BYTES: u64 = 256 << 10;
const MINUTE: u64 = 60_000_000;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A source whose disk is known after each of its records.
struct Source {
    writer: StreamWriter,
    nonces: Arc<Nonces>,
    random: Random,
    now: u64,
    plain: PlainDisk,
    /// The disk after the record of each sequence; `None` in the middle of a write.
    after: Vec<Option<Vec<u8>>>,
}

impl Source {
    fn new(cache: &Arc<dyn Store>) -> Source {
        let nonces = Arc::new(Nonces::seeded(1));
        let options = WriterOptions {
            group: name("shop"),
            stream: name("main"),
            disks: vec![Disk::new(name("root"), DISK_BYTES, SectorSize::B512).unwrap()],
            limits: SegmentLimits {
                frame_bytes: 4096,
                ..SegmentLimits::default()
            },
            level: 1,
        };
        let writer = StreamWriter::open(Arc::clone(cache), Arc::clone(&nonces), options).unwrap();
        let plain = PlainDisk::new(DISK_BYTES);
        Source {
            writer,
            nonces,
            random: Random::new(7),
            now: 1000 * MINUTE,
            after: vec![Some(plain.bytes().to_vec())],
            plain,
        }
    }

    /// Notes the disk after what was recorded since; only behind the last record is it known.
    fn note(&mut self) {
        let last = usize::try_from(self.writer.last().0).unwrap();
        self.after.resize(last, None);
        self.after.push(Some(self.plain.bytes().to_vec()));
    }

    fn write(&mut self) {
        // Some are larger than a frame, and so several records.
        let most = if self.random.percent(30) { 24 } else { 6 };
        let sectors = 1 + self.random.below(most);
        let start = self.random.below(DISK_BYTES / 512 - sectors);
        let now = Timestamp(self.now);
        if self.random.percent(15) {
            self.writer.zero(0, start, sectors, now).unwrap();
            self.plain.zero(start * 512, sectors * 512);
        } else {
            let mut data = vec![0; usize::try_from(sectors * 512).unwrap()];
            self.random.fill(&mut data);
            self.writer.write(0, start, &data, now).unwrap();
            self.plain.write(start * 512, &data);
        }
        self.note();
    }

    fn mark(&mut self) {
        let cut = ObjectId(self.nonces.next());
        let now = Timestamp(self.now);
        self.writer.mark(MarkerKind::Crash, "", cut, now).unwrap();
        self.note();
    }

    fn seal(&mut self) {
        self.writer.seal().unwrap();
        self.now += MINUTE;
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn replicate(cache: &Arc<dyn Store>, target: &Arc<dyn Store>, rewind: Option<Duration>) {
    let upkeep = Upkeep {
        rewind,
        ..Upkeep::default()
    };
    let pipeline = Pipeline::builder(name("shop"), Arc::clone(cache), Arc::clone(target));
    let pipeline = pipeline.upkeep(upkeep).build().unwrap();
    pipeline.run_once(&mut |_| ()).unwrap();
}

fn at(target: &Arc<dyn Store>, moment: Moment, to: &Path) -> Result<Vec<u8>, afterimage::Error> {
    let points = Points::load(target, &name("shop")).unwrap();
    let restore = RestoreAt {
        moment,
        disk: name("root"),
        to: to.to_owned(),
        overwrite: true,
    };
    restore.run(&points, &RestoreProgress::default(), &Stop::default())?;
    Ok(content(to))
}

fn content(path: &Path) -> Vec<u8> {
    let disk = FileDisk::open(path, false).unwrap();
    let mut bytes = vec![0; usize::try_from(disk.size()).unwrap()];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Twelve minutes of writes, a segment a minute and a marker every other one.
fn history(cache: &Arc<dyn Store>, target: &Arc<dyn Store>, rewind: Option<Duration>) -> Source {
    history_with(cache, target, |_| rewind)
}

/// The same with another window each minute.
fn history_with(
    cache: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    rewind: impl Fn(u64) -> Option<Duration>,
) -> Source {
    let mut source = Source::new(cache);
    for minute in 0..12 {
        for _ in 0..6 {
            source.write();
        }
        if minute % 2 == 1 {
            source.mark();
            source.write();
        }
        source.seal();
        if minute % 3 == 2 {
            replicate(cache, target, rewind(minute));
        }
    }
    source
}

/// The records that can be gone back to.
fn reached(source: &Source, target: &Arc<dyn Store>) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("disk");
    let mut reached = Vec::new();
    for (sequence, expected) in (0..).zip(&source.after) {
        if let Ok(bytes) = at(target, Moment::Record(Sequence(sequence)), &to) {
            assert_eq!(Some(&bytes), expected.as_ref(), "record {sequence}");
            reached.push(sequence);
        }
    }
    reached
}

/// Prunes where no worker runs; gives the points that are left.
fn prune(target: &Arc<dyn Store>, rewind: Option<Duration>) -> Vec<u64> {
    let keep: Keep = "1m:all".parse().unwrap();
    let decided = decisions(target, &name("shop"), Some(&keep)).unwrap();
    let upkeep = Upkeep {
        keep: Some(keep),
        rewind,
        ..Upkeep::default()
    };
    let tend = Tend::new(Arc::clone(target), name("shop"), upkeep);
    tend.run(&Stop::default()).unwrap();
    let points = Points::load(target, &name("shop")).unwrap();
    let left: Vec<u64> = points.list().iter().map(|point| point.id).collect();
    let stay = decided.iter().filter(|(_, decision)| decision.keep);
    let (stay, why): (Vec<u64>, Vec<String>) = stay
        .map(|(point, decision)| (point.id, decision.reason.to_string()))
        .unzip();
    assert_eq!(left, stay, "what is said is what is done");
    assert_eq!(why, ["in use by the window of single writes", "newest"]);
    left
}

/// `prune` knows of no window, and let the point go that the writes were reached from which a worker
/// kept.
#[test]
fn pruning_without_a_window_leaves_the_one_that_another_worker_keeps() {
    let (cache, target) = (memory(), memory());
    let source = history(&cache, &target, Some(Duration::from_hours(1)));
    let before = reached(&source, &target);
    assert!(before.len() > 40, "{before:?}");
    assert_eq!(prune(&target, None), [1, 6]);
    assert_eq!(reached(&source, &target), before);
}

/// The window was to reach further back than segments had been kept yet, so the point that was held
/// was one that no write is reached from, and the one that they are reached from went.
#[test]
fn a_window_that_has_begun_lately_is_reached_from_its_first_segment() {
    let (cache, target) = (memory(), memory());
    let rewind = Some(Duration::from_hours(10));
    let source = history_with(&cache, &target, |minute| rewind.filter(|_| minute > 5));
    let mut before = reached(&source, &target);
    assert_eq!(prune(&target, rewind).len(), 2);
    // Two points before the window, which went.
    assert_eq!(before.drain(..2).collect::<Vec<_>>(), [14, 29]);
    assert!(before.len() > 20, "{before:?}");
    assert_eq!(reached(&source, &target), before);
}

#[test]
fn the_disk_after_every_single_write_can_be_had() {
    let (cache, target) = (memory(), memory());
    let source = history(&cache, &target, Some(Duration::from_hours(1)));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("disk");
    let (mut whole, mut middle) = (0, 0);
    for (sequence, expected) in (0..).zip(&source.after).skip(1) {
        let got = at(&target, Moment::Record(Sequence(sequence)), &to);
        match (got, expected) {
            // The first point is behind the first records: there is nothing to begin from.
            (Err(error), _) if error.to_string().contains("no point that is left") => {}
            (Ok(bytes), Some(expected)) => {
                whole += 1;
                assert!(bytes == *expected, "record {sequence}");
            }
            (Err(error), None) => {
                middle += 1;
                assert_eq!(error.kind(), ErrorKind::Invalid);
                assert!(error.to_string().contains("part of a write"), "{error}");
            }
            (Ok(_), None) => panic!("record {sequence} is in the middle of a write"),
            (Err(error), Some(_)) => panic!("record {sequence}: {error}"),
        }
    }
    assert!(whole > 40 && middle > 10, "{whole} and {middle}");
}

/// Of a time only that is taken of which it is known that it was written by then.
#[test]
fn a_time_gives_nothing_that_was_written_after_it() {
    let (cache, target) = (memory(), memory());
    let source = history(&cache, &target, Some(Duration::from_hours(1)));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("disk");
    // The marker of the sixth minute, and then the writes of that minute behind it.
    let time = Timestamp(1005 * MINUTE);
    let bytes = at(&target, Moment::Time(time), &to).unwrap();
    let held = source
        .after
        .iter()
        .position(|after| after.as_deref() == Some(&bytes[..]));
    let late = at(&target, Moment::Time(Timestamp(time.0 + MINUTE)), &to).unwrap();
    let later = source
        .after
        .iter()
        .position(|after| after.as_deref() == Some(&late[..]));
    assert!(held.unwrap() < later.unwrap());
    let early = at(&target, Moment::Time(Timestamp(1)), &to).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Invalid);
}

#[test]
fn segments_leave_the_target_when_they_leave_the_window() {
    let (cache, target) = (memory(), memory());
    let source = history(&cache, &target, Some(Duration::from_mins(4)));
    let prefix = Key::new("shop/kept").unwrap();
    let kept = target.list(&prefix, None, 100).unwrap();
    assert!((4..8).contains(&kept.len()), "{}", kept.len());
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("disk");
    let last = u64::try_from(source.after.len() - 1).unwrap();
    let newest = at(&target, Moment::Record(Sequence(last - 8)), &to);
    if let (Ok(bytes), Some(expected)) = (newest, source.after[source.after.len() - 9].as_ref()) {
        assert!(bytes == *expected);
    }
    let error = at(&target, Moment::Record(Sequence(20)), &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("kept are the records"),
        "{error}"
    );
    // Without the window the next worker gives all of it back.
    replicate(&cache, &target, None);
    let mut source = source;
    source.write();
    source.mark();
    source.seal();
    replicate(&cache, &target, None);
    assert_eq!(target.list(&prefix, None, 100).unwrap(), []);
}

#[test]
fn a_kept_segment_that_is_damaged_or_missing_is_refused() {
    let (cache, target) = (memory(), memory());
    history(&cache, &target, Some(Duration::from_hours(1)));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("disk");
    let prefix = Key::new("shop/kept").unwrap();
    let kept = target.list(&prefix, None, 100).unwrap();
    let moment = Moment::Record(Sequence(60));
    assert!(
        at(&target, moment, &to).is_ok() || at(&target, Moment::Record(Sequence(61)), &to).is_ok()
    );
    for entry in &kept {
        let bytes = target.read(&entry.key).unwrap();
        for spoiled in [None, Some(bytes.len() / 2), Some(bytes.len() - 50)] {
            target.delete(&entry.key).unwrap();
            if let Some(place) = spoiled {
                let mut damaged = bytes.to_vec();
                damaged[place] ^= 1;
                target.create(&entry.key, &[damaged.into()]).unwrap();
            }
            for sequence in [60, 61, 62] {
                let before = content(&to);
                let got = at(&target, Moment::Record(Sequence(sequence)), &to);
                assert!(got.is_ok() || content(&to) == before, "{}", entry.key);
                // A frame that this write does not need may be damaged.
                let kind = got.as_ref().map_err(afterimage::Error::kind);
                let is_needed = spoiled != Some(bytes.len() / 2);
                assert!(!is_needed || kind.is_err(), "{}", entry.key);
            }
            target.delete(&entry.key).unwrap();
            target
                .create(&entry.key, std::slice::from_ref(&bytes))
                .unwrap();
        }
    }
}
