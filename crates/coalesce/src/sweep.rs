//! The sweep: extents by position in, live extents by position out.
//!
//! A line moves over the disk; a heap holds the extents under it, the newest on top. Whatever is on
//! top is live up to its end or up to where a newer one begins. On the workloads measured, sorting
//! and sweeping beat every map of extents by two to seventeen times.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    convert::Infallible,
};

use crate::extent::Extent;

/// An extent in the heap: the highest rank is on top.
#[derive(Clone, Copy, Debug)]
struct Ranked(Extent);

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        self.0.rank.cmp(&other.0.rank)
    }
}

/// Live extents, in address order and disjoint, from extents in order of (disk, start).
///
/// Memory is bounded by the number of extents that lie over one sector.
#[derive(Debug)]
pub struct Sweep<I: Iterator> {
    input: I,
    next: Option<Extent>,
    active: BinaryHeap<Ranked>,
    /// Everything before this place has been given or is in `pending`.
    at: (u16, u64),
    /// The last live run, kept back because the next one may go on with it.
    pending: Option<Extent>,
    started: bool,
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Sweep<I> {
    /// Sweeps `input`, whose extents come in order of (disk, start); no two extents of one rank
    /// overlap.
    pub fn new(input: I) -> Sweep<I> {
        Sweep {
            input,
            next: None,
            active: BinaryHeap::new(),
            at: (0, 0),
            pending: None,
            started: false,
        }
    }

    /// Takes the next extent in, and checks the order it comes in.
    fn advance(&mut self) -> Result<(), E> {
        let next = self.input.next().transpose()?;
        if let (Some(before), Some(after)) = (&self.next, &next) {
            assert!(
                (before.disk, before.start) <= (after.disk, after.start),
                "the input of a sweep is sorted"
            );
        }
        self.next = next;
        Ok(())
    }

    /// Gives the next live run, not yet joined with its neighbours.
    fn step(&mut self) -> Result<Option<Extent>, E> {
        if !self.started {
            self.started = true;
            self.advance()?;
        }
        loop {
            let (disk, at) = self.at;
            let Some(top) = self.active.peek_mut() else {
                let Some(next) = self.next else {
                    return Ok(None);
                };
                self.at = (next.disk, next.start);
                self.active.push(Ranked(next));
                self.advance()?;
                continue;
            };
            let live = top.0;
            if live.end() <= at {
                PeekMut::pop(top);
                continue;
            }
            drop(top);
            match self.next {
                // It begins under the run on top: wait for it below, or take over from there.
                Some(next) if next.disk == disk && next.start < live.end() => {
                    let hidden = next.rank < live.rank && next.end() <= live.end();
                    if !hidden {
                        self.active.push(Ranked(next));
                    }
                    self.advance()?;
                    if next.rank > live.rank && next.start > at {
                        self.at = (disk, next.start);
                        return Ok(Some(live.part(at, next.start)));
                    }
                }
                _ => {
                    self.at = (disk, live.end());
                    return Ok(Some(live.part(at, live.end())));
                }
            }
        }
    }
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Iterator for Sweep<I> {
    type Item = Result<Extent, E>;

    fn next(&mut self) -> Option<Result<Extent, E>> {
        loop {
            match self.step() {
                Err(error) => return Some(Err(error)),
                Ok(None) => return self.pending.take().map(Ok),
                Ok(Some(run)) => {
                    let Some(pending) = &mut self.pending else {
                        self.pending = Some(run);
                        continue;
                    };
                    if !pending.absorb(&run) {
                        return self.pending.replace(run).map(Ok);
                    }
                }
            }
        }
    }
}

/// Coalesces extents in any order; of two over one sector the one of higher rank counts.
#[must_use]
pub fn coalesce(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.sort_unstable_by_key(|extent| (extent.disk, extent.start));
    let sorted = extents.into_iter().map(Ok::<Extent, Infallible>);
    Sweep::new(sorted)
        .map(|run| match run {
            Ok(run) => run,
            Err(never) => match never {},
        })
        .collect()
}

#[cfg(test)]
mod tests {
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

    /// What each sector holds: (frame, offset in the frame).
    fn plain(extents: &[Extent]) -> Vec<Option<(u32, u64)>> {
        let width = SECTORS + 32;
        let mut sectors = vec![None; usize::try_from(2 * width).unwrap()];
        for extent in extents {
            for at in extent.start..extent.end() {
                let place = usize::try_from(u64::from(extent.disk) * width + at).unwrap();
                let offset = u64::from(extent.offset) + (at - extent.start);
                let offset = if extent.is_zero() { 0 } else { offset };
                sectors[place] = Some((extent.frame, offset));
            }
        }
        sectors
    }

    proptest! {
        /// The oracle is an array with one entry a sector, written in order.
        #[test]
        fn the_last_writer_wins_in_every_sector(extents in writes()) {
            let live = coalesce(extents.clone());
            prop_assert_eq!(plain(&live), plain(&extents));
            for pair in live.windows(2) {
                prop_assert!((pair[0].disk, pair[0].end()) <= (pair[1].disk, pair[1].start));
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
    }
}
