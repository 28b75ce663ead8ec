//! Merged indexes: where one is spoiled, whoever reads by it reads right or not at all, and no other
//! index is made of it.

use std::sync::Arc;

use afterimage_storage::{Key, Nonces, Store};
use afterimage_testkit::{Spoil, Tried};

use crate::{
    check_refused, container_spoils,
    readers::{self, Reading},
    world::{World, merged},
};

/// What the newest point holds, and the same read from its layers.
fn whole(world: &World) -> Reading {
    let whole = readers::point(&world.store(&[]), &world.head);
    assert_eq!((whole.refused.as_ref(), whole.given.len()), (None, 64));
    assert_eq!(readers::point(&world.store(&[]), &world.unindexed()), whole);
    whole
}

#[test]
fn a_point_read_by_a_spoiled_index_gives_no_byte() {
    let world = World::new(7);
    let whole = whole(&world);
    let mut tried = Tried::default();
    for key in world.keys(".index") {
        for spoil in Spoil::all(&world.objects[key]) {
            let spoiled = spoil.apply(&world.objects[key]);
            let reading = readers::point(&world.store(&[(key, &spoiled)]), &world.head);
            let refused = reading.refuses(key, &whole) && reading.names(key);
            assert!(refused, "{spoil:?} of {key}: {:?}", reading.refused);
            tried.count(spoil);
        }
    }
    println!("index: {tried}");
}

/// The rows of disk `root` lie in both objects of the index.
#[test]
fn a_replica_takes_no_byte_by_a_spoiled_index() {
    let world = World::new(7);
    let (whole, refused) = readers::replica(&world.store(&[]), &world.head);
    assert!(!refused);
    assert_eq!(whole.len(), 6);
    let mut tried = Tried::default();
    for key in world.keys(".index") {
        for spoil in Spoil::all(&world.objects[key]) {
            let spoiled = spoil.apply(&world.objects[key]);
            let (writes, refused) = readers::replica(&world.store(&[(key, &spoiled)]), &world.head);
            assert!(refused, "{spoil:?} of {key}");
            let right = whole.starts_with(&writes) && writes.len() < whole.len();
            assert!(right, "{spoil:?} of {key} reaches the disk");
            tried.count(spoil);
        }
    }
    println!("replica by index: {tried}");
}

/// An index says where the frames of a layer lie, so the layer itself is not opened: what is spoiled
/// beside the frames is not met, and a frame that is spoiled is refused.
#[test]
fn a_point_read_by_an_index_over_a_spoiled_layer_reads_right_or_not_at_all() {
    let world = World::new(7);
    let whole = readers::sectors(&world.store(&[]), &world.head);
    assert!(whole.iter().all(Option::is_some));
    let mut tried = Tried::default();
    for key in world.keys(".layer") {
        let mut refused = 0;
        for spoil in container_spoils(&world.objects[key]) {
            let spoiled = spoil.apply(&world.objects[key]);
            let sectors = readers::sectors(&world.store(&[(key, &spoiled)]), &world.head);
            assert_eq!(sectors.len(), whole.len());
            let mut pairs = sectors.iter().zip(&whole);
            let right = pairs.all(|(sector, whole)| sector.is_none() || sector == whole);
            assert!(right, "{spoil:?} of {key} changes what is read");
            refused += u64::from(sectors.iter().any(Option::is_none));
            tried.count(spoil);
        }
        // Three frames, two of them of 512 bytes each.
        assert!(refused > 8 * 1024, "{refused} of {key}");
    }
    println!("layers by index: {tried}");
}

fn indexes(store: &Arc<dyn Store>) -> usize {
    let prefix = Key::new("shop/indexes").unwrap();
    store.list(&prefix, None, usize::MAX).unwrap().len()
}

#[test]
fn no_index_is_made_of_a_spoiled_one() {
    let world = World::new(7);
    assert!(merged(&world.store(&[]), &Nonces::seeded(9), &world.head).is_ok());
    let mut tried = Tried::default();
    for key in world.keys(".index") {
        for spoil in Spoil::all(&world.objects[key]) {
            let spoiled = spoil.apply(&world.objects[key]);
            let store = world.store(&[(key, &spoiled)]);
            let made = merged(&store, &Nonces::seeded(9), &world.head);
            let error = made.map(|_| ()).expect_err("an index is made of it");
            let error = error.to_string();
            assert!(error.contains(key.as_str()), "{spoil:?} of {key}: {error}");
            assert_eq!(indexes(&store), 2, "{spoil:?} of {key}");
            tried.count(spoil);
        }
    }
    println!("index of indexes: {tried}");
}

/// An index holds no payload, so whether that of a layer is whole does not matter to it.
#[test]
fn an_index_made_of_a_spoiled_layer_is_right_or_none() {
    let world = World::new(7);
    let manifest = world.unindexed();
    let whole = merged(&world.store(&[]), &Nonces::seeded(9), &manifest).unwrap();
    let mut tried = Tried::default();
    for key in world.keys(".layer") {
        let mut refused = 0;
        for spoil in container_spoils(&world.objects[key]) {
            let spoiled = spoil.apply(&world.objects[key]);
            let store = world.store(&[(key, &spoiled)]);
            match merged(&store, &Nonces::seeded(9), &manifest) {
                Ok(index) => assert_eq!(index, whole, "{spoil:?} of {key}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.contains(key.as_str()), "{spoil:?} of {key}: {error}");
                    assert_eq!(indexes(&store), 2, "{spoil:?} of {key}");
                    refused += 1;
                }
            }
            tried.count(spoil);
        }
        assert!(refused > 1000, "{refused} of {key}");
    }
    println!("index of layers: {tried}");
}

#[test]
fn an_index_that_is_missing_or_of_another_history_is_refused() {
    let (world, other) = (World::new(7), World::new(8));
    let whole = whole(&world);
    let (ours, theirs) = (world.keys(".index"), other.keys(".index"));
    for (key, stranger) in ours.into_iter().zip(theirs) {
        assert_ne!(key, stranger);
        check_refused(&world, key, &[(key, &other.objects[stranger])]);
        let store = world.store(&[]);
        store.delete(key).unwrap();
        let reading = readers::point(&store, &world.head);
        assert!(reading.refuses(key, &whole) && reading.names(key), "{key}");
        let (writes, refused) = readers::replica(&store, &world.head);
        assert!(refused && writes.is_empty(), "{key}");
        assert!(merged(&store, &Nonces::seeded(9), &world.head).is_err());
    }
}
