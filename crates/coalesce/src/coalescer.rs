//! Coalescing extents as they come, in memory for what is live of them.
//!
//! Extents are taken in until there are as many as were live before. Then they are sorted, merged
//! with those and swept. So each is sorted once, and each that stays live is merged about once for
//! every one that comes in, whatever the length of the interval.

use crate::{
    extent::Extent,
    line::Line,
    order::{KeyBits, by_long_keys, by_short_keys},
};

/// Extents taken in before the first compaction, and at least before each. Their keys and what is
/// merged stay in the caches of one core.
const BATCH: usize = 64 << 10;
/// Ranks begin anew with each compaction, so there is one before they end.
const RECENT_MAX: usize = 1 << 31;

/// What is live of the extents pushed so far, the last pushed counting where they overlap.
///
/// Holds at most twice as many extents as were live at the last compaction, or a batch of 65,536
/// more than were live where that is more; a compaction needs half as much again for a while.
#[derive(Clone, Debug)]
pub struct Coalescer {
    /// What was live at the last compaction: in address order, disjoint, of rank 0.
    live: Vec<Extent>,
    /// What was pushed since then, with ranks from 1.
    recent: Vec<Extent>,
    /// So many make a compaction due.
    recent_max: usize,
    batch: usize,
}

impl Default for Coalescer {
    fn default() -> Coalescer {
        Coalescer::new()
    }
}

impl Coalescer {
    /// Begins with nothing.
    #[must_use]
    pub const fn new() -> Coalescer {
        Coalescer {
            live: Vec::new(),
            recent: Vec::new(),
            recent_max: BATCH,
            batch: BATCH,
        }
    }

    /// Adds an extent that is newer than all before it. Its rank is not looked at, so there is no
    /// limit to how many are pushed.
    ///
    /// # Panics
    ///
    /// Never: compaction comes before the ranks end.
    pub fn push(&mut self, extent: Extent) {
        let rank = u32::try_from(self.recent.len() + 1);
        let rank = rank.expect("compaction comes before the ranks end");
        self.recent.push(Extent { rank, ..extent });
        if self.recent.len() >= self.recent_max {
            self.compact();
        }
    }

    /// Forgets what is not live.
    pub fn compact(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let live = match KeyBits::of(&self.recent) {
            Some(bits) => swept(&self.live, by_short_keys(&self.recent, bits)),
            None => swept(&self.live, by_long_keys(&self.recent)),
        };
        self.live = live;
        self.recent.clear();
        self.recent_max = self.live.len().clamp(self.batch, RECENT_MAX);
        self.recent.shrink_to(self.recent_max);
    }

    /// Extents held: the live ones, and some that may not be.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len() + self.recent.len()
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The live extents in address order and disjoint, all of rank 0.
    #[must_use]
    pub fn finish(mut self) -> Vec<Extent> {
        self.compact();
        for extent in &mut self.live {
            extent.rank = 0;
        }
        self.live
    }
}

/// Coalesces extents in any order; of two over one sector the one of higher rank counts.
///
/// It is fastest where they come in order of rank.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "an interval's extents are given up, not kept beside what is live of them"
)]
pub fn coalesce(extents: Vec<Extent>) -> Vec<Extent> {
    match KeyBits::of(&extents) {
        Some(bits) => swept(&[], by_short_keys(&extents, bits)),
        None => swept(&[], by_long_keys(&extents)),
    }
}

/// What is live of two runs in address order, the newer going first in one place.
fn swept(older: &[Extent], newer: impl Iterator<Item = Extent>) -> Vec<Extent> {
    let mut line = Line::default();
    let mut older = older.iter().peekable();
    for new in newer {
        let before = |old: &&Extent| (old.disk, old.start) < (new.disk, new.start);
        while let Some(old) = older.next_if(before) {
            line.push(&Extent { rank: 0, ..*old });
        }
        line.push(&new);
    }
    for old in older {
        line.push(&Extent { rank: 0, ..*old });
    }
    line.into_live()
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
