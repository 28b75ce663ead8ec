//! The header: what is known of an object before its first frame.
//!
//! ```text
//! offset  size  field
//!      0     8  magic        "AFTRIMG" and a zero byte
//!      8     1  kind         1 segment, 2 layer
//!      9     1  version      1
//!     10     2  suite        encryption suite; 0 none
//!     12     4  length       bytes of the whole header
//!     16    16  id           128 bits, unlike any other object's
//!     32     4  key          version of the group key; 0 with suite 0
//!     36     1  fidelity     1 data, 2 extents, 3 bitmap
//!     37     3  reserved     zero
//!     40     8  epoch        of the writer
//!     48     8  number       of the segment in its stream; 0 for a layer
//!     56     8  first        sequence of the first record it covers
//!     64     8  created      microseconds since 1970-01-01 UTC
//!     72    32  predecessor  digest of the segment before it; zero for a layer and for segment 0
//!    104     -  group        name behind its one-byte length
//!      -     -  stream       the same
//!      -     -  disks        u16 number; then for each u64 sectors, u8 log2 of its sector size, name
//! ```

use crate::{
    disk::{self, Disk},
    error::{DecodeError, Fault},
    limits::{HEADER_BYTES_MAX, NUMBER_MAX},
    name::Name,
    units::{Digest, Epoch, ObjectId, Sequence, Timestamp},
    wire::{Put, Take},
};

const MAGIC: [u8; 8] = *b"AFTRIMG\0";
/// The version of the format that this crate writes.
pub const VERSION: u8 = 1;
/// Bytes of the fixed part of a header.
pub const HEADER_FIXED_BYTES: u64 = 104;

/// Which of the two orders the object is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// Records in arrival order: a piece of the change log.
    Segment,
    /// Extents in address order, none overlapping: what changed between two points.
    Layer,
    /// Extents in address order, none overlapping, whose frames lie in layers.
    Index,
}

impl ObjectKind {
    /// The stored form.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            ObjectKind::Segment => 1,
            ObjectKind::Layer => 2,
            ObjectKind::Index => 3,
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<ObjectKind> {
        match code {
            1 => Some(ObjectKind::Segment),
            2 => Some(ObjectKind::Layer),
            3 => Some(ObjectKind::Index),
            _ => None,
        }
    }
}

/// What a segment can promise of the writes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fidelity {
    /// Every write with its bytes, in order.
    Data,
    /// What changed, but not in which order.
    Extents,
    /// Which regions changed.
    Bitmap,
}

impl Fidelity {
    const fn code(self) -> u8 {
        match self {
            Fidelity::Data => 1,
            Fidelity::Extents => 2,
            Fidelity::Bitmap => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Fidelity> {
        match code {
            1 => Some(Fidelity::Data),
            2 => Some(Fidelity::Extents),
            3 => Some(Fidelity::Bitmap),
            _ => None,
        }
    }

    /// The word that people and JSON see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Fidelity::Data => "data",
            Fidelity::Extents => "extents",
            Fidelity::Bitmap => "bitmap",
        }
    }
}

/// The header of a segment or layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Segment or layer.
    pub kind: ObjectKind,
    /// Unlike any other object's; the salt of its keys once there are any.
    pub id: ObjectId,
    /// What the object promises.
    pub fidelity: Fidelity,
    /// Epoch of the writer.
    pub epoch: Epoch,
    /// Number of the segment in its stream; 0 for a layer.
    pub number: u64,
    /// Sequence of the first record covered.
    pub first: Sequence,
    /// When it was begun.
    pub created: Timestamp,
    /// Digest of the segment before it.
    pub predecessor: Digest,
    /// The group it belongs to.
    pub group: Name,
    /// The stream it belongs to.
    pub stream: Name,
    /// The disks its rows count.
    pub disks: Vec<Disk>,
}

impl Header {
    /// Encodes the header.
    ///
    /// # Panics
    ///
    /// With more than 256 disks.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Header {
            kind,
            id,
            fidelity,
            epoch,
            number,
            first,
            created,
            predecessor,
            group,
            stream,
            disks,
        } = self;
        let mut tail = Put::default();
        tail.text(group.as_str());
        tail.text(stream.as_str());
        disk::put_table(disks, &mut tail);

        let mut out = Put::default();
        out.bytes(&MAGIC);
        out.u8(kind.code());
        out.u8(VERSION);
        out.u16(0);
        let length = HEADER_FIXED_BYTES + tail.length();
        out.u32(u32::try_from(length).expect("names and disks are bounded"));
        out.bytes(&id.0);
        out.u32(0);
        out.u8(fidelity.code());
        out.bytes(&[0; 3]);
        out.u64(epoch.0);
        out.u64(*number);
        out.u64(first.0);
        out.u64(created.0);
        out.bytes(&predecessor.0);
        out.bytes(&tail.0);
        out.0
    }

    /// Decodes a whole header.
    ///
    /// # Errors
    ///
    /// Another kind of object, a newer version, a field that is not valid.
    pub fn decode(bytes: &[u8]) -> Result<Header, DecodeError> {
        let mut input = Take::new("header", bytes);
        if input.array()? != MAGIC {
            return Err(Take::new("header", bytes).error(Fault::Magic));
        }
        let here = input.clone();
        let kind = ObjectKind::from_code(input.u8()?)
            .ok_or_else(|| here.error(Fault::Field("an object's kind")))?;
        let version = input.u8()?;
        if version != VERSION {
            return Err(here.error(Fault::Version(version)));
        }
        let suite = input.u16()?;
        if suite != 0 {
            return Err(here.error(Fault::Suite(suite)));
        }
        let stated = input.u32()?;
        if stated > HEADER_BYTES_MAX || u64::from(stated) != crate::units::length(bytes) {
            return Err(here.error(Fault::Field("the header's length")));
        }
        let id = ObjectId(input.array()?);
        input.reserved::<4>()?;
        let fidelity = Fidelity::from_code(input.u8()?)
            .ok_or_else(|| here.error(Fault::Field("a fidelity")))?;
        input.reserved::<3>()?;
        let epoch = Epoch(input.u64()?);
        let number = input.u64()?;
        let first = Sequence(input.u64()?);
        if epoch.0.max(number).max(first.0) > NUMBER_MAX {
            return Err(input.error(Fault::Limit("an epoch, number or sequence")));
        }
        let created = Timestamp(input.u64()?);
        let predecessor = Digest(input.array()?);
        let group = input.name()?;
        let stream = input.name()?;
        let disks = disk::take_table(&mut input)?;
        input.end()?;
        Ok(Header {
            kind,
            id,
            fidelity,
            epoch,
            number,
            first,
            created,
            predecessor,
            group,
            stream,
            disks,
        })
    }
}
