//! What is to be done to keep a target in shape, and what was done.

use std::{num::NonZeroU64, time::Duration};

use afterimage_recovery::{Collected, IndexLimits, compact::CompactionSettings, retention::Keep};

/// What is kept, and what is done in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Which points stay; where none is given, what the group was told before, or all.
    pub keep: Option<Keep>,
    /// How far back single writes can be gone to, from the newest point on.
    pub rewind: Option<Duration>,
    /// When layers are compacted; never where nothing is given.
    pub compact: Option<CompactionSettings>,
    /// Bytes that compaction reads in a second, and writes at most as many; as fast as it goes where
    /// none are given. Beside an ingest that has more to do than it manages it goes slower anyway.
    pub compact_bytes_per_second: Option<NonZeroU64>,
    /// How layers are merged into indexes.
    pub index: IndexLimits,
}

impl Default for Upkeep {
    /// All points, and layers compacted as fast as it goes: a target that is not compacted costs more
    /// space and slower restores with every point, and nobody would know why.
    fn default() -> Upkeep {
        Upkeep {
            keep: None,
            rewind: None,
            compact: Some(CompactionSettings::default()),
            compact_bytes_per_second: None,
            index: IndexLimits::default(),
        }
    }
}

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Points that were pruned.
    pub pruned: u64,
    /// Layers that took the place of others.
    pub compacted: u64,
    /// Stored bytes that were read to make them.
    pub compacted_bytes: u64,
    /// Merged indexes made.
    pub indexed: u64,
    /// What was deleted.
    pub collected: Collected,
}

impl Tended {
    /// Whether nothing changed, at the target or in what a manifest says.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        let changed = self.pruned + self.compacted + self.indexed;
        changed + self.collected.objects + self.collected.manifests == 0
    }
}
