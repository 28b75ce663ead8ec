//! Extents in, bytes on a disk.
//!
//! Extents are taken in address order and written in windows: inside a window by frame, so that each
//! frame is fetched, checked and decompressed once for all of its live pieces there. Every frame is
//! checked before a byte of it reaches the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use afterimage_changelog::{EncodedFrame, SECTOR, size};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FetchError, FrameRef, FrameSource, Run, runs};
use afterimage_storage::Disk;
use rayon::prelude::*;

use crate::error::{TargetError, TargetErrorKind};

/// Extents of one window.
const WINDOW_EXTENTS: usize = 1 << 16;
/// Bytes that one read or comparison of the disk takes.
const PIECE_BYTES: u64 = 1 << 20;

/// What the disk holds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Zeroes: zeroed extents need not be written.
    Blank,
    /// Anything: every extent is written.
    Overwrite,
    /// Probably the same: each piece is read first and written only where it differs.
    Compare,
}

/// Writes extents of one source onto one disk.
#[derive(Debug)]
pub struct Applier<'a> {
    /// Where the frames come from.
    pub source: &'a dyn FrameSource,
    /// Where the bytes go. It is not flushed here.
    pub disk: &'a dyn Disk,
    /// What the disk holds before.
    pub mode: Mode,
    /// Counts the bytes of the disk that were dealt with, while they are.
    pub done_bytes: &'a AtomicU64,
    /// Once set, the work ends with an error as soon as it can.
    pub stop: &'a AtomicBool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Bytes of payload that were written.
    pub written_bytes: u64,
    /// Bytes that were zeroed or given back.
    pub zeroed_bytes: u64,
    /// Bytes that were compared and found equal.
    pub equal_bytes: u64,
    /// Stored bytes that were fetched.
    pub fetched_bytes: u64,
}

impl Applied {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Applied) -> Applied {
        Applied {
            written_bytes: self.written_bytes + other.written_bytes,
            zeroed_bytes: self.zeroed_bytes + other.zeroed_bytes,
            equal_bytes: self.equal_bytes + other.equal_bytes,
            fetched_bytes: self.fetched_bytes + other.fetched_bytes,
        }
    }
}

impl Applier<'_> {
    /// Applies extents, which are in address order and disjoint, on all cores of the current pool.
    ///
    /// # Errors
    ///
    /// A frame could not be had or is damaged, the disk failed, or the work was stopped. What was
    /// written until then stays on the disk.
    pub fn apply(
        &self,
        extents: impl Iterator<Item = Result<Extent, FetchError>>,
    ) -> Result<Applied, TargetError> {
        let mut applied = Applied::default();
        let mut window = Vec::new();
        for extent in extents {
            window.push(extent?);
            if window.len() == WINDOW_EXTENTS {
                applied = applied.and(self.apply_window(&mut window)?);
            }
        }
        Ok(applied.and(self.apply_window(&mut window)?))
    }

    fn apply_window(&self, window: &mut Vec<Extent>) -> Result<Applied, TargetError> {
        window.sort_unstable_by_key(|extent| (extent.object, extent.frame, extent.start));
        let zeroes = window.iter().filter(|extent| extent.is_zero());
        let mut applied = Applied::default();
        for extent in zeroes {
            applied = applied.and(self.zero(extent)?);
        }
        let mut needed: Vec<FrameRef> = Vec::new();
        for extent in window.iter().filter(|extent| !extent.is_zero()) {
            let (object, frame) = (extent.object, extent.frame);
            let known = needed.last();
            if known.is_none_or(|known| (known.object, known.frame) != (object, frame)) {
                needed.push(self.source.needed(object, frame)?);
            }
        }
        let written = runs(needed)
            .par_iter()
            .map(|run| self.apply_run(run, window))
            .try_reduce(Applied::default, |one, other| Ok(one.and(other)))?;
        window.clear();
        Ok(applied.and(written))
    }

    fn apply_run(&self, run: &Run, window: &[Extent]) -> Result<Applied, TargetError> {
        self.check_running()?;
        let frames = run.fetch(self.source)?;
        let mut applied = Applied {
            fetched_bytes: run.stored_bytes(),
            ..Applied::default()
        };
        for (at, frame) in run.frames.iter().zip(frames) {
            applied = applied.and(self.apply_frame(at, &frame, window)?);
        }
        Ok(applied)
    }

    fn apply_frame(
        &self,
        at: &FrameRef,
        frame: &EncodedFrame,
        window: &[Extent],
    ) -> Result<Applied, TargetError> {
        let place = (at.object, at.frame);
        let first = window.partition_point(|extent| (extent.object, extent.frame) < place);
        let of_frame = window.get(first..).unwrap_or_default();
        let of_frame = of_frame
            .iter()
            .take_while(|extent| (extent.object, extent.frame) == place);
        let written = frame.with_payload(|payload| {
            let mut applied = Applied::default();
            for extent in of_frame {
                applied = applied.and(self.apply_piece(extent, payload)?);
            }
            Ok(applied)
        });
        written.unwrap_or_else(|error| {
            Err(TargetError {
                place: self.source.name(at.place),
                kind: TargetErrorKind::Corrupt(error),
            })
        })
    }

    fn apply_piece(&self, extent: &Extent, payload: &[u8]) -> Result<Applied, TargetError> {
        let start = size(u64::from(extent.offset) * SECTOR);
        let bytes = u64::from(extent.sectors) * SECTOR;
        let piece = payload.get(start..start + size(bytes));
        let piece = piece.expect("rows were checked against their frames");
        let offset = extent.start * SECTOR;
        let mut applied = Applied::default();
        if self.mode == Mode::Compare && self.holds(offset, piece)? {
            applied.equal_bytes += bytes;
        } else {
            self.disk.write_at(offset, piece)?;
            applied.written_bytes += bytes;
        }
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(applied)
    }

    fn zero(&self, extent: &Extent) -> Result<Applied, TargetError> {
        let (mut at, end) = (extent.start * SECTOR, extent.end() * SECTOR);
        let mut applied = Applied::default();
        match self.mode {
            Mode::Blank => {}
            Mode::Overwrite => {
                self.disk.zero_at(at, end - at)?;
                applied.zeroed_bytes += end - at;
            }
            Mode::Compare => {
                let zeroes = vec![0; size(PIECE_BYTES.min(end - at))];
                while at < end {
                    self.check_running()?;
                    let bytes = PIECE_BYTES.min(end - at);
                    let piece = zeroes.get(..size(bytes)).unwrap_or(&zeroes);
                    if self.holds(at, piece)? {
                        applied.equal_bytes += bytes;
                    } else {
                        self.disk.zero_at(at, bytes)?;
                        applied.zeroed_bytes += bytes;
                    }
                    at += bytes;
                    self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                return Ok(applied);
            }
        }
        self.done_bytes.fetch_add(end - at, Ordering::Relaxed);
        Ok(applied)
    }

    /// Whether the disk holds these bytes already.
    fn holds(&self, offset: u64, piece: &[u8]) -> Result<bool, TargetError> {
        let mut there = vec![0; piece.len()];
        self.disk.read_at(offset, &mut there)?;
        Ok(there == piece)
    }

    fn check_running(&self) -> Result<(), TargetError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(TargetError {
                place: "the disk".to_owned(),
                kind: TargetErrorKind::Stopped,
            });
        }
        Ok(())
    }
}
