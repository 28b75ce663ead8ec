//! Sectors that say which write they come from.
//!
//! ```text
//! offset  size  field
//!      0     8  magic     "AISTAMP1"
//!      8     8  seed      of the run, little-endian like all that follow
//!     16     8  disk
//!     24     8  sector
//!     32     8  sequence  of the write
//!     40   472  filler    follows from the fields above
//!    512
//! ```

use std::fmt;

use crate::random::Random;

/// Bytes of a stamped sector.
pub const STAMP_LEN: usize = 512;
const MAGIC: u64 = u64::from_le_bytes(*b"AISTAMP1");

/// What a stamped sector says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The seed of the run.
    pub seed: u64,
    /// The disk it was written to.
    pub disk: u16,
    /// The sector it was written to.
    pub sector: u64,
    /// The number of the write.
    pub sequence: u64,
}

/// The content of a sector that names the write it comes from.
#[must_use]
pub fn stamp(seed: u64, disk: u16, sector: u64, sequence: u64) -> [u8; STAMP_LEN] {
    let fields = [MAGIC, seed, u64::from(disk), sector, sequence];
    let mut filler = Random::new(
        fields
            .iter()
            .fold(0, |mixed: u64, field| Random::new(mixed ^ field).next()),
    );
    let mut fields = fields.into_iter();
    let mut out = [0; STAMP_LEN];
    for word in out.chunks_mut(8) {
        // Half of the filler is alike, so that stamped data can be compressed about as guests' can.
        let value = fields.next().unwrap_or_else(|| {
            let next = filler.next();
            if next & 1 == 0 { sequence } else { next }
        });
        word.copy_from_slice(&value.to_le_bytes());
    }
    out
}

impl Stamp {
    /// Reads the stamp of a sector; `None` where it has none or a spoiled one.
    #[must_use]
    pub fn read(sector: &[u8]) -> Option<Stamp> {
        let mut words = sector
            .chunks_exact(8)
            .map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        if words.next()? != MAGIC {
            return None;
        }
        let found = Stamp {
            seed: words.next()?,
            disk: u16::try_from(words.next()?).ok()?,
            sector: words.next()?,
            sequence: words.next()?,
        };
        let whole = stamp(found.seed, found.disk, found.sector, found.sequence);
        (whole.as_slice() == sector).then_some(found)
    }

    /// What a sector holds, in words for a failed test.
    #[must_use]
    pub fn describe(sector: &[u8]) -> String {
        if sector.iter().all(|&byte| byte == 0) {
            return "zeroes".to_owned();
        }
        match Stamp::read(sector) {
            Some(found) => found.to_string(),
            None => {
                let start = sector.get(..16).unwrap_or(sector);
                format!("no stamp, but {start:02x?}...")
            }
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp {
            seed,
            disk,
            sector,
            sequence,
        } = self;
        write!(
            f,
            "write {sequence} to sector {sector} of disk {disk} (seed {seed})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_any_spoiled_byte_shows() {
        let sector = stamp(1, 2, 3, 4);
        let expected = Stamp {
            seed: 1,
            disk: 2,
            sector: 3,
            sequence: 4,
        };
        assert_eq!(Stamp::read(&sector), Some(expected));
        for at in 0..STAMP_LEN {
            let mut spoiled = sector;
            spoiled[at] ^= 1;
            assert_eq!(Stamp::read(&spoiled), None, "byte {at}");
        }
        assert_eq!(
            Stamp::describe(&sector),
            "write 4 to sector 3 of disk 2 (seed 1)"
        );
    }
}
