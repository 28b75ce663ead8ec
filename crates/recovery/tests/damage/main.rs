//! Detect first: whatever is done to the bytes of a stored object, its readers refuse it before one
//! byte of it reaches a disk, a layer or a decision.
//!
//! The objects are small, so that every bit, every length and every pair is tried.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod indexes;
mod readers;
mod world;

use std::sync::Arc;

use afterimage_changelog::{Name, ObjectId, Timestamp};
use afterimage_recovery::{
    Collector, Committer,
    hold::Hold,
    load_head,
    name::{boundary_key, hold_key, layer_key, manifest_key},
};
use afterimage_storage::{Key, Nonces};
use afterimage_testkit::{Spoil, Tried};
use bytes::Bytes;

use crate::world::{World, name};

fn stream_of(key: &Key) -> Name {
    name(key.parts().nth(1).unwrap())
}

/// Everything that can be done to one container: also its frames swapped.
fn container_spoils(bytes: &Bytes) -> Vec<Spoil> {
    let mut all = Spoil::all(bytes);
    all.extend(Spoil::frame_swaps(bytes));
    all
}

#[test]
fn a_spoiled_segment_gives_no_byte() {
    let world = World::new(7);
    let key = *world.keys("/main/").last().unwrap();
    let whole = readers::stream(&world.store(&[]), &name("main"));
    assert_eq!(whole.refused, None);
    let mut tried = Tried::default();
    for spoil in container_spoils(&world.objects[key]) {
        let spoiled = spoil.apply(&world.objects[key]);
        let reading = readers::stream(&world.store(&[(key, &spoiled)]), &name("main"));
        assert!(reading.refuses(key, &whole), "{spoil:?} of {key}");
        tried.count(spoil);
    }
    assert_eq!(tried.swaps, 3);
    println!("segment: {tried}");
}

#[test]
fn a_spoiled_layer_gives_no_byte_and_is_not_verified() {
    let world = World::new(7);
    let key = world.keys(".layer")[0];
    let intact = world.store(&[]);
    let whole = readers::layer(&intact, &world, key);
    assert_eq!((whole.refused.as_ref(), whole.given.len()), (None, 3));
    assert_eq!(readers::verified(&intact, &world, key).refused, None);
    let mut tried = Tried::default();
    for spoil in container_spoils(&world.objects[key]) {
        let spoiled = spoil.apply(&world.objects[key]);
        let store = world.store(&[(key, &spoiled)]);
        let reading = readers::layer(&store, &world, key);
        assert!(reading.refuses(key, &whole), "{spoil:?} of {key}");
        let verified = readers::verified(&store, &world, key);
        assert!(verified.refused.is_some(), "{spoil:?} of {key} is verified");
        tried.count(spoil);
    }
    assert_eq!(tried.swaps, 3);
    println!("layer: {tried}");
}

/// Sectors whose bytes lie in another layer, or in a frame that is whole, may be read; what is read
/// is what was written, and what is spoiled is refused.
#[test]
fn a_point_over_a_spoiled_layer_reads_right_or_not_at_all() {
    let world = World::new(7);
    let key = world.keys(".layer")[0];
    let whole = readers::sectors(&world.store(&[]), &world.unindexed());
    assert!(whole.iter().all(Option::is_some));
    let mut tried = Tried::default();
    for spoil in container_spoils(&world.objects[key]) {
        let spoiled = spoil.apply(&world.objects[key]);
        let sectors = readers::sectors(&world.store(&[(key, &spoiled)]), &world.unindexed());
        let refused = sectors.is_empty() || sectors.iter().any(Option::is_none);
        assert!(refused, "{spoil:?} of {key}");
        let right = sectors
            .iter()
            .zip(&whole)
            .all(|(sector, whole)| sector.is_none() || sector == whole);
        assert!(right, "{spoil:?} of {key} changes what is read");
        tried.count(spoil);
    }
    println!("point: {tried}");
}

#[test]
fn a_replica_takes_no_byte_from_a_spoiled_layer() {
    let world = World::new(7);
    let key = &layer_key(
        &world.head.group,
        world.layers()[1].epoch,
        world.layers()[1].id,
    );
    let (whole, refused) = readers::replica(&world.store(&[]), &world.unindexed());
    assert!(!refused);
    // Three writes of each layer; those of the second lie behind those of the first.
    assert_eq!(whole.len(), 6);
    let mut tried = Tried::default();
    for spoil in container_spoils(&world.objects[key]) {
        let spoiled = spoil.apply(&world.objects[key]);
        let (writes, refused) =
            readers::replica(&world.store(&[(key, &spoiled)]), &world.unindexed());
        assert!(refused, "{spoil:?} of {key}");
        assert!(
            writes.is_empty() || writes == whole[..3],
            "{spoil:?} of {key} reaches the disk"
        );
        tried.count(spoil);
    }
    println!("replica: {tried}");
}

#[test]
fn a_spoiled_manifest_is_no_head_and_breaks_the_chain() {
    let world = World::new(7);
    let whole = readers::chain(&world.store(&[]));
    assert_eq!(whole.refused, None);
    let mut tried = Tried::default();
    for key in world.keys("/manifest/") {
        for spoil in Spoil::all(&world.objects[key]) {
            let spoiled = spoil.apply(&world.objects[key]);
            let reading = readers::chain(&world.store(&[(key, &spoiled)]));
            assert!(reading.refuses(key, &whole), "{spoil:?} of {key}");
            tried.count(spoil);
        }
    }
    let head = *world.keys("/manifest/").last().unwrap();
    for spoil in Spoil::all(&world.objects[head]) {
        let spoiled = spoil.apply(&world.objects[head]);
        let store = world.store(&[(head, &spoiled)]);
        let loaded = load_head(store.as_ref(), &name("shop"));
        assert!(loaded.is_err(), "{spoil:?} of the head");
    }
    println!("manifests: {tried}");
}

/// The manifest is whole, but without its page there is no point that could be relied on.
#[test]
fn a_spoiled_page_of_points_gives_no_head() {
    let world = World::new(7);
    let whole = readers::chain(&world.store(&[]));
    assert_eq!((whole.refused.as_ref(), whole.given.len()), (None, 1));
    assert_eq!((world.head.paged(), world.head.points.len()), (1, 2));
    let mut tried = Tried::default();
    let key = world.keys(".page")[0];
    for spoil in Spoil::all(&world.objects[key]) {
        let spoiled = spoil.apply(&world.objects[key]);
        let store = world.store(&[(key, &spoiled)]);
        assert!(
            readers::chain(&store).refuses(key, &whole),
            "{spoil:?} of {key}"
        );
        let loaded = load_head(store.as_ref(), &name("shop"));
        assert!(loaded.is_err(), "{spoil:?} of {key}");
        tried.count(spoil);
    }
    println!("page of points: {tried}");
}

/// Whoever passed over a hold that is damaged might delete what it holds.
#[test]
fn a_spoiled_hold_is_not_passed_over() {
    let world = World::new(7);
    let whole = readers::holds(&world.store(&[]));
    assert_eq!((whole.refused.as_ref(), whole.given.len()), (None, 1));
    let mut tried = Tried::default();
    let key = world.keys(".hold")[0];
    for spoil in Spoil::all(&world.objects[key]) {
        let spoiled = spoil.apply(&world.objects[key]);
        let reading = readers::holds(&world.store(&[(key, &spoiled)]));
        assert!(reading.refuses(key, &whole), "{spoil:?} of {key}");
        tried.count(spoil);
    }
    println!("hold: {tried}");
}

/// Nothing could be given back until the hold ended that came after a page was collected.
#[test]
fn a_hold_of_a_manifest_whose_page_is_gone_came_too_late() {
    let world = World::new(7);
    let store = world.store(&[]);
    let nonces = Arc::new(Nonces::seeded(8));
    let now = Timestamp(1_800_000_000_000_000);
    let committer = Committer::acquire(Arc::clone(&store), nonces, name("shop"), now).unwrap();
    let hold = Hold {
        id: ObjectId([1; 16]),
        manifest: Some(world.head.number),
        ..Hold::decode(&world.objects[world.keys(".hold")[0]]).unwrap()
    };
    let key = hold_key(&hold.group, hold.id);
    store.create(&key, &[Bytes::from(hold.encode())]).unwrap();
    store.delete(world.keys(".page")[0]).unwrap();
    let head = committer.head();
    let mut collector = Collector::open(Arc::clone(&store), name("shop"), head).unwrap();
    let collected = collector.collect(head, None, now).unwrap();
    // All but the one that the other hold is of.
    assert_eq!(collected.manifests, head.manifest.number - 1);
}

/// A copy of a hold would hold on when the hold is released.
#[test]
fn a_hold_under_another_name_is_refused() {
    let world = World::new(7);
    let key = world.keys(".hold")[0];
    let bytes = &world.objects[key];
    let copy = hold_key(&name("shop"), ObjectId([1; 16]));
    let reading = readers::holds(&world.store(&[(&copy, bytes)]));
    assert!(reading.refused.is_some(), "a copy is a hold");
    let intact = Hold::decode(bytes).unwrap();
    let group = name("depot");
    let foreign = Bytes::from(Hold { group, ..intact }.encode());
    let reading = readers::holds(&world.store(&[(key, &foreign)]));
    assert!(reading.refused.is_some(), "one of another group is a hold");
}

/// A boundary has no bytes, so all that can be done to it is to give it some.
#[test]
fn a_boundary_with_bytes_is_none() {
    let world = World::new(7);
    let key = boundary_key(&name("shop"), 0);
    let reading = readers::chain(&world.store(&[(&key, &Bytes::new())]));
    assert_eq!(reading.refused, None);
    for spoil in Spoil::all(&Bytes::new()) {
        let spoiled = spoil.apply(&Bytes::new());
        let reading = readers::chain(&world.store(&[(&key, &spoiled)]));
        assert!(reading.refused.is_some(), "{spoil:?} of the boundary");
    }
    let manifest = &world.objects[world.keys("/manifest/")[3]];
    let newest = boundary_key(&name("shop"), 3);
    let reading = readers::chain(&world.store(&[(&newest, manifest)]));
    assert!(reading.refused.is_some(), "a manifest ends the chain");
}

/// The record of a replica has two slots that say the same. Where one is spoiled the other one is
/// read, where both are nothing is known. What lies behind a slot's digest means nothing.
#[test]
fn a_spoiled_slot_of_a_replicas_record_is_not_believed() {
    let (_, newer) = readers::standings();
    let record = readers::record();
    assert_eq!(readers::standing(&record), Ok(Some(newer)));
    let mut tried = Tried::default();
    for bit in 0..readers::SLOT_USED_BYTES * 8 {
        let spoil = |slot: usize| Spoil::Flip {
            bit: slot * readers::SLOT_BYTES * 8 + bit,
        };
        let one = [0, 1].map(|slot| spoil(slot).apply(&record));
        for record in &one {
            assert_eq!(readers::standing(record), Ok(Some(newer)), "bit {bit}");
            tried.count(spoil(0));
        }
        let both = spoil(1).apply(&one[0]);
        let is_slack = bit / 8 >= readers::SLOT_DIGEST_END;
        let known = is_slack.then_some(newer);
        assert_eq!(readers::standing(&both), Ok(known), "bit {bit} of both");
        tried.count(spoil(1));
    }
    let last = readers::SLOT_BYTES + readers::SLOT_USED_BYTES;
    for spoil in (0..record.len()).map(|to| Spoil::Truncate { to }) {
        let Spoil::Truncate { to } = spoil else {
            continue;
        };
        let read = readers::standing(&spoil.apply(&record));
        assert_eq!(
            read.ok(),
            (to >= last).then_some(Some(newer)),
            "cut to {to}"
        );
        tried.count(spoil);
    }
    println!("record: {tried}");
}

/// Every object in place of every other one, of its own kind and of others, and as the next one of
/// the manifests; then every two objects in each other's place.
#[test]
fn an_object_in_the_place_of_another_is_refused() {
    let world = World::new(7);
    let empty = Bytes::new();
    let mut replaced = 0;
    for key in world.objects.keys() {
        let others = world.objects.iter().filter(|(other, _)| *other != key);
        let others: Vec<&Bytes> = others.map(|(_, bytes)| bytes).chain([&empty]).collect();
        for other in others {
            check_refused(&world, key, &[(key, other)]);
            replaced += 1;
        }
    }
    let next = manifest_key(&name("shop"), 4);
    for bytes in world.objects.values().chain([&empty]) {
        let store = world.store(&[(&next, bytes)]);
        let head = load_head(store.as_ref(), &name("shop"));
        assert!(head.is_err(), "a copy goes on with the chain");
        replaced += 1;
    }
    let mut swapped = 0;
    let objects: Vec<_> = world.objects.iter().collect();
    for (index, (first, first_bytes)) in objects.iter().enumerate() {
        for (second, second_bytes) in &objects[index + 1..] {
            let both = [(*first, *second_bytes), (*second, *first_bytes)];
            check_refused(&world, first, &both);
            check_refused(&world, second, &both);
            swapped += 1;
        }
    }
    println!("places: {replaced} replacements, {swapped} exchanges tried, undetected 0");
}

/// Objects of another history of the same group: each has the name, the number and the place in the
/// order that it should have, but does not follow what is there.
#[test]
fn an_object_of_another_history_is_refused() {
    let (world, other) = (World::new(7), World::new(8));
    let mut tried = 0;
    for (key, bytes) in &other.objects {
        let is_first = key.as_str().ends_with("/00000000000000000000.seg");
        let is_there = world.objects.contains_key(key);
        // Nothing is before the first segment; whoever follows it tells.
        if is_there && !is_first {
            check_refused(&world, key, &[(key, bytes)]);
            tried += 1;
        }
    }
    // One segment and four manifests: no two layers, indexes, pages or holds have one name.
    assert_eq!(tried, 5);
    let first = world.keys("/main/")[0];
    let store = world.store(&[(first, &other.objects[first])]);
    assert!(readers::stream(&store, &name("main")).refused.is_some());
}

/// Objects of the same names, lengths and ids, each intact, but of other writes: only what names them
/// tells.
#[test]
fn an_object_of_the_same_name_and_id_is_refused() {
    let (world, other) = (World::new(7), World::with_writes(7, 100));
    let mut tried = 0;
    for (key, bytes) in &world.objects {
        let stranger = &other.objects[key];
        assert_eq!(stranger.len(), bytes.len(), "{key}");
        let is_first = key.as_str().ends_with("/00000000000000000000.seg");
        if stranger != bytes && !is_first {
            check_refused(&world, key, &[(key, stranger)]);
            tried += 1;
        }
    }
    // A segment, two layers, two objects of the index, the page, and the manifests behind the first.
    assert_eq!(tried, 9);
}

/// Whatever reads `key` refuses it.
fn check_refused(world: &World, key: &Key, replaced: &[(&Key, &Bytes)]) {
    let (intact, store) = (world.store(&[]), world.store(replaced));
    let readings = if key.as_str().ends_with(".layer") {
        let whole = readers::layer(&intact, world, key);
        let verified = readers::verified(&store, world, key);
        assert!(verified.refused.is_some(), "{key} is verified");
        (readers::layer(&store, world, key), whole)
    } else if key.as_str().ends_with(".index") {
        let read = |store| readers::point(store, &world.head);
        let replica = readers::replica(&store, &world.head);
        assert_eq!(replica, (Vec::new(), true), "{key}");
        assert!(world::merged(&store, &Nonces::seeded(9), &world.head).is_err());
        (read(&store), read(&intact))
    } else if key.as_str().ends_with(".seg") {
        let stream = stream_of(key);
        (
            readers::stream(&store, &stream),
            readers::stream(&intact, &stream),
        )
    } else if key.as_str().ends_with(".hold") {
        (readers::holds(&store), readers::holds(&intact))
    } else {
        (readers::chain(&store), readers::chain(&intact))
    };
    let (reading, whole) = readings;
    assert!(reading.refuses(key, &whole), "another object as {key}");
}
