//! Upkeep of a target that refuses something in the middle of it.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use afterimage_recovery::{
    Committer, IndexLimits, compact::CompactionSettings, name::pruning_prefix,
};
use afterimage_storage::{Entry, Operation, Requests, StoreError, Tail, Upload};
use bytes::Bytes;

use super::{tests::tools, *};
use crate::{
    ingest::IngestParts,
    stages::{
        open,
        tests::{committed, parts, sealed},
    },
};

/// A store that refuses what is asked of some keys, while it is told to.
#[derive(Debug)]
struct Moody {
    inner: Arc<dyn Store>,
    refuses: Mutex<Option<(Operation, &'static str)>>,
    is_billed: bool,
    lists: AtomicU64,
}

impl Moody {
    fn refuse(&self, what: Option<(Operation, &'static str)>) {
        *self.refuses.lock().unwrap() = what;
    }

    fn call(&self, operation: Operation, key: &Key) -> Result<&dyn Store, StoreError> {
        let refuses = self.refuses.lock().unwrap_or_else(PoisonError::into_inner);
        match *refuses {
            Some((refused, part)) if refused == operation && key.as_str().contains(part) => {
                Err(StoreError::new(operation, key, StoreErrorKind::Unavailable))
            }
            _ => Ok(self.inner.as_ref()),
        }
    }
}

impl Store for Moody {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.call(Operation::Create, key)?.create(key, body)
    }
    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.upload(key)
    }
    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.inner.read(key)
    }
    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.read_range(key, range)
    }
    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        self.inner.read_tail(key, bytes_max)
    }
    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.call(Operation::Size, key)?.size(key)
    }
    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let store = self.call(Operation::List, prefix)?;
        store.list(prefix, after, limit)
    }
    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.call(Operation::Delete, key)?.delete(key)
    }
    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        self.inner.settle(prefix)
    }
    fn requests(&self) -> Option<Requests> {
        self.is_billed.then(Requests::default)
    }
}

/// Eight points at a target that refuses nothing yet, and who commits there.
fn moody() -> (Arc<Moody>, IngestParts, Committer) {
    let parts = committed(8);
    let store = Arc::new(Moody {
        inner: Arc::clone(&parts.target),
        refuses: Mutex::default(),
        is_billed: false,
        lists: AtomicU64::default(),
    });
    let parts = IngestParts {
        target: Arc::clone(&store) as Arc<dyn Store>,
        ..parts
    };
    let committer = open(&parts).unwrap().commits.into_committer();
    (store, parts, committer)
}

/// Points go, and nothing else is done.
fn pruning() -> Upkeep {
    Upkeep {
        keep: Some("1s:all".parse().unwrap()),
        ..Upkeep::default()
    }
}

fn head_of(committer: &Committer) -> Arc<Head> {
    Arc::new(committer.head().clone())
}

fn committing(committer: &mut Committer) -> impl FnMut(Change) -> Result<Arc<Head>, Error> {
    |change| Ok(Arc::new(committer.commit(change, Timestamp(9))?.clone()))
}

fn objects(parts: &IngestParts, prefix: &Key) -> usize {
    parts.target.list(prefix, None, usize::MAX).unwrap().len()
}

/// The manifest that dropped the points was there, and the mark was taken back as if it was not.
#[test]
fn a_commit_of_which_it_is_not_known_whether_it_came_too_late_may_count() {
    let (store, parts, mut committer) = moody();
    let head = head_of(&committer);
    let mut maintenance = Maintenance::open(&tools(&parts, pruning()), &head).unwrap();
    let mut commit = |change: Change| {
        if !change.drop.is_empty() {
            store.refuse(Some((Operation::Size, "/epochs")));
        }
        committing(&mut committer)(change)
    };
    let mut tended = Tended::default();
    let ended = maintenance.change_all(true, &mut tended, &mut commit);
    assert!(!is_refused(&ended.unwrap_err()));
    assert!(committer.is_in_doubt());
    store.refuse(None);
    assert_eq!(objects(&parts, &pruning_prefix(&parts.group)), 1);
}

/// Each try to compact left its layers at the target, and nobody tried again.
#[test]
fn what_a_refused_change_brought_goes_and_is_tried_again() {
    let (store, parts, mut committer) = moody();
    let upkeep = Upkeep {
        compact: Some(CompactionSettings {
            runs_max: 2,
            ..CompactionSettings::default()
        }),
        index: IndexLimits {
            fan_out: 2,
            ..IndexLimits::default()
        },
        ..pruning()
    };
    let head = head_of(&committer);
    let mut maintenance = Maintenance::open(&tools(&parts, upkeep), &head).unwrap();
    let mut commit = |change: Change| {
        if !change.replace.is_empty() || !change.indexes.is_empty() {
            store.refuse(Some((Operation::Create, "/manifest/")));
        }
        committing(&mut committer)(change)
    };
    let ended = maintenance.tend_all(&Stop::default(), &mut commit);
    assert!(is_refused(&ended.unwrap_err()));
    let ended = maintenance.change_all(true, &mut Tended::default(), &mut commit);
    assert!(is_refused(&ended.unwrap_err()));
    let named = committer.head().manifest.layers().count();
    assert_eq!(objects(&parts, &Key::new("shop/layers").unwrap()), named);
    assert_eq!(objects(&parts, &Key::new("shop/indexes").unwrap()), 0);
    store.refuse(None);
    let mut commit = committing(&mut committer);
    let tended = maintenance.tend_all(&Stop::default(), &mut commit).unwrap();
    assert!(tended.compacted > 0, "{tended:?}");
}

/// A mark that stayed kept everybody from pinning a point for as long as the worker lived.
#[test]
fn no_mark_stays_where_nothing_was_sent() {
    let (store, parts, mut committer) = moody();
    let head = head_of(&committer);
    let mut maintenance = Maintenance::open(&tools(&parts, pruning()), &head).unwrap();
    let marks = || objects(&parts, &pruning_prefix(&parts.group));
    let mut tended = Tended::default();
    store.refuse(Some((Operation::List, "/holds")));
    let ended = maintenance.change_all(true, &mut tended, &mut committing(&mut committer));
    assert!(ended.is_err() && marks() == 0);
    store.refuse(None);
    let mut gone = |change: Change| match change.drop.is_empty() {
        true => committing(&mut committer)(change),
        false => Err(Error::stopped("nobody commits")),
    };
    let ended = maintenance.change_all(true, &mut tended, &mut gone);
    assert!(ended.is_err() && marks() == 0);
    // Taking it back fails, and does not the next time.
    store.refuse(Some((Operation::Delete, "/pruning")));
    let ended = maintenance.change_all(true, &mut tended, &mut committing(&mut committer));
    assert!(ended.is_err() && marks() == 1);
    store.refuse(None);
    let head = head_of(&committer);
    let ended = maintenance.tend(&head, false, &mut tended, &mut committing(&mut committer));
    assert!(ended.is_ok() && marks() == 0);
    assert!(committer.head().manifest.points.len() < 8);
}

#[test]
fn why_nothing_could_be_changed_is_told_before_why_nothing_was_given_back() {
    let (store, parts, committer) = moody();
    let head = head_of(&committer);
    let mut maintenance = Maintenance::open(&tools(&parts, pruning()), &head).unwrap();
    store.refuse(Some((Operation::Create, "/boundary")));
    let mut commit = |_change| Err(Error::invalid("the first cause"));
    let ended = maintenance.tend(&head, true, &mut Tended::default(), &mut commit);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Points come and go, and nothing is listed for that more than once an hour.
#[test]
fn where_lists_are_billed_pruning_waits_for_its_hour() {
    const SECOND: u64 = 1_000_000;
    let parts = parts(12);
    let store = Arc::new(Moody {
        inner: Arc::clone(&parts.target),
        refuses: Mutex::default(),
        is_billed: true,
        lists: AtomicU64::default(),
    });
    let parts = IngestParts {
        target: Arc::clone(&store) as Arc<dyn Store>,
        ..parts
    };
    let mut stages = open(&parts).unwrap();
    let mut later = sealed(&parts, &mut stages).into_iter();
    let now = Arc::new(AtomicU64::new(1_000_000 * SECOND));
    let clock = Arc::clone(&now);
    let tools = Tools {
        clock: Arc::new(move || Timestamp(clock.load(Ordering::Relaxed))),
        ..tools(&parts, pruning())
    };
    let head = Arc::new(stages.commits.head().clone());
    let mut maintenance = Maintenance::open(&tools, &head).unwrap();
    let mut round = |seconds: u64, points: usize| {
        now.fetch_add(seconds * SECOND, Ordering::Relaxed);
        for part in later.by_ref().take(points) {
            stages.commits.push(part);
        }
        stages.commits.commit().unwrap();
        store.lists.store(0, Ordering::Relaxed);
        let head = Arc::new(stages.commits.head().clone());
        let mut commit = |change| Ok(Arc::new(stages.commits.change(change)?.clone()));
        let mut tended = Tended::default();
        maintenance
            .tend(&head, false, &mut tended, &mut commit)
            .unwrap();
        (tended.pruned > 0, store.lists.load(Ordering::Relaxed))
    };
    assert_eq!(round(1, 4), (true, 1));
    for seconds in [1, 60, 600] {
        assert_eq!(round(seconds, 2), (false, 0));
    }
    assert_eq!(round(3600, 2), (true, 1));
}
