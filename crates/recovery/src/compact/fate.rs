//! What becomes of the frames of a window.

use afterimage_changelog::{FrameEntry, SECTOR, size};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FrameRef, FrameSource};

use super::{Limits, Shape};
use crate::error::RecoveryError;

/// Live sectors of other frames between those of one frame, up to which it lies in order: those of
/// a window of a base. Frames that pass lie between the pieces of those that are packed, so a base
/// can have them no nearer than that, and a restore that goes through the disk in larger windows
/// takes each of them apart twice at most.
const NEAR_SECTORS: u64 = super::limits::BASE_WINDOW_BYTES / SECTOR;

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
    /// Whether it lies as a base has its frames: its live bytes in the order of the disk, and near to
    /// each other there.
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
    /// other windows, are packed there: a frame that passes is stored once and no more than an
    /// eighth of it is there a second time.
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
        let before = sectors_before(window);
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
            let between = reach(of_frame, &before) - u64::from(live);
            let is_ascending = is_ascending && is_mostly_live(live, &entry);
            let passes = match shape {
                Shape::Merge => is_mostly_live(live, &entry),
                Shape::Base => {
                    is_ascending
                        && is_little(between, &entry)
                        && entry.raw >= limits.frame_bytes / 2
                }
            };
            let count = u32::try_from(of_frame.len()).expect("a window has few extents");
            frames.push(Needed {
                at: FrameRef {
                    object,
                    frame,
                    place: source.place(object, &entry),
                    entry,
                },
                live,
                first,
                count,
                passes,
                is_ordered: is_ascending && between <= NEAR_SECTORS,
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

/// Sectors of all extents before each one, and before the end.
fn sectors_before(window: &[Extent]) -> Vec<u64> {
    let mut before = Vec::with_capacity(window.len() + 1);
    let mut sum = 0;
    before.push(sum);
    for extent in window {
        sum += u64::from(extent.sectors);
        before.push(sum);
    }
    before
}

/// Live sectors from the first extent of a frame to the last.
fn reach(of_frame: &[(u32, u32, u32)], before: &[u64]) -> u64 {
    let at = |number: Option<u64>| before.get(size(number?)).copied();
    let first = of_frame.first().map(|(_, _, number)| u64::from(*number));
    let end = of_frame.last().map(|(_, _, number)| u64::from(*number) + 1);
    at(end).unwrap_or_default() - at(first).unwrap_or_default()
}

/// Whether a frame is so far live that copying it as it is wastes little.
fn is_mostly_live(live_sectors: u32, entry: &FrameEntry) -> bool {
    let raw = u64::from(entry.raw) / SECTOR;
    is_little(raw.saturating_sub(u64::from(live_sectors)), entry)
}

/// Whether so many sectors are at most an eighth of a frame. Where no more than that of each frame is
/// dead, the whole is within 1.15 times of what is live.
fn is_little(sectors: u64, entry: &FrameEntry) -> bool {
    sectors * 8 * SECTOR <= u64::from(entry.raw)
}
