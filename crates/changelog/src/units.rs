//! The nouns: positions, sizes and identifiers.
//!
//! Disks are counted in sectors of 512 bytes throughout, whatever the disk's own sector size is.

use std::fmt;

/// Bytes of the sector that positions and lengths count.
pub const SECTOR: u64 = 512;

const _: () = assert!(usize::BITS == 64, "sizes in memory are 64 bits wide");

/// A length in memory as a number that can be stored.
#[must_use]
pub const fn length(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// A count in memory as a number that can be stored.
#[must_use]
pub const fn count(items: usize) -> u64 {
    items as u64
}

/// A stored number as a size in memory; whoever calls has checked it against a limit.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "asserted above: usize has 64 bits"
)]
pub const fn size(stored: u64) -> usize {
    stored as usize
}

/// Position of a record in its stream. Gapless: after `n` comes `n + 1`, also across epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The position of the first record of a stream.
    pub const FIRST: Sequence = Sequence(1);
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Raised when a writer (agent or worker) takes over; a lower epoch is fenced out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A time for display, lookup and retention: microseconds since 1970-01-01 UTC. No safety
/// depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// A BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the first object of a chain names as its predecessor.
    pub const NONE: Digest = Digest([0; 32]);

    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The hash of the parts, one after the other.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 128 bits that name one attempt at writing one object; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectId(pub [u8; 16]);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The sector size a disk presents to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SectorSize {
    /// 512 bytes.
    #[default]
    B512,
    /// 4096 bytes: every position and length is a multiple of eight.
    B4096,
}

impl SectorSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            SectorSize::B512 => 512,
            SectorSize::B4096 => 4096,
        }
    }

    /// The size for a number of bytes; `None` where no disk has such sectors.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<SectorSize> {
        match bytes {
            512 => Some(SectorSize::B512),
            4096 => Some(SectorSize::B4096),
            _ => None,
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            SectorSize::B512 => 9,
            SectorSize::B4096 => 12,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<SectorSize> {
        match code {
            9 => Some(SectorSize::B512),
            12 => Some(SectorSize::B4096),
            _ => None,
        }
    }
}
