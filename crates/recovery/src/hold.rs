//! A hold: somebody needs a point, or everything that a manifest names.
//!
//! ```text
//! offset  size  field
//!      0     8  magic     "AFTRHLD" and a zero byte
//!      8     1  version   1
//!      9     1  kind      1 pin, 2 use
//!     10     6  reserved  zero
//!     16    16  id        of the hold
//!     32     8  manifest  number of the manifest that is held, and 1; 0: none
//!     40     8  point     id of the point that is held; 0: none
//!     48     8  until     time from which on it does not count
//!     56     -  group     name behind its one-byte length
//!      -     -  text      who or why, behind its one-byte length
//!      -    32  digest    BLAKE3 of all bytes before it
//! ```

use afterimage_changelog::{
    DecodeError, Digest, Fault, Name, ObjectId, Timestamp,
    limits::{MARKER_TEXT_BYTES_MAX, NUMBER_MAX},
    wire::{Put, Take},
};

use crate::page::sealed;

const MAGIC: [u8; 8] = *b"AFTRHLD\0";
const VERSION: u8 = 1;
const PART: &str = "hold";
/// Bytes of the largest hold.
pub const HOLD_BYTES_MAX: u64 = 1024;

/// Why something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// An operator wants the point to stay.
    Pin,
    /// Somebody reads it.
    Use,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: ObjectId,
    /// The group.
    pub group: Name,
    /// Why.
    pub kind: HoldKind,
    /// The manifest of which every object that it names stays.
    pub manifest: Option<u64>,
    /// The point that stays.
    pub point: Option<u64>,
    /// From then on it does not count.
    pub until: Timestamp,
    /// Who or why.
    pub text: String,
}

impl Hold {
    /// Encodes the hold.
    ///
    /// # Panics
    ///
    /// With a manifest's number that counting never reaches, or a text of more than 255 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Hold {
            id,
            group,
            kind,
            manifest,
            point,
            until,
            text,
        } = self;
        let mut out = Put::default();
        out.bytes(&MAGIC);
        out.u8(VERSION);
        out.u8(match kind {
            HoldKind::Pin => 1,
            HoldKind::Use => 2,
        });
        out.bytes(&[0; 6]);
        out.bytes(&id.0);
        out.u64(manifest.map_or(0, |number| number + 1));
        out.u64(point.unwrap_or(0));
        out.u64(until.0);
        out.text(group.as_str());
        out.text(text);
        let digest = Digest::of(&out.0);
        out.bytes(&digest.0);
        out.0
    }

    /// Decodes a hold.
    ///
    /// # Errors
    ///
    /// Bytes that are not those of a whole, intact hold.
    pub fn decode(bytes: &[u8]) -> Result<Hold, DecodeError> {
        let mut input = Take::new(PART, sealed(PART, bytes, HOLD_BYTES_MAX)?);
        if input.array()? != MAGIC {
            return Err(input.error(Fault::Magic));
        }
        let version = input.u8()?;
        if version != VERSION {
            return Err(input.error(Fault::Version(version)));
        }
        let here = input.clone();
        let kind = match input.u8()? {
            1 => HoldKind::Pin,
            2 => HoldKind::Use,
            _ => return Err(here.error(Fault::Field("a hold's kind"))),
        };
        input.reserved::<6>()?;
        let id = ObjectId(input.array()?);
        let here = input.clone();
        let manifest = input.u64()?.checked_sub(1);
        let point = input.u64()?;
        if manifest.unwrap_or(0).max(point) > NUMBER_MAX {
            return Err(here.error(Fault::Limit("a number")));
        }
        let until = Timestamp(input.u64()?);
        let group = input.name()?;
        let text = input.text(MARKER_TEXT_BYTES_MAX)?;
        input.end()?;
        Ok(Hold {
            id,
            group,
            kind,
            manifest,
            point: (point > 0).then_some(point),
            until,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold() -> Hold {
        Hold {
            id: ObjectId([1; 16]),
            group: "shop".parse().unwrap(),
            kind: HoldKind::Pin,
            manifest: None,
            point: None,
            until: Timestamp(2),
            text: String::new(),
        }
    }

    /// The hold with other bytes at a place, and a digest that fits them.
    fn with(hold: &Hold, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut encoded = hold.encode();
        encoded.splice(at..at + bytes.len(), bytes.iter().copied());
        encoded.truncate(encoded.len() - 32);
        let digest = Digest::of(&encoded);
        encoded.extend(digest.0);
        encoded
    }

    #[test]
    fn what_is_held_comes_back_and_nothing_stays_nothing() {
        let numbers = [None, Some(1), Some(NUMBER_MAX)];
        for kind in [HoldKind::Pin, HoldKind::Use] {
            for manifest in [None, Some(0), Some(1), Some(NUMBER_MAX)] {
                for point in numbers {
                    let told = Hold {
                        kind,
                        manifest,
                        point,
                        ..hold()
                    };
                    assert_eq!(Hold::decode(&told.encode()).unwrap(), told);
                }
            }
        }
    }

    #[test]
    fn a_hold_that_breaks_a_rule_is_refused_where_it_does() {
        let over = NUMBER_MAX + 1;
        let numbers = [over + 1, u64::MAX].map(u64::to_le_bytes);
        let fields: [(usize, &[u8], Fault); 8] = [
            (0, b"AFTRPTS\0", Fault::Magic),
            (8, &[2], Fault::Version(2)),
            (9, &[0], Fault::Field("a hold's kind")),
            (9, &[3], Fault::Field("a hold's kind")),
            (15, &[1], Fault::Field("a reserved byte")),
            (32, &numbers[0], Fault::Limit("a number")),
            (40, &over.to_le_bytes(), Fault::Limit("a number")),
            (32, &numbers[1], Fault::Limit("a number")),
        ];
        for (at, bytes, fault) in fields {
            let error = Hold::decode(&with(&hold(), at, bytes)).unwrap_err();
            assert_eq!((error.part, error.fault), ("hold", fault), "byte {at}");
            assert!(error.offset.abs_diff(u64::try_from(at).unwrap()) <= 8);
        }
        assert!(Hold::decode(&with(&hold(), 8, &[1])).is_ok());
    }

    #[test]
    fn a_hold_says_at_most_200_bytes() {
        let saying = |letters: usize| Hold {
            text: "a".repeat(letters),
            ..hold()
        };
        assert!(Hold::decode(&saying(200).encode()).is_ok());
        assert!(Hold::decode(&saying(201).encode()).is_err());
        assert!(length_of(&saying(200)) <= HOLD_BYTES_MAX);
    }

    fn length_of(hold: &Hold) -> u64 {
        afterimage_changelog::length(&hold.encode())
    }
}
