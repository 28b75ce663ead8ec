//! How much is held in memory, and how large things become.

use afterimage_changelog::limits::{FRAME_BYTES_DEFAULT, FRAME_BYTES_MAX, FRAMES_MAX};

use super::{Shape, window::row_bytes_held};
use crate::output::LayerLimits;

/// Bytes of an index entry of a frame in memory.
const ENTRY_BYTES: u64 = 64;

/// Payload of a window of a base, at most.
pub(super) const BASE_WINDOW_BYTES: u64 = 8 << 20;

/// How often the limits are halved at most: windows of less than that would pack frames too often.
const HALVINGS_MAX: u32 = 3;

/// The bounds of a survey or rewrite. Those of [`Limits::of`] are for use, others for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live extents of a window.
    pub window_rows: u32,
    /// Live bytes of a window, as they are stored for a merge, of payload for a base.
    pub window_bytes: u64,
    /// Bytes that are gathered before they are put in order and written. A base gathers the whole
    /// window.
    pub gather_bytes: u64,
    /// Bytes that are fetched at a time.
    pub batch_bytes: u64,
    /// Payload of a packed frame.
    pub frame_bytes: u32,
    /// Bytes of the frames of a layer.
    pub layer_bytes: u64,
    /// Rows of a layer, which are in memory until it ends.
    pub layer_rows: u64,
}

impl Limits {
    /// Those that are meant to be used: at most 64 MiB are held.
    #[must_use]
    pub const fn of(shape: Shape) -> Limits {
        let merge = Limits {
            window_rows: 64 << 10,
            window_bytes: 256 << 20,
            gather_bytes: 4 << 20,
            batch_bytes: 2 << 20,
            frame_bytes: FRAME_BYTES_DEFAULT,
            layer_bytes: 1 << 30,
            layer_rows: 256 << 10,
        };
        match shape {
            Shape::Merge => merge,
            Shape::Base => Limits {
                window_rows: 32 << 10,
                window_bytes: BASE_WINDOW_BYTES,
                gather_bytes: 11 << 20,
                frame_bytes: 2 * FRAME_BYTES_DEFAULT,
                ..merge
            },
        }
    }

    /// Those that hold about so many bytes at most, or as few as is sensible where that is less.
    #[must_use]
    pub fn within(shape: Shape, bytes: u64) -> Limits {
        let mut limits = Limits::of(shape);
        for _ in 0..HALVINGS_MAX {
            if limits.held_bytes_max() <= bytes {
                break;
            }
            limits.window_rows /= 2;
            limits.window_bytes /= 2;
            limits.gather_bytes /= 2;
            limits.batch_bytes /= 2;
            limits.layer_rows /= 2;
        }
        limits
    }

    pub(super) const fn of_layer(&self) -> LayerLimits {
        LayerLimits {
            bytes: self.layer_bytes,
            rows: self.layer_rows,
        }
    }

    /// The most that is held at once: a window of the index, what was gathered and its packed
    /// frames, the batch that is fetched meanwhile, and the index of the open layer, twice while it
    /// ends. What the opened layers hold of their own indexes comes on top.
    #[must_use]
    pub fn held_bytes_max(&self) -> u64 {
        let frame = u64::from(FRAME_BYTES_MAX);
        let window = u64::from(self.window_rows) * row_bytes_held();
        let batch = self.batch_bytes + 2 * frame;
        let gathered = self.gather_bytes + batch;
        let index = self.layer_rows.max(u64::from(self.window_rows)) * 24
            + u64::from(FRAMES_MAX) * ENTRY_BYTES;
        window + 2 * gathered + batch + 2 * index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_mebibytes_are_enough() {
        for shape in [Shape::Merge, Shape::Base] {
            let held = Limits::of(shape).held_bytes_max();
            assert!(held <= 64 << 20, "{shape:?}: {held}");
        }
    }

    #[test]
    fn less_memory_makes_smaller_windows_and_enough_makes_no_difference() {
        for shape in [Shape::Merge, Shape::Base] {
            assert_eq!(Limits::within(shape, 64 << 20), Limits::of(shape));
            let half = Limits::within(shape, 40 << 20);
            assert!(half.held_bytes_max() <= 40 << 20, "{shape:?}: {half:?}");
            assert!(Limits::within(shape, 0).held_bytes_max() <= 30 << 20);
            // A window of a base is gathered whole.
            assert!(half.gather_bytes >= half.window_bytes || shape == Shape::Merge);
        }
    }
}
