//! The coalescer against an array with one entry a sector.

use std::collections::BTreeMap;

use afterimage_changelog::size;
use afterimage_coalesce::{Density, Extent};

use crate::choices::Choices;

/// Extents taken from one input.
const EXTENTS_MAX: u32 = 400;
const DISKS: u16 = 2;
/// Sectors of a disk: what a start, and a length behind it, can reach.
const SECTORS: u64 = 256 + 64;
const OBJECTS: u32 = 4;
const FRAMES: u32 = 64;

/// What a sector holds: nothing, zeroes, or a sector of a frame.
type Held = Option<(u32, u32, u64)>;

/// Coalesces extents in order of rank, as the bytes describe them; the result is what writing them
/// one after the other into an array gives, in order, without overlaps, and in as few runs as can be.
///
/// # Panics
///
/// Where it is not.
pub fn coalesce(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut extents = Vec::new();
    for rank in 0..EXTENTS_MAX {
        if choices.is_empty() {
            break;
        }
        extents.push(extent(&mut choices, rank));
    }
    let expected = plain(&extents);
    let live = afterimage_coalesce::coalesce(extents.clone());
    assert_eq!(plain(&live), expected);
    for pair in live.windows(2) {
        let [before, after] = pair else { continue };
        assert!(
            (before.disk, before.end()) <= (after.disk, after.start),
            "{pair:?}"
        );
        assert!(!goes_on(before, after), "{pair:?} could be one");
    }
    check_density(&live, &expected);

    // In any order of arrival, since rank says what is newer. Zeroes of two objects that became one
    // run are said to be of either.
    extents.reverse();
    let other = afterimage_coalesce::coalesce(extents);
    assert_eq!(
        other.iter().map(meant).collect::<Vec<_>>(),
        live.iter().map(meant).collect::<Vec<_>>()
    );
}

/// An extent without what says nothing.
fn meant(extent: &Extent) -> Extent {
    Extent {
        object: if extent.is_zero() { 0 } else { extent.object },
        ..*extent
    }
}

fn extent(choices: &mut Choices<'_>, rank: u32) -> Extent {
    let what = choices.u8();
    let is_zero = what & 2 != 0;
    Extent {
        start: u64::from(choices.u8()),
        sectors: 1 + u32::from(choices.u8() % 64),
        rank,
        object: u32::from(what >> 2) % OBJECTS,
        frame: if is_zero {
            Extent::ZERO
        } else {
            u32::from(what >> 4) % FRAMES
        },
        offset: if is_zero { 0 } else { u16::from(choices.u8()) },
        disk: u16::from(what) % DISKS,
    }
}

fn plain(extents: &[Extent]) -> Vec<Held> {
    let mut sectors = vec![None; size(u64::from(DISKS) * SECTORS)];
    for extent in extents {
        for at in extent.start..extent.end() {
            let place = sectors.get_mut(size(u64::from(extent.disk) * SECTORS + at));
            let offset = u64::from(extent.offset) + at - extent.start;
            *place.expect("extents lie on their disk") = Some(if extent.is_zero() {
                (0, Extent::ZERO, 0)
            } else {
                (extent.object, extent.frame, offset)
            });
        }
    }
    sectors
}

fn goes_on(before: &Extent, after: &Extent) -> bool {
    let is_next = (before.disk, before.end()) == (after.disk, after.start);
    let payload = |extent: &Extent| (extent.object, extent.frame);
    let behind = u32::from(before.offset) + before.sectors == u32::from(after.offset);
    is_next && (before.is_zero() && after.is_zero() || payload(before) == payload(after) && behind)
}

/// The live sectors of each frame are as many as the array has of it.
fn check_density(live: &[Extent], expected: &[Held]) {
    let frames_of_object = vec![size(u64::from(FRAMES)); size(u64::from(OBJECTS))];
    let density = Density::count(&frames_of_object, live);
    let mut counted: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for (object, frame, _) in expected.iter().flatten() {
        *counted.entry((*object, *frame)).or_default() += 1;
    }
    for object in 0..OBJECTS {
        for (frame, sectors) in (0..).zip(density.of_object(size(u64::from(object)))) {
            let expected = counted.get(&(object, frame)).copied();
            assert_eq!(
                *sectors,
                expected.unwrap_or(0),
                "frame {frame} of object {object}"
            );
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let nested = vec![0, 0, 40, 0, 16, 10, 5, 0, 2, 12, 1, 1, 0, 255, 63, 8];
    let mixed = (0..=255u8)
        .map(|n| n.wrapping_mul(n).wrapping_add(13))
        .collect();
    let dense = (0..=255u8).map(|n| n.wrapping_mul(37) & 0x1f).collect();
    vec![nested, mixed, dense]
}
