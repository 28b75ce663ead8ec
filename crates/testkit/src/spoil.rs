//! The ways in which the bytes of one object are spoiled.

use std::{convert::Infallible, fmt, ops::Range};

use afterimage_changelog::{Container, size};
use bytes::Bytes;

use crate::random::Random;

/// Most bytes that are put behind an object.
const EXTENSION_BYTES_MAX: usize = 64;

/// What is done to the bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// One bit is another one.
    Flip {
        /// Which one, counted from the lowest bit of the first byte on.
        bit: usize,
    },
    /// The end is cut off.
    Truncate {
        /// Bytes that are left.
        to: usize,
    },
    /// Something is put behind it.
    Extend {
        /// How many bytes.
        by: usize,
        /// Which byte.
        with: u8,
    },
    /// Two frames of a container stand in each other's place; those between them follow.
    SwapFrames {
        /// Number of the one.
        first: usize,
        /// Number of the other one, which is behind it.
        second: usize,
    },
}

/// How many of each kind were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Bits flipped.
    pub flips: u64,
    /// Ends cut off.
    pub truncations: u64,
    /// Ends grown.
    pub extensions: u64,
    /// Frames exchanged.
    pub swaps: u64,
}

impl Tried {
    /// Counts one.
    pub const fn count(&mut self, spoil: Spoil) {
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

impl Spoil {
    /// Every bit flipped, every length cut to, every length up to 64 bytes grown by, once with zeroes
    /// and once without.
    #[must_use]
    pub fn all(bytes: &Bytes) -> Vec<Spoil> {
        let flips = (0..bytes.len() * 8).map(|bit| Spoil::Flip { bit });
        flips.chain(other_lengths(bytes)).collect()
    }

    /// The same with one bit of each byte, which the seed chooses: where all of them take too long.
    #[must_use]
    pub fn each_byte(bytes: &Bytes, seed: u64) -> Vec<Spoil> {
        let mut random = Random::new(seed);
        let mut flip = |byte: usize| Spoil::Flip {
            bit: byte * 8 + size(random.below(8)),
        };
        let flips: Vec<Spoil> = (0..bytes.len()).map(&mut flip).collect();
        flips.into_iter().chain(other_lengths(bytes)).collect()
    }

    /// Every two frames of a container exchanged.
    ///
    /// # Panics
    ///
    /// Where the bytes are no container.
    #[must_use]
    pub fn frame_swaps(bytes: &Bytes) -> Vec<Spoil> {
        let frames = frames(bytes).len();
        (0..frames)
            .flat_map(|first| {
                (first + 1..frames).map(move |second| Spoil::SwapFrames { first, second })
            })
            .collect()
    }

    /// The spoiled bytes; they differ from `bytes`.
    ///
    /// # Panics
    ///
    /// Where the bytes are not those that it was made for.
    #[must_use]
    pub fn apply(self, bytes: &Bytes) -> Bytes {
        const INSIDE: &str = "it was made for these bytes";
        let mut spoiled = bytes.to_vec();
        match self {
            Spoil::Flip { bit } => *spoiled.get_mut(bit / 8).expect(INSIDE) ^= 1 << (bit % 8),
            Spoil::Truncate { to } => spoiled.truncate(to),
            Spoil::Extend { by, with } => spoiled.resize(bytes.len() + by, with),
            Spoil::SwapFrames { first, second } => {
                let mut order = frames(bytes);
                let start = order.first().expect(INSIDE).start;
                let end = order.last().expect(INSIDE).end;
                order.swap(first, second);
                let swapped: Vec<u8> = order
                    .into_iter()
                    .flat_map(|range| bytes.slice(range))
                    .collect();
                let place = spoiled.get_mut(start..end).expect(INSIDE);
                place.copy_from_slice(&swapped);
            }
        }
        assert_ne!(spoiled, **bytes, "{self:?} changes nothing");
        Bytes::from(spoiled)
    }
}

fn other_lengths(bytes: &Bytes) -> impl Iterator<Item = Spoil> {
    let cuts = (0..bytes.len()).map(|to| Spoil::Truncate { to });
    let extensions =
        (1..=EXTENSION_BYTES_MAX).flat_map(|by| [0, 0xa5].map(|with| Spoil::Extend { by, with }));
    cuts.chain(extensions)
}

/// Where the frames of a container lie.
fn frames(bytes: &Bytes) -> Vec<Range<usize>> {
    const WHOLE: &str = "the bytes are a whole container";
    let length = u64::try_from(bytes.len()).expect("usize is at most 64 bits");
    let part =
        |range: Range<u64>| Ok::<_, Infallible>(bytes.slice(size(range.start)..size(range.end)));
    let container = Container::open(length, bytes, part).expect(WHOLE);
    let entries = container.index(part).expect(WHOLE).frames;
    entries
        .iter()
        .map(|entry| size(entry.offset)..size(entry.end()))
        .collect()
}
