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
        let manifest = input.u64()?;
        let point = input.u64()?;
        let until = Timestamp(input.u64()?);
        let group = input.name()?;
        let text = input.text(MARKER_TEXT_BYTES_MAX)?;
        input.end()?;
        if manifest.max(point) > NUMBER_MAX {
            return Err(input.error(Fault::Limit("a number")));
        }
        Ok(Hold {
            id,
            group,
            kind,
            manifest: manifest.checked_sub(1),
            point: (point > 0).then_some(point),
            until,
            text,
        })
    }
}
