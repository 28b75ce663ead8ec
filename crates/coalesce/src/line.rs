//! The line that moves over the disk: extents go in by position, live runs come out by position.
//!
//! Of the extents under the line the newest is on top, and live up to its end or up to where a newer
//! one begins. Older ones that reach further wait in a heap. Most writes hide all that was under
//! them or overlap nothing, and then the heap is empty.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::extent::Extent;

/// An extent in the heap: the highest rank comes first.
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

/// A sweep under way.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Where the last extent began; all before it is settled.
    at: (u16, u64),
    /// What was found live: in address order, disjoint, neighbours joined. The last run ends with
    /// what is on top now, and is cut off where something newer begins. (Zeroes that did not fit
    /// one run before such a cut are not joined after it.)
    live: Vec<Extent>,
    /// The rank of what is on top.
    rank: u32,
    /// Older extents that reach beyond what was on top when they came.
    below: BinaryHeap<Ranked>,
}

impl Line {
    /// Moves on to where `next` begins, and takes it in.
    pub(crate) fn push(&mut self, next: &Extent) {
        let at = (next.disk, next.start);
        assert!(self.at <= at, "the input of a sweep is sorted");
        self.at = at;
        while let Some(top) = self.live.last() {
            if next.disk == top.disk && next.start < top.end() {
                self.overlap(next);
                return;
            }
            if self.below.is_empty() {
                break;
            }
            self.uncover();
        }
        self.append(*next);
    }

    /// Moves beyond all extents.
    pub(crate) fn end(&mut self) {
        while !self.below.is_empty() {
            self.uncover();
        }
    }

    /// What was found live so far. The last two runs may still change: the last may be cut off
    /// whole, and what comes in its place may go on with the one before.
    pub(crate) fn live(&self) -> &[Extent] {
        &self.live
    }

    /// Forgets the first live runs.
    pub(crate) fn forget(&mut self, runs: usize) {
        self.live.drain(..runs);
    }

    /// All that was found live.
    pub(crate) fn into_live(mut self) -> Vec<Extent> {
        self.end();
        self.live
    }

    /// `next` begins under the top: it takes over, or waits if it reaches further.
    fn overlap(&mut self, next: &Extent) {
        let Some(top) = self.live.last_mut() else {
            return;
        };
        let end = top.end();
        if next.rank <= self.rank {
            if next.end() > end {
                self.wait(*next);
            }
            return;
        }
        let rank = self.rank;
        let rest = (end > next.end()).then(|| top.part(next.end(), end));
        if next.start > top.start {
            *top = top.part(top.start, next.start);
        } else {
            self.live.pop();
        }
        if let Some(rest) = rest {
            self.wait(Extent { rank, ..rest });
        }
        self.append(*next);
    }

    /// Puts on top the newest of those below that goes on where the top ends, if there is one.
    fn uncover(&mut self) {
        let end = self.live.last().map_or(0, Extent::end);
        while let Some(Ranked(below)) = self.below.pop() {
            if below.end() > end {
                self.append(below.part(end, below.end()));
                return;
            }
        }
    }

    fn wait(&mut self, extent: Extent) {
        if self.below.len() == self.below.capacity() {
            self.tidy();
        }
        self.below.push(Ranked(extent));
    }

    /// Throws out what ended while something newer lay over it, so that the heap grows only with
    /// what lies over one sector.
    #[cold]
    fn tidy(&mut self) {
        let (_, at) = self.at;
        self.below.retain(|below| below.0.end() > at);
        self.below.reserve(self.below.len().max(4));
    }

    fn append(&mut self, run: Extent) {
        self.rank = run.rank;
        if let Some(last) = self.live.last_mut()
            && last.absorb(&run)
        {
            return;
        }
        self.live.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newer extents overlap in a chain, so that nothing is ever uncovered; below each an older one
    /// ends unseen.
    #[test]
    fn what_ended_unseen_does_not_stay_in_the_heap() {
        let extent = |start, sectors, rank| Extent {
            start,
            sectors,
            rank,
            object: 0,
            frame: rank,
            offset: 0,
            disk: 0,
        };
        let mut line = Line::default();
        let mut heap_max = 0;
        for link in 0..1000u32 {
            let start = u64::from(link) * 10;
            line.push(&extent(start, 15, 1000 + link));
            line.push(&extent(start + 1, 17, link % 2));
            heap_max = heap_max.max(line.below.len());
        }
        assert!(heap_max < 16, "{heap_max} extents were in the heap");
        let live = line.into_live();
        assert_eq!(live.len(), 1001);
        assert_eq!(
            live.last().map(|run| (run.frame, run.end())),
            Some((1, 10_008))
        );
    }
}
