//! Coalescing extents as they come, in memory for what is live of them.
//!
//! Extents are taken in until there are as many as were live before. Then they are sorted, merged
//! with those and swept. So each is sorted once, and for each that comes in about one that is live
//! is merged, whatever the length of the interval.

use crate::{
    extent::Extent,
    line::Line,
    order::{KeyBits, by_long_keys, by_short_keys},
};

/// Extents taken in before there is a compaction: two megabytes of them, which stay in the caches.
const RECENT_MIN: usize = 64 << 10;
/// Ranks begin anew with each compaction, so there is one before they end.
const RECENT_MAX: usize = 1 << 31;

/// What is live of the extents pushed so far, the last pushed counting where they overlap.
///
/// Compacts itself when as many were pushed as were live at the last compaction, and at least
/// 65,536. So it holds at most twice as many as were live then, or 65,536 more. A compaction of `n`
/// extents needs memory for what is live of them beside it, and 8 bytes for each that is sorted.
///
/// ```
/// # use afterimage_coalesce::{Coalescer, Extent};
/// let mut coalescer = Coalescer::new();
/// let page = Extent { disk: 0, start: 0, sectors: 16, rank: 0, object: 0, frame: 0, offset: 0 };
/// for object in 0..3 {
///     coalescer.push(Extent { start: 16 * u64::from(object % 2), object, ..page });
/// }
/// coalescer.compact();
/// assert_eq!(coalescer.objects(), [1, 2]); // nothing names the first object any more
/// ```
#[derive(Clone, Debug)]
pub struct Coalescer {
    /// What was live at the last compaction: in address order, disjoint.
    live: Vec<Extent>,
    /// What was pushed since then, with ranks from 1.
    recent: Vec<Extent>,
    /// So many make a compaction due.
    recent_max: usize,
    limits: Limits,
}

/// Between what numbers of extents there is a compaction.
#[derive(Clone, Copy, Debug)]
struct Limits {
    min: usize,
    max: usize,
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
        Coalescer::with_limits(Limits {
            min: RECENT_MIN,
            max: RECENT_MAX,
        })
    }

    const fn with_limits(limits: Limits) -> Coalescer {
        Coalescer {
            live: Vec::new(),
            recent: Vec::new(),
            recent_max: limits.min,
            limits,
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
        self.live = live(&self.live, &self.recent);
        self.recent.clear();
        self.recent_max = self.live.len().clamp(self.limits.min, self.limits.max);
        self.recent.shrink_to(self.recent_max);
    }

    /// Extents held: the live ones, and what was pushed since the last compaction.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.live.len() + self.recent.len()
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all that is held is live, as it is after a compaction.
    #[must_use]
    pub const fn is_compact(&self) -> bool {
        self.recent.is_empty()
    }

    /// The objects that hold payload of what is held, in ascending order. Of all others no byte is
    /// live; when `self` is compact, of these each has one that is.
    #[must_use]
    pub fn objects(&self) -> Vec<u32> {
        let held = self.live.iter().chain(&self.recent);
        let with_payload = held.filter(|extent| !extent.is_zero());
        let mut objects: Vec<u32> = with_payload.map(|extent| extent.object).collect();
        objects.sort_unstable();
        objects.dedup();
        objects
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
    live(&[], &extents)
}

/// What is live of extents in address order, and of newer ones in any order and of rank 1 or above.
fn live(older: &[Extent], newer: &[Extent]) -> Vec<Extent> {
    match KeyBits::of(newer) {
        Some(bits) => swept(older, by_short_keys(newer, bits)),
        None => swept(older, by_long_keys(newer)),
    }
}

/// What is live of two runs in address order; the newer goes first in one place.
fn swept(older: &[Extent], newer: impl Iterator<Item = Extent>) -> Vec<Extent> {
    let mut line = Line::default();
    let push_older = |line: &mut Line, old: &Extent| line.push(&Extent { rank: 0, ..*old });
    let mut older = older.iter().peekable();
    for new in newer {
        let before = |old: &&Extent| (old.disk, old.start) < (new.disk, new.start);
        while let Some(old) = older.next_if(before) {
            push_older(&mut line, old);
        }
        line.push(&new);
    }
    for old in older {
        push_older(&mut line, old);
    }
    line.into_live()
}

#[cfg(test)]
mod tests;
