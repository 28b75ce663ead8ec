//! The ways in which the bytes of one object are spoiled.

use std::fmt;

use afterimage_changelog::{Container, size};
use bytes::Bytes;

/// Most bytes that are put behind an object.
const EXTENSION_BYTES_MAX: usize = 64;

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    Flip { bit: usize },
    Truncate { to: usize },
    Extend { by: usize, with: u8 },
    SwapFrames { first: usize, second: usize },
}

/// How many of each kind were tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    pub(crate) flips: u64,
    pub(crate) truncations: u64,
    pub(crate) extensions: u64,
    pub(crate) swaps: u64,
}

impl Tried {
    pub(crate) fn count(&mut self, spoil: Spoil) {
        match spoil {
            Spoil::Flip { .. } => self.flips += 1,
            Spoil::Truncate { .. } => self.truncations += 1,
            Spoil::Extend { .. } => self.extensions += 1,
            Spoil::SwapFrames { .. } => self.swaps += 1,
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tried {
            flips,
            truncations,
            extensions,
            swaps,
        } = self;
        write!(
            f,
            "{flips} flips, {truncations} truncations, {extensions} extensions, {swaps} swaps \
             tried, undetected 0"
        )
    }
}

/// Every bit flipped, every length cut to, every length up to 64 bytes grown by, once with zeroes
/// and once without.
pub(crate) fn spoils(bytes: &Bytes) -> Vec<Spoil> {
    let flips = (0..bytes.len() * 8).map(|bit| Spoil::Flip { bit });
    let cuts = (0..bytes.len()).map(|to| Spoil::Truncate { to });
    let extensions =
        (1..=EXTENSION_BYTES_MAX).flat_map(|by| [0, 0xa5].map(|with| Spoil::Extend { by, with }));
    flips.chain(cuts).chain(extensions).collect()
}

/// Every two frames of a container.
pub(crate) fn frame_swaps(bytes: &Bytes) -> Vec<Spoil> {
    let frames = frames(bytes).len();
    (0..frames)
        .flat_map(|first| {
            (first + 1..frames).map(move |second| Spoil::SwapFrames { first, second })
        })
        .collect()
}

impl Spoil {
    /// The spoiled bytes; they differ from `bytes`.
    pub(crate) fn apply(self, bytes: &Bytes) -> Bytes {
        let mut spoiled = bytes.to_vec();
        match self {
            Spoil::Flip { bit } => spoiled[bit / 8] ^= 1 << (bit % 8),
            Spoil::Truncate { to } => spoiled.truncate(to),
            Spoil::Extend { by, with } => spoiled.resize(bytes.len() + by, with),
            Spoil::SwapFrames { first, second } => {
                let mut order = frames(bytes);
                let (start, end) = (order[0].start, order[order.len() - 1].end);
                order.swap(first, second);
                let swapped: Vec<u8> = order
                    .into_iter()
                    .flat_map(|range| bytes[range].to_vec())
                    .collect();
                spoiled[start..end].copy_from_slice(&swapped);
            }
        }
        assert_ne!(spoiled, **bytes, "{self:?} changes nothing");
        Bytes::from(spoiled)
    }
}

/// Where the frames of a container lie.
fn frames(bytes: &Bytes) -> Vec<std::ops::Range<usize>> {
    let length = u64::try_from(bytes.len()).unwrap();
    let part = |range: std::ops::Range<u64>| {
        Ok::<_, std::convert::Infallible>(bytes.slice(size(range.start)..size(range.end)))
    };
    let container = Container::open(length, bytes, part).unwrap();
    let entries = container.index(part).unwrap().frames;
    entries
        .iter()
        .map(|entry| size(entry.offset)..size(entry.end()))
        .collect()
}
