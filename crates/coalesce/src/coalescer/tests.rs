//! Coalescing against an array with one entry a sector, and against itself in other steps.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECTORS: u64 = 48;

fn writes() -> impl Strategy<Value = Vec<Extent>> {
    let write = (0..2u16, 0..SECTORS, 1..20u32, any::<bool>());
    prop::collection::vec(write, 0..40).prop_map(|writes| {
        let numbered = writes.into_iter().zip(0u32..);
        numbered
            .map(|((disk, start, sectors, zero), rank)| Extent {
                start,
                sectors,
                rank,
                object: rank / 8,
                frame: if zero { Extent::ZERO } else { rank },
                offset: 0,
                disk,
            })
            .collect()
    })
}

/// Runs that may be longer than 32 bits count, on few places of many disks; what they hold goes on
/// from one to the next now and then.
fn huge_writes() -> impl Strategy<Value = Vec<Extent>> {
    let disk = prop::sample::select(vec![0, 1, 255, 256, u16::MAX]);
    let start = prop::sample::select(vec![0, 1 << 31, (1 << 32) - 8, 1 << 37, (1 << 48) - 4096]);
    let zeroes = prop::sample::select(vec![7, 1 << 30, 1 << 31, u32::MAX - 7, u32::MAX]);
    let write = (disk, start, 0..24u64, 1..20u32, zeroes, any::<bool>());
    prop::collection::vec(write, 0..24).prop_map(|writes| {
        let numbered = writes.into_iter().zip(0u32..);
        let extents = numbered.map(
            |((disk, place, more, sectors, zeroes, zero), rank)| Extent {
                start: place + more,
                sectors: if zero { zeroes } else { sectors },
                rank,
                object: 0,
                frame: if zero { Extent::ZERO } else { 1 },
                offset: if zero {
                    0
                } else {
                    u16::try_from(more).unwrap()
                },
                disk,
            },
        );
        extents.collect()
    })
}

/// What each sector holds: (frame, offset in the frame).
fn plain(extents: &[Extent]) -> Vec<Option<(u32, u64)>> {
    let width = SECTORS + 32;
    let mut sectors = vec![None; usize::try_from(2 * width).unwrap()];
    for extent in extents {
        for at in extent.start..extent.end() {
            let place = usize::try_from(u64::from(extent.disk) * width + at).unwrap();
            sectors[place] = Some(held(extent, at));
        }
    }
    sectors
}

fn held(extent: &Extent, at: u64) -> (u32, u64) {
    let offset = u64::from(extent.offset) + (at - extent.start);
    (extent.frame, if extent.is_zero() { 0 } else { offset })
}

/// What lies at the ends of all runs and beside them: between these nothing changes.
fn plain_at_ends(ends: &BTreeSet<(u16, u64)>, extents: &[Extent]) -> Vec<Option<(u32, u64)>> {
    let over = |&(disk, at): &(u16, u64)| {
        let over =
            |extent: &&Extent| extent.disk == disk && extent.start <= at && at < extent.end();
        Some(held(extents.iter().rev().find(over)?, at))
    };
    ends.iter().map(over).collect()
}

fn are_in_order(live: &[Extent]) -> bool {
    let in_order = |pair: &[Extent]| (pair[0].disk, pair[0].end()) <= (pair[1].disk, pair[1].start);
    live.windows(2).all(in_order)
}

/// Rank, and the object of what has no payload, mean nothing in a result.
fn what_counts(live: Vec<Extent>) -> Vec<Extent> {
    let object = |run: &Extent| if run.is_zero() { 0 } else { run.object };
    live.into_iter()
        .map(|run| Extent {
            rank: 0,
            object: object(&run),
            ..run
        })
        .collect()
}

fn pushed(extents: &[Extent], min: usize, max: usize) -> Coalescer {
    let mut coalescer = Coalescer::with_limits(Limits { min, max });
    for extent in extents {
        // Its rank is not looked at.
        coalescer.push(Extent { rank: 7, ..*extent });
    }
    coalescer
}

proptest! {
    /// The oracle is an array with one entry a sector, written in order.
    #[test]
    fn the_last_writer_wins_in_every_sector(extents in writes()) {
        let live = coalesce(extents.clone());
        prop_assert_eq!(plain(&live), plain(&extents));
        prop_assert!(are_in_order(&live));
        for pair in live.windows(2) {
            prop_assert!(!pair[0].clone().absorb(&pair[1]), "neighbours are joined");
        }
    }

    /// Coalescing in two steps, at any cut, gives what one step gives.
    #[test]
    fn coalescing_is_associative(extents in writes(), cut in 0..40usize) {
        let cut = cut.min(extents.len());
        let (older, newer) = extents.split_at(cut);
        let rerank = |run: Vec<Extent>, rank| run.into_iter().map(move |e| Extent { rank, ..e });
        let halves = rerank(coalesce(older.to_vec()), 0)
            .chain(rerank(coalesce(newer.to_vec()), 1))
            .collect();
        prop_assert_eq!(plain(&coalesce(halves)), plain(&coalesce(extents)));
    }

    /// However often it compacts, also where that is because the ranks end.
    #[test]
    fn a_coalescer_gives_what_one_step_gives(extents in writes(), min in 1..12usize, more in 0..4usize) {
        let live = pushed(&extents, min, min + more).finish();
        prop_assert_eq!(what_counts(live), what_counts(coalesce(extents)));
    }

    #[test]
    fn the_objects_of_a_coalescer_are_those_with_live_payload(extents in writes(), min in 1..12usize) {
        let mut coalescer = pushed(&extents, min, 100);
        let frames = plain(&extents).into_iter().flatten().map(|(frame, _)| frame);
        let objects: BTreeSet<u32> = frames.filter(|&frame| frame != Extent::ZERO).map(|frame| frame / 8).collect();
        let before: BTreeSet<u32> = coalescer.objects().into_iter().collect();
        prop_assert!(before.is_superset(&objects), "an object with live payload is not named");
        coalescer.compact();
        prop_assert!(coalescer.is_compact());
        prop_assert_eq!(coalescer.objects(), objects.into_iter().collect::<Vec<_>>());
    }

    /// The oracle looks every place up in all extents, the last first.
    #[test]
    fn huge_runs_on_any_disk_at_any_sector_are_coalesced(extents in huge_writes(), min in 1..12usize) {
        let one_step = coalesce(extents.clone());
        prop_assert!(are_in_order(&one_step));
        let live = pushed(&extents, min, 100).finish();
        prop_assert!(are_in_order(&live));
        let of_all = extents.iter().chain(&one_step).chain(&live);
        let ends: BTreeSet<(u16, u64)> = of_all
            .flat_map(|run| [run.start.saturating_sub(1), run.start, run.end() - 1, run.end()].map(|at| (run.disk, at)))
            .collect();
        prop_assert_eq!(plain_at_ends(&ends, &one_step), plain_at_ends(&ends, &extents));
        prop_assert_eq!(plain_at_ends(&ends, &live), plain_at_ends(&ends, &extents));
    }
}

fn page(number: u32) -> Extent {
    Extent {
        start: 16 * u64::from(number),
        sectors: 16,
        rank: 0,
        object: 0,
        frame: number,
        offset: 0,
        disk: 0,
    }
}

#[test]
fn rewriting_a_small_disk_for_long_takes_memory_for_what_is_live() {
    const PAGES: u32 = 1000;
    let mut coalescer = Coalescer::new();
    for write in 0..1_000_000 {
        coalescer.push(page(write % PAGES));
        assert!(coalescer.len() < RECENT_MIN + 1000);
    }
    assert!(coalescer.live.capacity() + coalescer.recent.capacity() <= RECENT_MIN + 2000);
    assert_eq!(coalescer.finish().len(), 1000);
}

#[test]
fn memory_is_given_back_when_less_is_live() {
    let mut coalescer = Coalescer::new();
    for number in 0..500_000 {
        coalescer.push(page(number));
    }
    coalescer.push(Extent {
        sectors: 16 * 500_000,
        frame: Extent::ZERO,
        ..page(0)
    });
    coalescer.compact();
    assert_eq!(coalescer.len(), 1);
    assert!(coalescer.live.capacity() + coalescer.recent.capacity() <= RECENT_MIN + 8);
}

#[test]
fn there_is_a_compaction_before_the_ranks_end() {
    let mut coalescer = Coalescer::with_limits(Limits { min: 2, max: 5 });
    for number in 0..100 {
        coalescer.push(page(number));
        assert!(coalescer.recent.len() < 5);
    }
    assert_eq!(coalescer.finish().len(), 100);
}
