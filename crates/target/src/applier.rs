//! Extents in, bytes on a disk.
//!
//! Extents are taken in address order and go through windows of so many bytes. Inside a window they are
//! fetched by frame, so that each frame is checked and decompressed once for all of its live pieces
//! there, and written by address, so that the disk sees one long stretch after the other. While one
//! window is written the next one is fetched.
//!
//! Where requests are billed a window is bounded by its extents alone, and what is fetched is written
//! as it comes, layer by layer: a layer that has a little for each of many small windows would be asked
//! for each time.
//!
//! Every frame is checked before a byte of it reaches the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use afterimage_changelog::{SECTOR, count, length, size};
use afterimage_coalesce::Extent;
use afterimage_fetch::{Ahead, FetchError, FrameRef, FrameSource, Run, runs};
use afterimage_storage::Disk;
use bytes::Bytes;
use rayon::prelude::*;

use crate::error::{TargetError, TargetErrorKind};

/// Extents of one window at most.
const WINDOW_EXTENTS: usize = 1 << 16;
/// The same where requests are billed; some 50 MiB. Frames that passed hold writes from all over the disk, so
/// each window has to fetch most of them again.
const BILLED_WINDOW_EXTENTS: usize = 1 << 19;
/// Bytes of payload in one window; two windows are in memory. A frame is decompressed for each window
/// that has a piece of it; of 16, 32 and 64 MiB none was faster (docs/performance.md).
const WINDOW_BYTES: u64 = 16 << 20;
/// Bytes that are written with one call.
const WRITE_BYTES: usize = 1 << 20;
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

/// What a window holds for the disk.
#[derive(Debug)]
struct Window {
    zeroes: Vec<Extent>,
    /// In address order.
    pieces: Vec<Piece>,
    fetched_bytes: u64,
}

impl Window {
    const fn is_empty(&self) -> bool {
        self.zeroes.is_empty() && self.pieces.is_empty()
    }
}

/// What a window takes.
#[derive(Debug)]
struct Plan {
    zeroes: Vec<Extent>,
    /// By frame, and within one by address.
    data: Vec<Extent>,
    runs: Vec<Run>,
}

impl Plan {
    fn fetched_bytes(&self) -> u64 {
        self.runs.iter().map(Run::stored_bytes).sum()
    }
}

/// Payload and its place on the disk.
#[derive(Debug)]
struct Piece {
    offset: u64,
    bytes: Bytes,
}

/// The payload of an extent in its frame.
fn payload_of<'a>(extent: &Extent, payload: &'a [u8]) -> &'a [u8] {
    let start = size(u64::from(extent.offset) * SECTOR);
    let end = start + size(u64::from(extent.sectors) * SECTOR);
    let bytes = payload.get(start..end);
    bytes.expect("rows were checked against their frames")
}

/// The next extents that go together, so many at most, of so many bytes or a little more; none at the end.
fn next_window(
    extents: &mut impl Iterator<Item = Result<Extent, FetchError>>,
    extents_max: usize,
    bytes_max: u64,
) -> Result<Vec<Extent>, FetchError> {
    let mut window = Vec::new();
    let mut bytes = 0;
    while window.len() < extents_max && bytes < bytes_max {
        let Some(extent) = extents.next().transpose()? else {
            break;
        };
        if !extent.is_zero() {
            bytes += u64::from(extent.sectors) * SECTOR;
        }
        window.push(extent);
    }
    Ok(window)
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
        let mut extents = extents.fuse();
        if self.source.is_billed() {
            return self.stream_all(extents);
        }
        let mut applied = Applied::default();
        let mut next = || next_window(&mut extents, WINDOW_EXTENTS, WINDOW_BYTES);
        let mut ready = self.fetch(&next()?)?;
        while !ready.is_empty() {
            let window = next()?;
            let (next, written) = rayon::join(|| self.fetch(&window), || self.write(&ready));
            applied = applied.and(written?);
            ready = next?;
        }
        Ok(applied)
    }

    /// Writes what is fetched as it comes; the next window is looked up while the first of it does.
    fn stream_all(
        &self,
        mut extents: impl Iterator<Item = Result<Extent, FetchError>>,
    ) -> Result<Applied, TargetError> {
        let mut applied = Applied::default();
        let mut next = || next_window(&mut extents, BILLED_WINDOW_EXTENTS, u64::MAX);
        let mut window = next()?;
        while !window.is_empty() {
            let plan = self.plan(&window)?;
            drop(window);
            let source = Ahead::of(self.source, &plan.runs);
            window = next()?;
            applied = applied.and(self.stream(&plan, &source)?);
        }
        Ok(applied)
    }

    fn stream(&self, plan: &Plan, source: &Ahead<'_>) -> Result<Applied, TargetError> {
        let mut applied = Applied {
            fetched_bytes: plan.fetched_bytes(),
            ..Applied::default()
        };
        for extent in &plan.zeroes {
            applied = applied.and(self.zero(extent)?);
        }
        // In the order in which they are fetched, or what arrives would wait for what was not begun.
        let next = AtomicUsize::new(0);
        let work = |_| {
            let mut applied = Applied::default();
            while let Some(run) = plan.runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let write = |extents: &[Extent], payload: &[u8]| {
                    let pieces = extents
                        .iter()
                        .map(|extent| (extent.start * SECTOR, payload_of(extent, payload)));
                    self.write_pieces(pieces)
                };
                let written = self.fetch_run(run, source, &plan.data, write);
                let written =
                    written.and_then(|all| all.into_iter().collect::<Result<Vec<_>, _>>());
                // The others need not go on.
                let written =
                    written.inspect_err(|_| next.store(plan.runs.len(), Ordering::Relaxed))?;
                applied = written.into_iter().fold(applied, Applied::and);
            }
            Ok(applied)
        };
        let workers = (0..rayon::current_num_threads()).into_par_iter();
        let streamed = workers.with_max_len(1).map(work);
        let both = |one: Applied, other| Ok::<_, TargetError>(one.and(other));
        Ok(applied.and(streamed.try_reduce(Applied::default, both)?))
    }

    fn plan(&self, window: &[Extent]) -> Result<Plan, TargetError> {
        let (zeroes, mut data): (Vec<Extent>, Vec<Extent>) =
            window.iter().partition(|extent| extent.is_zero());
        data.sort_unstable_by_key(|extent| (extent.object, extent.frame, extent.start));
        let mut needed: Vec<FrameRef> = Vec::new();
        for extent in &data {
            let (object, frame) = (extent.object, extent.frame);
            let known = needed.last();
            if known.is_none_or(|known| (known.object, known.frame) != (object, frame)) {
                needed.push(self.source.needed(object, frame)?);
            }
        }
        let runs = runs(self.source, needed);
        Ok(Plan { zeroes, data, runs })
    }

    /// Fetches the payload of a window.
    fn fetch(&self, window: &[Extent]) -> Result<Window, TargetError> {
        let plan = self.plan(window)?;
        let source = Ahead::of(self.source, &plan.runs);
        let copy = |extents: &[Extent], payload: &[u8]| -> Vec<Piece> {
            let piece = |extent: &Extent| Piece {
                offset: extent.start * SECTOR,
                bytes: Bytes::copy_from_slice(payload_of(extent, payload)),
            };
            extents.iter().map(piece).collect()
        };
        let pieces = plan
            .runs
            .par_iter()
            .map(|run| self.fetch_run(run, &source, &plan.data, copy));
        let pieces: Result<Vec<Vec<Vec<Piece>>>, TargetError> = pieces.collect();
        let mut pieces: Vec<Piece> = pieces?.into_iter().flatten().flatten().collect();
        pieces.sort_unstable_by_key(|piece| piece.offset);
        Ok(Window {
            fetched_bytes: plan.fetched_bytes(),
            zeroes: plan.zeroes,
            pieces,
        })
    }

    /// Fetches a run and does something with the live extents and the payload of each of its frames.
    fn fetch_run<T>(
        &self,
        run: &Run,
        source: &Ahead<'_>,
        data: &[Extent],
        take: impl Fn(&[Extent], &[u8]) -> T,
    ) -> Result<Vec<T>, TargetError> {
        self.check_running()?;
        let frames = run.fetch(source)?;
        let frames = run.frames.iter().zip(frames);
        let taken = frames.map(|(at, frame)| {
            let place = (at.object, at.frame);
            let first = data.partition_point(|extent| (extent.object, extent.frame) < place);
            let of_frame = data.get(first..).unwrap_or_default();
            let behind = of_frame.partition_point(|extent| (extent.object, extent.frame) == place);
            let of_frame = of_frame.get(..behind).unwrap_or_default();
            let taken = frame.with_payload(|payload| take(of_frame, payload));
            taken.map_err(|error| TargetError {
                place: self.source.name(at.place),
                kind: TargetErrorKind::Corrupt(error),
            })
        });
        taken.collect()
    }

    fn write(&self, window: &Window) -> Result<Applied, TargetError> {
        let mut applied = Applied {
            fetched_bytes: window.fetched_bytes,
            ..Applied::default()
        };
        for extent in &window.zeroes {
            applied = applied.and(self.zero(extent)?);
        }
        let pieces = window.pieces.iter();
        let pieces = pieces.map(|piece| (piece.offset, piece.bytes.as_ref()));
        Ok(applied.and(self.write_pieces(pieces)?))
    }

    /// Writes payload at its places, which are in order, neighbours together.
    fn write_pieces<'a>(
        &self,
        pieces: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> Result<Applied, TargetError> {
        let mut applied = Applied::default();
        let mut stretch: Vec<&[u8]> = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (offset, piece) in pieces {
            self.check_running()?;
            let here = length(piece);
            if self.mode == Mode::Compare && self.holds(offset, piece)? {
                applied.equal_bytes += here;
                self.done_bytes.fetch_add(here, Ordering::Relaxed);
                continue;
            }
            let goes_on = offset == start + count(bytes) && bytes < WRITE_BYTES;
            if !goes_on {
                self.disk.write_all_at(start, &stretch)?;
                self.done_bytes.fetch_add(count(bytes), Ordering::Relaxed);
                stretch.clear();
                (start, bytes) = (offset, 0);
            }
            stretch.push(piece);
            bytes += piece.len();
            applied.written_bytes += here;
        }
        self.disk.write_all_at(start, &stretch)?;
        self.done_bytes.fetch_add(count(bytes), Ordering::Relaxed);
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
