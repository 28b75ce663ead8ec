//! Whatever is rewritten, in whatever windows, the list reads the same.

use std::collections::BTreeSet;

use afterimage_recovery::compact::{Limits, Shape};
use proptest::prelude::*;

use crate::world::{Made, Plain, SECTORS, World, Write};

fn write() -> impl Strategy<Value = Write> {
    let sectors = prop_oneof![4 => 1..12u64, 1 => 12..48u64];
    (0..2usize, 0..SECTORS, sectors, 0..5u8).prop_map(|(disk, start, sectors, kind)| Write {
        disk,
        start,
        sectors,
        zero: kind == 0,
    })
}

/// A layer of scattered writes, or of a few runs as initial replication leaves them.
fn made() -> impl Strategy<Value = Made> {
    let writes = prop::collection::vec(write(), 1..24);
    let frame_sectors = prop::sample::select(vec![1, 4, 16, 64]);
    (writes, frame_sectors, any::<bool>(), 0..3u64).prop_map(
        |(writes, frame_sectors, swapped, smaller)| Made {
            writes,
            frame_sectors,
            swapped,
            sectors: SECTORS + 64 - smaller * 20,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let sizes = || prop_oneof![512..2048u64, 2048..32_768u64, Just(1 << 20)];
    let rows = prop_oneof![1..4u32, 4..32u32, Just(1000)];
    let frame_bytes = prop::sample::select(vec![512, 2048, 8192, 65_536]);
    (
        rows,
        sizes(),
        sizes(),
        sizes(),
        frame_bytes,
        sizes(),
        1..64u64,
    )
        .prop_map(
            |(
                window_rows,
                window_bytes,
                gather_bytes,
                batch_bytes,
                frame_bytes,
                layer_bytes,
                layer_rows,
            )| {
                Limits {
                    window_rows,
                    window_bytes,
                    gather_bytes,
                    batch_bytes,
                    frame_bytes,
                    layer_bytes,
                    layer_rows,
                }
            },
        )
}

/// What is read where nothing lies below: a zeroed sector is like one that no layer names.
fn at_the_bottom(plain: Plain) -> Plain {
    let mut plain = plain;
    plain.retain(|_, sector| sector.iter().any(|&byte| byte != 0));
    plain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// The oracle is an array that each layer's rows are put into, one sector at a time.
    #[test]
    fn a_list_reads_the_same_with_any_part_of_it_rewritten(
        made in prop::collection::vec(made(), 1..6),
        limits in limits(),
        cut in (0..6usize, 0..6usize),
        is_oldest: bool,
    ) {
        let world = World::of(&made);
        let before = world.objects();
        let (first, end) = (cut.0.min(made.len() - 1), made.len() - cut.1.min(made.len() - 1));
        let (first, end) = (first.min(end - 1), end);
        let shape = if is_oldest && first == 0 { Shape::Base } else { Shape::Merge };
        let rewritten = world.rewrite(&world.layers[first..end], shape, limits).unwrap();

        let mut list = world.layers.clone();
        list.splice(first..end, rewritten.written.layers.iter().copied());
        let (old, new) = (world.plain(&world.layers), world.plain(&list));
        if shape == Shape::Base {
            prop_assert!(at_the_bottom(old) == at_the_bottom(new));
        } else {
            prop_assert!(old == new);
        }

        let after = world.objects();
        for (key, bytes) in &before {
            prop_assert!(after.get(key) == Some(bytes), "an old layer was touched");
        }
        prop_assert_eq!(after.len(), before.len() + rewritten.written.layers.len());
        prop_assert!(rewritten.held_bytes_max <= limits.held_bytes_max());
        // New layers do not overlap: in any order they say the same.
        let mut turned = rewritten.written.layers.clone();
        turned.reverse();
        prop_assert!(world.plain(&turned) == world.plain(&rewritten.written.layers));
    }
}

/// The layers of a disk that shrank and grew again hide what was there with zeroes. In the middle of
/// a list they still have to; at the bottom there is nothing to hide.
#[test]
fn zeroes_stay_where_something_may_lie_below_them() {
    let made = |writes| Made {
        writes,
        frame_sectors: 8,
        swapped: false,
        sectors: SECTORS,
    };
    let write = |start, zero| Write {
        disk: 0,
        start,
        sectors: 16,
        zero,
    };
    let world = World::of(&[
        made(vec![write(0, false)]),
        made(vec![write(0, true)]),
        made(vec![write(4, true), write(30, false)]),
    ]);
    let limits = Limits::of(Shape::Merge);
    let merged = world.rewrite(&world.layers[1..], Shape::Merge, limits);
    let merged = world.plain(&merged.unwrap().written.layers);
    assert_eq!(merged.len(), 20 + 16);
    let base = world.rewrite(&world.layers, Shape::Base, Limits::of(Shape::Base));
    let base = world.plain(&base.unwrap().written.layers);
    let sectors: BTreeSet<u64> = base.keys().map(|(_, sector)| *sector).collect();
    assert_eq!(sectors, (30..46).collect());
}

#[test]
fn a_base_of_nothing_but_zeroes_is_no_layer() {
    let zero = Write {
        disk: 1,
        start: 3,
        sectors: 40,
        zero: true,
    };
    let world = World::of(&[Made {
        writes: vec![zero],
        frame_sectors: 8,
        swapped: false,
        sectors: SECTORS,
    }]);
    let base = world.rewrite(&world.layers, Shape::Base, Limits::of(Shape::Base));
    assert_eq!(base.unwrap().written.layers, []);
}
