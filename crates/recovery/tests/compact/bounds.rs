//! Memory, dead bytes, and that rewriting comes to an end.

use afterimage_recovery::{
    LayerRef,
    compact::{CompactionSettings, LayerSurvey, Limits, Shape, Survey, plan},
};
use proptest::prelude::*;

use crate::world::{Made, World, Write};

/// Writes of 4 KiB all over a disk, in frames of 64 KiB; `lap` tells layers apart.
fn scattered(writes: u64, disk_sectors: u64, lap: u64) -> Made {
    let slots = disk_sectors / 8;
    let write = |number: u64| Write {
        disk: 0,
        start: (number * 7919 + lap * 31) % slots * 8,
        sectors: 8,
        zero: false,
    };
    Made {
        writes: (0..writes).map(write).collect(),
        frame_sectors: 128,
        swapped: false,
        sectors: disk_sectors,
    }
}

fn sum(survey: &Survey, of: impl Fn(&LayerSurvey) -> u64) -> u64 {
    survey.layers.iter().map(of).sum()
}

/// Rewrites what the plan says until it says nothing; gives how often.
fn compact(world: &mut World, shape: Shape, settings: &CompactionSettings) -> usize {
    for turn in 0.. {
        let survey = world.survey(&world.layers, shape);
        let Some(plan) = plan(&survey, settings) else {
            return turn;
        };
        let part = &world.layers[plan.layers.clone()];
        let rewritten = world.rewrite(part, plan.shape, Limits::of(plan.shape));
        let with: Vec<LayerRef> = rewritten.unwrap().written.layers;
        world.layers.splice(plan.layers, with);
        assert!(turn < 8, "it does not come to an end");
    }
    unreachable!("the turns are counted")
}

/// Four times the layers' bytes need no more memory. The windows are small, so that there are many.
#[test]
fn memory_does_not_grow_with_the_layers() {
    for shape in [Shape::Merge, Shape::Base] {
        let limits = Limits {
            window_rows: 256,
            window_bytes: 256 << 10,
            gather_bytes: 64 << 10,
            batch_bytes: 64 << 10,
            layer_bytes: 512 << 10,
            layer_rows: 512,
            ..Limits::of(shape)
        };
        let held = |laps: u64| {
            let sectors = 2048 * laps;
            let made: Vec<Made> = (0..3)
                .map(|lap| scattered(200 * laps, sectors, lap))
                .collect();
            let world = World::of(&made);
            let rewritten = world.rewrite(&world.layers, shape, limits).unwrap();
            assert!(rewritten.written.layers.len() > 1);
            assert!(rewritten.held_bytes_max <= limits.held_bytes_max());
            rewritten.held_bytes_max
        };
        let (small, large) = (held(4), held(16));
        assert!(large <= small + small / 4, "{shape:?}: {small} and {large}");
    }
}

/// Of what was written at most an eighth is dead, and nothing of what was live is lost.
#[test]
fn few_dead_bytes_are_left() {
    for shape in [Shape::Merge, Shape::Base] {
        for writes in [300, 1000, 3000] {
            let made: Vec<Made> = (0..4).map(|lap| scattered(writes, 8192, lap)).collect();
            let world = World::of(&made);
            let before = world.survey(&world.layers, shape);
            let rewritten = world.rewrite(&world.layers, shape, Limits::of(shape));
            let after = world.survey(&rewritten.unwrap().written.layers, shape);
            let stored = sum(&after, |layer| layer.stored_bytes);
            let live = sum(&after, |layer| layer.live_stored_bytes);
            let frames = stored / 4096 + 1;
            assert!((stored - live) * 8 <= stored + frames, "{live} of {stored}");
            let bytes = |survey: &Survey| sum(survey, |layer| layer.live_bytes);
            assert_eq!(bytes(&after), bytes(&before));
            let rows = |survey: &Survey| sum(survey, |layer| layer.rows);
            assert!(rows(&after) <= rows(&before));
        }
    }
}

/// What a survey says of a list is what counting by hand gives.
#[test]
fn a_survey_counts_what_is_live() {
    let made = |start, sectors| Made {
        writes: vec![Write {
            disk: 0,
            start,
            sectors,
            zero: false,
        }],
        frame_sectors: 8,
        swapped: false,
        sectors: 64,
    };
    // Of the four frames of the first layer one is hidden and one half hidden.
    let world = World::of(&[made(0, 32), made(8, 12), made(40, 8)]);
    let survey = world.survey(&world.layers, Shape::Merge);
    let [lower, upper, behind] = survey.layers[..] else {
        panic!("three layers");
    };
    assert_eq!((lower.live_bytes, upper.live_bytes), (20 * 512, 12 * 512));
    assert_eq!((lower.rows, upper.rows, behind.rows), (3, 2, 1));
    assert!(lower.kept_bytes < lower.stored_bytes);
    assert_eq!(upper.kept_bytes, upper.stored_bytes);
    assert_eq!(upper.live_stored_bytes, upper.stored_bytes);
    let pieces: Vec<bool> = survey
        .layers
        .iter()
        .map(|layer| layer.is_next_piece)
        .collect();
    assert_eq!(pieces, [false, false, true]);
}

#[test]
fn the_pieces_of_a_base_are_one_run() {
    let world = World::of(&[scattered(2000, 8192, 0), scattered(2000, 8192, 1)]);
    let limits = Limits {
        layer_bytes: 256 << 10,
        window_bytes: 64 << 10,
        ..Limits::of(Shape::Base)
    };
    let base = world.rewrite(&world.layers, Shape::Base, limits).unwrap();
    assert!(base.written.layers.len() > 4);
    let survey = world.survey(&base.written.layers, Shape::Base);
    assert_eq!(
        survey
            .layers
            .iter()
            .filter(|layer| !layer.is_next_piece)
            .count(),
        1
    );
}

/// A base is in order, so a second rewrite has nothing to do, and would pass nearly all of it.
#[test]
fn a_base_passes_as_it_is() {
    let world = World::of(&[scattered(4000, 8192, 0), scattered(500, 8192, 1)]);
    let base = world.rewrite(&world.layers, Shape::Base, Limits::of(Shape::Base));
    let again = world.rewrite(
        &base.unwrap().written.layers,
        Shape::Base,
        Limits::of(Shape::Base),
    );
    let again = again.unwrap().written;
    assert!(again.passed_bytes > 9 * again.repacked_bytes, "{again:?}");
}

/// Runs as long as a frame, with gaps of 4 KiB between them.
fn dense(disk_sectors: u64) -> Made {
    let write = |number: u64| Write {
        disk: 0,
        start: number * 136,
        sectors: 128,
        zero: false,
    };
    Made {
        writes: (0..disk_sectors / 136).map(write).collect(),
        frame_sectors: 128,
        swapped: false,
        sectors: disk_sectors,
    }
}

/// What fills the gaps between frames that pass is packed into frames that reach over many of those. It
/// was taken for out of order, and the base was rewritten for ever.
#[test]
fn a_base_of_frames_that_pass_and_frames_that_are_packed_is_rewritten_once() {
    let sectors = 136 * 64;
    let gaps = |number: u64| Write {
        disk: 0,
        start: number * 37 % 64 * 136 + 128,
        sectors: 8,
        zero: false,
    };
    let mut world = World::of(&[
        dense(sectors),
        Made {
            writes: (0..64).map(gaps).collect(),
            ..dense(sectors)
        },
        scattered(40, sectors, 3),
    ]);
    let settings = CompactionSettings {
        gain_bytes_min: 1,
        dead_percent_max: 2,
        own_dead_percent_max: 2,
        ..CompactionSettings::default()
    };
    let before = world.plain(&world.layers);
    assert_eq!(compact(&mut world, Shape::Base, &settings), 1);
    assert!(world.plain(&world.layers) == before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever is there, a few rewrites later nothing is left to do, the list reads the same, and
    /// dead bytes are under their bound.
    #[test]
    fn compaction_comes_to_an_end(
        writes in prop::collection::vec(50..1200u64, 1..24),
        is_oldest: bool,
    ) {
        let shape = if is_oldest { Shape::Base } else { Shape::Merge };
        let mut world = World::new();
        for (writes, lap) in writes.into_iter().zip(0..) {
            world.add(&scattered(writes, 8192, lap));
        }
        let settings = CompactionSettings::default();
        let before = world.plain(&world.layers);
        compact(&mut world, shape, &settings);
        prop_assert!(world.plain(&world.layers) == before);
        let survey = world.survey(&world.layers, shape);
        prop_assert!(survey.layers.len() <= settings.runs_max);
        let stored = sum(&survey, |layer| layer.stored_bytes);
        let dead = stored - sum(&survey, |layer| layer.live_stored_bytes);
        // What is not worth a commit may stay, and an eighth of each frame.
        let little = settings.gain_bytes_min + stored / 8;
        let bound = (stored * settings.dead_percent_max / 100).max(little);
        prop_assert!(dead <= bound, "{} of {}", dead, stored);
    }
}
