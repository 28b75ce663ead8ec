//! The contract of [`Store`], as a suite that every store runs.
//!
//! Each function checks a few sentences of the trait's docs against a fresh store.

use std::{
    ops::Range,
    sync::{Arc, Barrier},
    thread,
};

use afterimage_storage::{Effect, Entry, Key, Store, StoreError, StoreErrorKind, Upload};
use bytes::Bytes;

use crate::random::Random;

/// An empty list.
const NOTHING: [&str; 0] = [];
/// Creates that race for one name.
const RACERS: u8 = 32;

/// Checks that the stores which `make` returns, each a fresh one, keep the contract of [`Store`].
///
/// # Panics
///
/// Where they do not.
pub fn store_conformance(make: &dyn Fn() -> Arc<dyn Store>) {
    let checks: [fn(&dyn Store); 15] = [
        a_created_object_reads_back_whole,
        a_name_that_is_taken_stays_as_it_was,
        racing_creates_have_one_winner,
        racing_uploads_have_one_winner,
        an_upload_is_invisible_until_it_is_finished,
        a_large_upload_is_like_a_small_one,
        a_dropped_upload_leaves_nothing,
        ranges_are_exact_or_refused,
        tails_tell_the_size,
        a_missing_object_is_not_found,
        lists_are_ascending_and_complete,
        lists_take_up_after_a_key_and_stop_at_a_limit,
        neighbours_are_not_below_a_prefix,
        deletes_are_idempotent_and_free_the_name,
        settle_keeps_what_is_visible,
    ];
    for check in checks {
        check(make().as_ref());
    }
}

fn a_created_object_reads_back_whole(store: &dyn Store) {
    let bodies: [Vec<Bytes>; 6] = [
        vec![],
        vec![Bytes::new()],
        vec![Bytes::from_static(b"one")],
        vec![
            Bytes::from_static(b"one"),
            Bytes::new(),
            Bytes::from_static(b"two"),
        ],
        // More pieces than a system call takes.
        (0..3000).map(|_| noise(3, 3)).collect(),
        vec![noise(1, 100_000), noise(2, 3_000_001)],
    ];
    for (number, body) in bodies.iter().enumerate() {
        let key = key(&format!("whole/{number}"));
        store.create(&key, body).expect("the name is free");
        let expected = body.concat();
        assert!(read(store, &key) == expected, "the body of {key}");
        assert_eq!(size(store, &key), width(&expected), "the size of {key}");
    }
}

fn a_name_that_is_taken_stays_as_it_was(store: &dyn Store) {
    let key = key("taken/a");
    store
        .create(&key, &[text("first")])
        .expect("the name is free");

    let refusal = store.create(&key, &[text("the second")]);
    refused(refusal, StoreErrorKind::AlreadyExists, "a second create");
    assert_eq!(read(store, &key), "first");

    let refusal = uploaded(store, &key, &["the third"]);
    refused(
        refusal,
        StoreErrorKind::AlreadyExists,
        "an upload over an object",
    );
    assert_eq!(read(store, &key), "first");

    // The same bytes are refused too: only the nonce in them tells whose they are.
    let refusal = store.create(&key, &[text("first")]);
    refused(
        refusal,
        StoreErrorKind::AlreadyExists,
        "a create of equal bytes",
    );
}

fn racing_creates_have_one_winner(store: &dyn Store) {
    let create = |key: &Key, body: &Bytes| store.create(key, std::slice::from_ref(body));
    race(store, &key("race/created"), &create);
}

fn racing_uploads_have_one_winner(store: &dyn Store) {
    let upload = |key: &Key, body: &Bytes| {
        let mut upload = store.upload(key)?;
        upload.write(body.clone())?;
        upload.finish()
    };
    race(store, &key("race/uploaded"), &upload);
}

fn race(
    store: &dyn Store,
    key: &Key,
    create: &(dyn Fn(&Key, &Bytes) -> Result<(), StoreError> + Sync),
) {
    let start = Barrier::new(usize::from(RACERS));
    let outcomes: Vec<(u8, Result<(), StoreError>)> = thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS)
            .map(|racer| {
                let start = &start;
                scope.spawn(move || {
                    let body = Bytes::from(vec![racer; 10_000 + usize::from(racer)]);
                    start.wait();
                    (racer, create(key, &body))
                })
            })
            .collect();
        let joined = racers.into_iter().map(|racer| racer.join());
        joined
            .map(|outcome| outcome.expect("a racer returns"))
            .collect()
    });

    let mut winners = Vec::new();
    for (racer, outcome) in outcomes {
        match outcome {
            Ok(()) => winners.push(racer),
            Err(error) => refused::<()>(Err(error), StoreErrorKind::AlreadyExists, "a lost race"),
        }
    }
    let [winner] = winners.as_slice() else {
        panic!("of {RACERS} racing creates these won: {winners:?}");
    };
    let content = read(store, key);
    assert_eq!(
        content.len(),
        10_000 + usize::from(*winner),
        "the winner's body"
    );
    assert!(
        content.iter().all(|byte| byte == winner),
        "the winner's body"
    );
}

fn an_upload_is_invisible_until_it_is_finished(store: &dyn Store) {
    let key = key("upload/a");
    let mut upload = begun(store, &key);
    let mut expected = Vec::new();
    for seed in 0..40 {
        let piece = noise(seed, 70_000);
        expected.extend_from_slice(&piece);
        upload.write(piece).expect("the upload takes bytes");
    }
    absent(store, &key, "before it is finished");
    assert_eq!(
        listed(store, "upload", None, 10),
        NOTHING,
        "before it is finished"
    );

    upload.finish().expect("the name is free");
    assert!(read(store, &key) == expected, "the body of an upload");

    let empty = self::key("upload/empty");
    begun(store, &empty).finish().expect("the name is free");
    assert_eq!(size(store, &empty), 0);

    // The name is not reserved: whoever finishes first has it.
    let contested = self::key("upload/contested");
    let late = begun(store, &contested);
    store
        .create(&contested, &[text("early")])
        .expect("an upload reserves nothing");
    refused(
        late.finish(),
        StoreErrorKind::AlreadyExists,
        "a late finish",
    );
    assert_eq!(read(store, &contested), "early");
}

/// Remote stores send these in parts.
fn a_large_upload_is_like_a_small_one(store: &dyn Store) {
    let key = key("large/a");
    let piece = noise(11, 3 << 20);
    let upload = |pieces: usize| {
        let mut upload = begun(store, &key);
        for _ in 0..pieces {
            upload.write(piece.clone()).expect("the upload takes bytes");
        }
        upload
    };
    let (first, second) = (upload(7), upload(6));
    absent(store, &key, "before it is finished");
    first.finish().expect("the name is free");
    let refusal = second.finish();
    refused(
        refusal,
        StoreErrorKind::AlreadyExists,
        "a large upload that came late",
    );
    let whole = read(store, &key);
    assert_eq!(whole.len(), 7 * piece.len(), "the size of a large upload");
    assert!(whole.chunks(piece.len()).all(|found| found == piece));
    assert_eq!(listed(store, "large", None, 10), ["large/a"]);

    let dropped = self::key("large/dropped");
    let mut upload = begun(store, &dropped);
    for _ in 0..5 {
        upload.write(piece.clone()).expect("the upload takes bytes");
    }
    drop(upload);
    absent(store, &dropped, "a large upload that was dropped");
}

fn a_dropped_upload_leaves_nothing(store: &dyn Store) {
    let key = key("dropped/a");
    let mut upload = begun(store, &key);
    upload
        .write(noise(1, 3_000_000))
        .expect("the upload takes bytes");
    drop(upload);
    absent(store, &key, "a dropped upload");
    assert_eq!(listed(store, "dropped", None, 10), NOTHING);
    store
        .create(&key, &[text("after")])
        .expect("the name is free");
}

fn ranges_are_exact_or_refused(store: &dyn Store) {
    let body = noise(5, 70_001);
    let key = key("range/a");
    store
        .create(&key, std::slice::from_ref(&body))
        .expect("the name is free");
    let size = width(&body);
    let edges = [0, 1, 4095, 4096, 4097, 65_536, size - 1, size];
    for start in edges {
        for end in edges.into_iter().filter(|&end| end >= start) {
            let found = store
                .read_range(&key, start..end)
                .expect("it is within the object");
            assert!(
                found == body.slice(narrow(start)..narrow(end)),
                "bytes {start}..{end}"
            );
        }
    }
    let backwards = Range { start: 5, end: 4 };
    for beyond in [
        0..size + 1,
        size..size + 1,
        size + 1..size + 1,
        0..u64::MAX,
        backwards,
    ] {
        let what = format!("{beyond:?} of {size} bytes");
        refused(store.read_range(&key, beyond), StoreErrorKind::Range, &what);
    }

    let empty = self::key("range/empty");
    store.create(&empty, &[]).expect("the name is free");
    assert_eq!(
        store
            .read_range(&empty, 0..0)
            .expect("it is within the object"),
        ""
    );
    refused(
        store.read_range(&empty, 0..1),
        StoreErrorKind::Range,
        "1 of 0 bytes",
    );
}

fn tails_tell_the_size(store: &dyn Store) {
    let body = noise(6, 70_001);
    let key = key("tail/a");
    store
        .create(&key, std::slice::from_ref(&body))
        .expect("the name is free");
    for bytes_max in [0, 1, 4096, 65_536, 70_000, 70_001, 70_002, u64::MAX] {
        let tail = store.read_tail(&key, bytes_max).expect("it exists");
        assert_eq!(tail.size, width(&body));
        let keep = narrow(bytes_max.min(width(&body)));
        assert!(
            tail.bytes == body.slice(body.len() - keep..),
            "the last {bytes_max} bytes"
        );
    }
    let empty = self::key("tail/empty");
    store.create(&empty, &[]).expect("the name is free");
    let tail = store.read_tail(&empty, 10).expect("it exists");
    assert_eq!((tail.size, tail.bytes), (0, Bytes::new()));
}

fn a_missing_object_is_not_found(store: &dyn Store) {
    absent(store, &key("missing"), "in an empty store");
    absent(store, &key("missing/a/b"), "in an empty store");
    store
        .create(&key("missing/a/b"), &[text("x")])
        .expect("the name is free");
    absent(store, &key("missing/a/c"), "beside an object");
    absent(store, &key("missing/a/b/c"), "below an object");
    absent(store, &key("missing/a"), "above an object");
}

/// The names sort by all their bytes, not part by part: `-` and `.` come before `/`, digits after.
const NAMES: [&str; 11] = [
    "list/a-b/x",
    "list/a-b/y",
    "list/a.b",
    "list/a/b/c/d/e/f/g",
    "list/a/b0",
    "list/a0",
    "list/a0-",
    "list/aa/1",
    "list/aa/10",
    "list/aa/2",
    "list/z",
];

fn fill(store: &dyn Store) {
    // Created out of order, so that a store cannot pass by keeping the order of creation.
    let turns = (0..NAMES.len()).map(|turn| turn * 7 % NAMES.len());
    for name in turns.filter_map(|turn| NAMES.get(turn)) {
        let body = Bytes::from_static(name.as_bytes());
        store.create(&key(name), &[body]).expect("the name is free");
    }
    // Around them, so that a list has where to begin and to end.
    for name in ["aside/x", "lis0", "list-", "list0", "zoo/x"] {
        store.create(&key(name), &[]).expect("the name is free");
    }
}

fn lists_are_ascending_and_complete(store: &dyn Store) {
    assert_eq!(listed(store, "list", None, 100), NOTHING, "an empty store");
    fill(store);
    assert_eq!(listed(store, "list", None, 100), NAMES);
    for entry in list(store, "list", None, usize::MAX) {
        let expected = width(entry.key.as_str().as_bytes());
        assert_eq!(entry.size, expected, "the size of {}", entry.key);
    }
    assert_eq!(
        listed(store, "nothing", None, 100),
        NOTHING,
        "a prefix that does not exist"
    );
    assert_eq!(
        listed(store, "list/z", None, 100),
        NOTHING,
        "below an object"
    );
    assert_eq!(
        listed(store, "list/z/y", None, 100),
        NOTHING,
        "far below an object"
    );
}

fn lists_take_up_after_a_key_and_stop_at_a_limit(store: &dyn Store) {
    fill(store);
    let afters = [
        "0",
        "list",
        "list/a",
        "list/a-",
        "list/a-b",
        "list/a-b/x0",
        "list/a.b.c",
        "list/a/b/c",
        "list/a/b/c/d/e/f/g",
        "list/a/b/z",
        "list/a1",
        "list/b/c",
        "list/z",
        "z",
    ];
    for after in afters.into_iter().chain(NAMES) {
        for limit in [0, 1, 2, 3, 100] {
            let expected = NAMES.into_iter().filter(|name| *name > after).take(limit);
            let expected: Vec<&str> = expected.collect();
            let found = listed(store, "list", Some(after), limit);
            assert_eq!(found, expected, "at most {limit} after {after}");
        }
    }
}

fn neighbours_are_not_below_a_prefix(store: &dyn Store) {
    fill(store);
    let expected = ["list/a/b/c/d/e/f/g", "list/a/b0"];
    assert_eq!(listed(store, "list/a", None, 100), expected);
    assert_eq!(listed(store, "list/a", Some("list/a-b/y"), 100), expected);
    assert_eq!(listed(store, "list/a", Some("list/a0"), 100), NOTHING);
    assert_eq!(listed(store, "list/a/b", None, 100), ["list/a/b/c/d/e/f/g"]);
    assert_eq!(listed(store, "list/aa", None, 1), ["list/aa/1"]);
    assert_eq!(listed(store, "lis", None, 100), NOTHING);
}

fn deletes_are_idempotent_and_free_the_name(store: &dyn Store) {
    let key = key("delete/a");
    store
        .delete(&key)
        .expect("deleting what is not there is no error");
    store
        .create(&key, &[text("first")])
        .expect("the name is free");
    store
        .create(&self::key("delete/b"), &[text("stays")])
        .expect("the name is free");
    let held = read(store, &key);
    store.delete(&key).expect("it can be deleted");
    absent(store, &key, "after the delete");
    assert_eq!(listed(store, "delete", None, 10), ["delete/b"]);
    assert_eq!(
        held, "first",
        "bytes outlive the object they were read from"
    );
    store.delete(&key).expect("deleting it again is no error");
    store
        .create(&key, &[text("second")])
        .expect("the name is free again");
    assert_eq!(read(store, &key), "second");
}

fn settle_keeps_what_is_visible(store: &dyn Store) {
    store
        .settle(&key("settle"))
        .expect("nothing to settle is no error");
    fill(store);
    store.settle(&key("list")).expect("it can be settled");
    store
        .settle(&key("list/z"))
        .expect("an object can be settled");
    assert_eq!(listed(store, "list", None, 100), NAMES);
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the suite names objects well")
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn noise(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    Random::new(seed).fill(&mut bytes);
    Bytes::from(bytes)
}

fn read(store: &dyn Store, key: &Key) -> Bytes {
    let read = store.read(key);
    read.unwrap_or_else(|error| panic!("reading {key} failed: {error}"))
}

fn size(store: &dyn Store, key: &Key) -> u64 {
    let size = store.size(key);
    size.unwrap_or_else(|error| panic!("the size of {key} failed: {error}"))
}

fn begun(store: &dyn Store, key: &Key) -> Box<dyn Upload> {
    store.upload(key).expect("an upload can begin")
}

/// An upload over a name that is taken may be refused at its start or at its end.
fn uploaded(store: &dyn Store, key: &Key, pieces: &[&'static str]) -> Result<(), StoreError> {
    let mut upload = store.upload(key)?;
    for piece in pieces {
        upload.write(text(piece))?;
    }
    upload.finish()
}

fn list(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Entry> {
    let after = after.map(key);
    let listed = store.list(&key(prefix), after.as_ref(), limit);
    listed.unwrap_or_else(|error| panic!("listing {prefix} failed: {error}"))
}

fn listed(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let entries = list(store, prefix, after, limit).into_iter();
    entries.map(|entry| entry.key.to_string()).collect()
}

fn absent(store: &dyn Store, key: &Key, when: &str) {
    let what = format!("{key} {when}");
    refused(store.read(key), StoreErrorKind::NotFound, &what);
    refused(store.read_range(key, 0..1), StoreErrorKind::NotFound, &what);
    refused(store.read_tail(key, 1), StoreErrorKind::NotFound, &what);
    refused(store.size(key), StoreErrorKind::NotFound, &what);
}

fn refused<T>(outcome: Result<T, StoreError>, kind: StoreErrorKind, what: &str) {
    match outcome {
        Ok(_) => panic!("{what}: it was not refused with {kind:?}"),
        Err(error) => {
            assert_eq!(error.kind, kind, "{what}: {error}");
            assert_eq!(error.effect, Effect::None, "{what}: {error}");
        }
    }
}

fn width(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("usize is at most 64 bits")
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).expect("the suite has small objects")
}
