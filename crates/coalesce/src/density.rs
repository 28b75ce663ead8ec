//! How much of each frame is live, and what follows from it.

use crate::extent::Extent;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFate {
    /// No byte of it is live: it is never fetched.
    Dropped,
    /// At least an eighth of it is live: its stored bytes are copied as they are.
    Passed,
    /// Less than an eighth of it is live: the live bytes are packed into new frames.
    Repacked,
}

/// Live sectors of each frame of each object.
#[derive(Clone, Debug, Default)]
pub struct Density {
    live: Vec<Vec<u32>>,
}

impl Density {
    /// Counts the live sectors of `extents`, which do not overlap; object `n` has
    /// `frames_of_object[n]` frames.
    #[must_use]
    pub fn count(frames_of_object: &[usize], extents: &[Extent]) -> Density {
        let mut live: Vec<Vec<u32>> = frames_of_object.iter().map(|&n| vec![0; n]).collect();
        for extent in extents.iter().filter(|extent| !extent.is_zero()) {
            let frames = usize::try_from(extent.object)
                .ok()
                .and_then(|n| live.get_mut(n));
            let frame = usize::try_from(extent.frame).ok();
            if let Some(sectors) = frames.and_then(|frames| frames.get_mut(frame?)) {
                *sectors = sectors.saturating_add(extent.sectors);
            }
        }
        Density { live }
    }

    /// Live sectors of the frames of an object.
    #[must_use]
    pub fn of_object(&self, object: usize) -> &[u32] {
        self.live.get(object).map_or(&[], Vec::as_slice)
    }

    /// What becomes of a frame of `raw_bytes` bytes of payload with so many live sectors.
    ///
    /// The threshold is an eighth. On a recorded database log, cut into one point, a quarter stores an
    /// eighth less but takes a third more time, all of it spent on frames between an eighth and a
    /// quarter live; cut into ten points the two hardly differ. Compaction gives back what is dead.
    #[must_use]
    pub const fn fate(live_sectors: u32, raw_bytes: u32) -> FrameFate {
        match live_sectors {
            0 => FrameFate::Dropped,
            _ if live_sectors as u64 * 8 * 512 >= raw_bytes as u64 => FrameFate::Passed,
            _ => FrameFate::Repacked,
        }
    }
}
