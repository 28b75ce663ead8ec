//! Stopped or failed at any place, a rewrite leaves nothing.

use std::ops::ControlFlow;

use afterimage_recovery::{
    RecoveryErrorKind,
    compact::{Limits, Shape, rewrite, survey},
    name::layer_key,
};
use afterimage_storage::{MemoryStore, Store};
use bytes::Bytes;
use std::sync::Arc;

use crate::world::{Made, SECTORS, World, Write};

/// Three layers whose writes go over each other.
fn world() -> World {
    let made = |step: u64| Made {
        writes: (0..20)
            .map(|number| Write {
                disk: usize::from(number % 3 == 0),
                start: number * step % SECTORS,
                sectors: 6,
                zero: number % 7 == 3,
            })
            .collect(),
        frame_sectors: 16,
        swapped: false,
        sectors: SECTORS + 8,
    };
    World::of(&[made(37), made(53), made(11)])
}

/// Small enough for several windows, batches and layers.
fn limits(shape: Shape) -> Limits {
    Limits {
        window_rows: 9,
        window_bytes: 16 << 10,
        gather_bytes: 4 << 10,
        batch_bytes: 4 << 10,
        frame_bytes: 4 << 10,
        layer_bytes: 12 << 10,
        ..Limits::of(shape)
    }
}

#[test]
fn whoever_stops_it_at_any_call_finds_nothing_new() {
    for shape in [Shape::Merge, Shape::Base] {
        let world = world();
        let before = world.objects();
        let job = world.job(shape, limits(shape));
        let mut calls = 0;
        for stop in 0.. {
            let mut asked = 0;
            let mut pace = |_| {
                asked += 1;
                if asked > stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let done = rewrite(&job, &world.layers, &mut pace).unwrap();
            if let Some(done) = done {
                calls = stop;
                assert!(
                    done.written.layers.len() > 2,
                    "several layers were there to delete"
                );
                break;
            }
            assert!(world.objects() == before, "stopped at call {stop}");
        }
        assert!(calls > 8, "{calls} calls");
    }
}

#[test]
fn a_survey_can_be_stopped() {
    let world = world();
    let limits = limits(Shape::Merge);
    let mut pace = |_| ControlFlow::Break(());
    let surveyed = survey(
        &world.store,
        &world.group,
        &world.layers,
        Shape::Merge,
        &limits,
        &mut pace,
    );
    assert_eq!(surveyed.unwrap(), None);
}

#[test]
fn the_bytes_that_pace_is_told_are_those_that_are_fetched() {
    let world = world();
    let job = world.job(Shape::Merge, limits(Shape::Merge));
    let mut told = 0;
    let mut pace = |bytes| {
        told += bytes;
        ControlFlow::Continue(())
    };
    let done = rewrite(&job, &world.layers, &mut pace).unwrap().unwrap();
    let fetched = done.written.fetched_bytes;
    assert!(
        told >= fetched && told <= fetched + 200 * 24,
        "{told} of {fetched}"
    );
}

#[test]
fn a_damaged_frame_is_met_and_nothing_is_left() {
    let mut world = world();
    let damaged = layer_key(&world.group, world.layers[2].epoch, world.layers[2].id);
    let store = MemoryStore::new();
    for (key, bytes) in world.objects() {
        let mut bytes = bytes.to_vec();
        if key == damaged {
            // The last frame ends where the index begins; the first one begins behind the header.
            bytes[400] ^= 1;
        }
        store.create(&key, &[Bytes::from(bytes)]).unwrap();
    }
    world.store = Arc::new(store);
    let before = world.objects();
    for shape in [Shape::Merge, Shape::Base] {
        let failed = world.rewrite(&world.layers, shape, limits(shape));
        let error = failed.unwrap_err();
        assert!(
            matches!(error.kind, RecoveryErrorKind::Corrupt(_)),
            "{error}"
        );
        assert!(world.objects() == before, "{shape:?}");
    }
}
