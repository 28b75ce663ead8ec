//! Merging runs that are each in address order, by streaming.

use std::{collections::VecDeque, hint::select_unpredictable};

use crate::extent::Extent;

/// The extents of several sorted runs in order of (disk, start); in no promised order where these
/// are equal.
///
/// Holds one extent of each run. Feed it to a [`crate::Sweep`].
///
/// It is a tree of losers: the runs are the leaves, each inner node keeps the later of the two
/// extents that met there, and the earliest of all comes out on top. When its run moves on, only the
/// nodes between that leaf and the top are played again.
#[derive(Debug)]
pub struct Merge<I, E> {
    runs: Vec<I>,
    /// The extent that each run is at.
    heads: Vec<Option<Extent>>,
    /// Who lost at each inner node. Node `n` is above `2n` and `2n + 1`, the top is node 1, and the
    /// leaves are the nodes that would follow, in order of the runs.
    losers: Vec<Place>,
    /// Who lost nowhere.
    winner: Place,
    /// Errors met when a run was looked into; given before anything that comes after them.
    errors: VecDeque<E>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Disk and start in one number, since comparing them decides how fast all of this is.
    address: u64,
    run: usize,
}

impl Place {
    const START_BITS: u32 = 48;
    /// Behind every extent.
    const ENDED: Place = Place {
        address: u64::MAX,
        run: usize::MAX,
    };

    fn new(extent: &Extent, run: usize) -> Place {
        assert!(
            extent.start >> Place::START_BITS == 0,
            "a disk has fewer sectors"
        );
        Place {
            address: u64::from(extent.disk) << Place::START_BITS | extent.start,
            run,
        }
    }

    /// Of two places the earlier and the later. Nobody can guess which it is, so there must be no
    /// branch: with branches this is as slow as a heap.
    #[inline(always)]
    fn sorted(self, other: Place) -> (Place, Place) {
        let is_later = other.address < self.address;
        let select = |yes: Place, no: Place| Place {
            address: select_unpredictable(is_later, yes.address, no.address),
            run: select_unpredictable(is_later, yes.run, no.run),
        };
        (select(other, self), select(self, other))
    }
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Merge<I, E> {
    /// Merges `runs`.
    ///
    /// # Panics
    ///
    /// Here and later, where an extent starts at sector 2^48 or behind it.
    #[must_use]
    pub fn new(runs: Vec<I>) -> Merge<I, E> {
        let count = runs.len();
        let mut merge = Merge {
            heads: vec![None; count],
            losers: vec![Place::ENDED; count],
            winner: Place::ENDED,
            errors: VecDeque::new(),
            runs,
        };
        // The winner at each node, the leaves included; from the bottom up.
        let mut winners = vec![Place::ENDED; count];
        winners.extend((0..count).map(|run| merge.pull(run)));
        for (node, loser) in merge.losers.iter_mut().enumerate().skip(1).rev() {
            let at = |node: usize| winners.get(node).copied().unwrap_or(Place::ENDED);
            let (earlier, later) = at(2 * node).sorted(at(2 * node + 1));
            *loser = later;
            if let Some(winner) = winners.get_mut(node) {
                *winner = earlier;
            }
        }
        merge.winner = winners.get(1).copied().unwrap_or(Place::ENDED);
        merge
    }

    /// Moves a run on; gives the place it is at now.
    fn pull(&mut self, run: usize) -> Place {
        let (Some(extents), Some(head)) = (self.runs.get_mut(run), self.heads.get_mut(run)) else {
            return Place::ENDED;
        };
        match extents.next() {
            Some(Ok(extent)) => {
                *head = Some(extent);
                Place::new(&extent, run)
            }
            Some(Err(error)) => {
                self.errors.push_back(error);
                Place::ENDED
            }
            None => Place::ENDED,
        }
    }

    /// Plays the nodes above a leaf again.
    fn play(&mut self, run: usize, place: Place) {
        let mut winner = place;
        let mut node = (self.losers.len() + run) / 2;
        while node > 0 {
            if let Some(loser) = self.losers.get_mut(node) {
                (winner, *loser) = winner.sorted(*loser);
            }
            node /= 2;
        }
        self.winner = winner;
    }
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Iterator for Merge<I, E> {
    type Item = Result<Extent, E>;

    fn next(&mut self) -> Option<Result<Extent, E>> {
        if let Some(error) = self.errors.pop_front() {
            return Some(Err(error));
        }
        let run = self.winner.run;
        let extent = self.heads.get_mut(run).and_then(Option::take)?;
        let place = self.pull(run);
        self.play(run, place);
        Some(Ok(extent))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs in address order, of which some are empty; the object says which run an extent is of.
    fn runs() -> impl Strategy<Value = Vec<Vec<Extent>>> {
        let run = prop::collection::vec((0..3u16, 0..40u64), 0..12);
        prop::collection::vec(run, 0..20).prop_map(|runs| {
            let numbered = runs.into_iter().zip(0u32..);
            let sorted = numbered.map(|(mut places, object)| {
                places.sort_unstable();
                let extent = |(disk, start)| Extent {
                    start,
                    sectors: 1,
                    rank: object,
                    object,
                    frame: 0,
                    offset: 0,
                    disk,
                };
                places.into_iter().map(extent).collect()
            });
            sorted.collect()
        })
    }

    fn keys(extents: &[Extent]) -> Vec<(u16, u64, u32)> {
        let keys = extents.iter();
        keys.map(|extent| (extent.disk, extent.start, extent.object))
            .collect()
    }

    proptest! {
        #[test]
        fn a_merge_is_a_sort_of_all_runs(runs in runs()) {
            let ok = |run: &Vec<Extent>| run.clone().into_iter().map(Ok::<_, ()>);
            let merged: Vec<Extent> = Merge::new(runs.iter().map(ok).collect()).map(Result::unwrap).collect();
            let merged = keys(&merged);
            prop_assert!(merged.is_sorted_by_key(|&(disk, start, _)| (disk, start)));
            let mut sorted = keys(&runs.concat());
            sorted.sort_unstable();
            let mut given = merged;
            given.sort_unstable();
            prop_assert_eq!(given, sorted);
        }

        /// Each run fails behind so many extents; what it has after that is not asked for.
        #[test]
        fn the_error_of_a_run_comes_before_what_lies_behind_it(runs in runs(), good in 0..6usize) {
            let failing = |run: &Vec<Extent>| {
                let error = Err(run.get(good.wrapping_sub(1)).map(|last| (last.disk, last.start)));
                let good = run.clone().into_iter().take(good).map(Ok);
                good.chain([error]).chain(run.clone().into_iter().map(Ok))
            };
            let (mut errors, mut extents) = (0, 0);
            let mut reached = None;
            for item in Merge::new(runs.iter().map(failing).collect()) {
                match item {
                    Ok(extent) => {
                        extents += 1;
                        reached = Some((extent.disk, extent.start));
                    }
                    Err(behind) => {
                        errors += 1;
                        prop_assert!(behind.is_none() || reached <= behind);
                    }
                }
            }
            let expected: usize = runs.iter().map(|run| run.len().min(good)).sum();
            prop_assert_eq!((errors, extents), (runs.len(), expected));
        }
    }
}
