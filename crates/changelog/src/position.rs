//! How far into a stream something reaches.

use crate::{
    error::{DecodeError, Fault},
    limits::NUMBER_MAX,
    units::{Digest, Sequence},
    wire::{Put, Take},
};

/// A place in a stream: the last record covered, and the segment that holds it.
///
/// That segment stays in the cache until a later one is covered: it anchors the chain, so that
/// reader and writer can go on after a restart without a listing that may be stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Digest of the segment.
    pub digest: Digest,
    /// The last record covered.
    pub sequence: Sequence,
}

impl Position {
    /// Puts the position: u64 segment, u64 sequence, 32 bytes digest.
    pub fn put(&self, out: &mut Put) {
        out.u64(self.segment);
        out.u64(self.sequence.0);
        out.bytes(&self.digest.0);
    }

    /// Takes a position.
    ///
    /// # Errors
    ///
    /// The bytes end inside it, or a number in it is over its limit.
    pub fn take(input: &mut Take<'_>) -> Result<Position, DecodeError> {
        let here = input.clone();
        let segment = input.u64()?;
        let sequence = Sequence(input.u64()?);
        if segment.max(sequence.0) > NUMBER_MAX {
            return Err(here.error(Fault::Limit("a position")));
        }
        let digest = Digest(input.array()?);
        Ok(Position {
            segment,
            digest,
            sequence,
        })
    }
}
