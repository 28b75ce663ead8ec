//! What becomes of the frames of a window.

use afterimage_changelog::{FrameEntry, SECTOR, size};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FrameRef, FrameSource};

use super::{Limits, Shape};
use crate::error::RecoveryError;

/// Stored bytes of a frame that stand for so many of its sectors.
pub(super) fn share(entry: &FrameEntry, sectors: u32) -> u64 {
    u64::from(entry.stored) * u64::from(sectors) * SECTOR / u64::from(entry.raw)
}

/// A frame with live bytes in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needed {
    pub(super) at: FrameRef,
    /// Live sectors in the window.
    pub(super) live: u32,
    /// Where its extents begin in [`Fates::extents`], and how many there are.
    first: u32,
    count: u32,
    /// Whether it is copied as it is.
    pub(super) passes: bool,
    /// Whether its live bytes lie in it as they do on the disk, with little between them.
    pub(super) is_ordered: bool,
}

/// The frames of a window, in order of object and place.
#[derive(Debug, Default)]
pub(super) struct Fates {
    pub(super) frames: Vec<Needed>,
    /// Numbers of the extents of each frame, in address order.
    extents: Vec<u32>,
}

impl Fates {
    /// Decides on each frame with a live byte in `window`.
    ///
    /// What counts is the share that is live within the window. Other live bytes of the frame, in
    /// other windows, are packed there: a frame that passes is stored once and no more than a
    /// quarter of it is there a second time.
    pub(super) fn decide(
        window: &[Extent],
        source: &dyn FrameSource,
        shape: Shape,
        limits: &Limits,
    ) -> Result<Fates, RecoveryError> {
        let numbered = window.iter().zip(0u32..);
        let mut keys: Vec<(u32, u32, u32)> = numbered
            .filter(|(extent, _)| !extent.is_zero())
            .map(|(extent, number)| (extent.object, extent.frame, number))
            .collect();
        keys.sort_unstable();
        let extents: Vec<u32> = keys.iter().map(|(_, _, number)| *number).collect();
        let mut frames = Vec::new();
        let mut first = 0;
        for of_frame in keys.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
            let Some(&(object, frame, _)) = of_frame.first() else {
                continue;
            };
            let entry = source.entry(object, frame)?;
            let parts = of_frame
                .iter()
                .filter_map(|(_, _, number)| window.get(size(u64::from(*number))));
            let live: u32 = parts.clone().map(|part| part.sectors).sum();
            let is_ascending = parts.map(|part| part.offset).is_sorted();
            let is_ordered = is_ascending && is_live(live, &entry, Shape::Base);
            let is_large = entry.raw >= limits.frame_bytes / 2;
            let passes = match shape {
                Shape::Merge => is_live(live, &entry, shape),
                Shape::Base => is_ordered && is_large,
            };
            let count = u32::try_from(of_frame.len()).expect("a window has few extents");
            frames.push(Needed {
                at: FrameRef {
                    object,
                    frame,
                    entry,
                },
                live,
                first,
                count,
                passes,
                is_ordered,
            });
            first += count;
        }
        frames.sort_by_key(|frame| (frame.at.object, frame.at.entry.offset));
        Ok(Fates { frames, extents })
    }

    /// Numbers of the extents of a frame in the window, in address order.
    pub(super) fn extents_of(&self, frame: &Needed) -> &[u32] {
        let first = size(u64::from(frame.first));
        let extents = self
            .extents
            .get(first..first + size(u64::from(frame.count)));
        extents.unwrap_or_default()
    }
}

impl Needed {
    /// Bytes of payload that are live in the window.
    pub(super) fn live_bytes(&self) -> u64 {
        u64::from(self.live) * SECTOR
    }

    /// Bytes that are there once it is fetched and its live bytes are taken.
    pub(super) fn fetched_bytes(&self) -> u64 {
        let live = if self.passes { 0 } else { self.live_bytes() };
        u64::from(self.at.entry.stored) + live
    }

    /// Bytes it adds to what is gathered.
    pub(super) fn gathered_bytes(&self) -> u64 {
        if self.passes {
            u64::from(self.at.entry.stored)
        } else {
            self.live_bytes()
        }
    }
}

/// Whether so much of a frame is live that copying it wastes little: three quarters, in a base
/// seven eighths.
const fn is_live(live_sectors: u32, entry: &FrameEntry, shape: Shape) -> bool {
    let dead = (entry.raw as u64).saturating_sub(live_sectors as u64 * SECTOR);
    match shape {
        Shape::Merge => dead * 4 <= entry.raw as u64,
        Shape::Base => dead * 8 <= entry.raw as u64,
    }
}
