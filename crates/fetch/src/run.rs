//! Runs: neighbouring frames that one request fetches.

use afterimage_changelog::{EncodedFrame, FrameEntry, count, size};
use bytes::Bytes;
use rayon::prelude::*;

use crate::{FrameSource, error::FetchError};

/// Bytes that one request fetches at most.
const RUN_BYTES_MAX: u64 = 4 << 20;
/// The same where requests are billed.
pub const BILLED_RUN_BYTES_MAX: u64 = 8 << 20;
/// Bytes of payload in the frames of one run at most, so that whoever decompresses them knows what
/// it takes.
const RUN_RAW_BYTES_MAX: u64 = 64 << 20;
/// Bytes of frames nobody needs that a request fetches along rather than be two requests.
const GAP_BYTES_MAX: u64 = 32 << 10;
/// The same where requests are billed: what a connection brings in about the time that one takes.
const BILLED_GAP_BYTES_MAX: u64 = 512 << 10;

/// A frame that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef {
    /// Number of its object in the source.
    pub object: u32,
    /// Its number in the object.
    pub frame: u32,
    /// Where it lies.
    pub place: u32,
    /// Its index entry.
    pub entry: FrameEntry,
}

/// Frames of one place in order, with little between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The frames; at least one.
    pub frames: Vec<FrameRef>,
}

/// Groups frames of a source into runs, in order of place.
#[must_use]
pub fn runs(source: &dyn FrameSource, frames: impl IntoIterator<Item = FrameRef>) -> Vec<Run> {
    let (gap_bytes_max, run_bytes_max) = if source.is_billed() {
        (BILLED_GAP_BYTES_MAX, BILLED_RUN_BYTES_MAX)
    } else {
        (GAP_BYTES_MAX, RUN_BYTES_MAX)
    };
    let mut frames: Vec<FrameRef> = frames.into_iter().collect();
    frames.sort_unstable_by_key(|frame| (frame.place, frame.entry.offset));
    let mut runs: Vec<Run> = Vec::new();
    let mut raw = 0;
    for frame in frames {
        raw += u64::from(frame.entry.raw);
        if let Some(run) = runs.last_mut()
            && let (Some(first), Some(last)) = (run.frames.first(), run.frames.last())
            && last.place == frame.place
            && frame.entry.offset >= last.entry.end()
            && frame.entry.offset - last.entry.end() <= gap_bytes_max
            && frame.entry.end() - first.entry.offset <= run_bytes_max
            && raw <= RUN_RAW_BYTES_MAX
        {
            run.frames.push(frame);
        } else {
            raw = u64::from(frame.entry.raw);
            runs.push(Run {
                frames: vec![frame],
            });
        }
    }
    runs
}

/// Groups runs into batches of about what one of the largest has, in their order: as many as are worth
/// being shared among cores.
pub fn batches(runs: &[Run]) -> impl Iterator<Item = &[Run]> {
    let (mut stored, mut raw) = (0, 0);
    runs.chunk_by(move |before, next| {
        stored += before.spanned_bytes();
        raw += before.raw_bytes();
        let fits = stored + next.spanned_bytes() <= RUN_BYTES_MAX
            && raw + next.raw_bytes() <= RUN_RAW_BYTES_MAX;
        if !fits {
            (stored, raw) = (0, 0);
        }
        fits
    })
}

impl Run {
    /// Bytes of payload in the frames.
    fn raw_bytes(&self) -> u64 {
        let raw = self.frames.iter().map(|frame| u64::from(frame.entry.raw));
        raw.sum()
    }

    /// Where it lies: a place, and the bytes from its first frame to its last.
    #[must_use]
    pub fn range(&self) -> Option<(u32, std::ops::Range<u64>)> {
        let (first, last) = (self.frames.first()?, self.frames.last()?);
        Some((first.place, first.entry.offset..last.entry.end()))
    }

    /// Bytes from the first frame to the last, which is what is fetched and kept.
    #[must_use]
    pub fn spanned_bytes(&self) -> u64 {
        self.range().map_or(0, |(_, range)| range.end - range.start)
    }

    /// Stored bytes of the frames.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let stored = self
            .frames
            .iter()
            .map(|frame| u64::from(frame.entry.stored));
        stored.sum()
    }

    /// Fetches the run with one request and checks each frame, on all cores of the current pool.
    ///
    /// # Errors
    ///
    /// The store failed, or a frame's bytes are not its own.
    pub fn fetch(&self, source: &dyn FrameSource) -> Result<Vec<EncodedFrame>, FetchError> {
        let (Some((place, range)), Some(first)) = (self.range(), self.frames.first()) else {
            return Ok(Vec::new());
        };
        let (start, bytes) = (range.start, range.end - range.start);
        let fetched = source.read(place, range).map_err(FetchError::store)?;
        if count(fetched.len()) != bytes {
            return Err(short(source, first));
        }
        let bytes = fetched;
        self.frames
            .par_iter()
            .map(|frame| check(source, frame, &bytes, start))
            .collect()
    }
}

fn check(
    source: &dyn FrameSource,
    frame: &FrameRef,
    bytes: &Bytes,
    start: u64,
) -> Result<EncodedFrame, FetchError> {
    let FrameRef { place, entry, .. } = frame;
    let stored = bytes.slice(size(entry.offset - start)..size(entry.end() - start));
    entry
        .check(stored)
        .map_err(|error| FetchError::corrupt(&source.name(*place), error))
}

fn short(source: &dyn FrameSource, frame: &FrameRef) -> FetchError {
    let error = afterimage_changelog::DecodeError {
        part: "object",
        offset: frame.entry.offset,
        fault: afterimage_changelog::Fault::Truncated,
    };
    FetchError::corrupt(&source.name(frame.place), error)
}
