//! A page of points: points that no commit is likely to change soon, in an object of their own, so
//! that a commit writes what is new and not the whole list.
//!
//! ```text
//! offset  size  field
//!      0     8  magic     "AFTRPTS" and a zero byte
//!      8     1  version   1
//!      9     7  reserved  zero
//!     16     8  epoch     of the worker that wrote it
//!     24    16  id        of the page
//!     40     -  group     name behind its one-byte length
//!      -     -  points    u32 number; each of them, oldest first, as in a manifest
//!      -    32  digest    BLAKE3 of all bytes before it
//! ```

use afterimage_changelog::{
    DecodeError, Digest, Epoch, Fault, Name, ObjectId, count,
    wire::{Put, Take},
};

use crate::record::{Point, many, take_points};

const MAGIC: [u8; 8] = *b"AFTRPTS\0";
const VERSION: u8 = 1;
const PART: &str = "page of points";
const DIGEST_BYTES: usize = 32;
/// Bytes of the largest page.
pub const PAGE_BYTES_MAX: u64 = 64 << 20;

/// A page of points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Epoch of the worker that wrote it.
    pub epoch: Epoch,
    /// Its id.
    pub id: ObjectId,
    /// The group.
    pub group: Name,
    /// The points, oldest first.
    pub points: Vec<Point>,
}

/// Encodes a page of these points.
pub(crate) fn encode<'a>(
    epoch: Epoch,
    id: ObjectId,
    group: &Name,
    points: impl ExactSizeIterator<Item = &'a Point>,
) -> Vec<u8> {
    let mut out = Put::default();
    out.bytes(&MAGIC);
    out.u8(VERSION);
    out.bytes(&[0; 7]);
    out.u64(epoch.0);
    out.bytes(&id.0);
    out.text(group.as_str());
    out.u32(many(points.len()));
    points.for_each(|point| point.put(&mut out));
    let digest = Digest::of(&out.0);
    out.bytes(&digest.0);
    out.0
}

impl Page {
    /// Encodes the page.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.epoch, self.id, &self.group, self.points.iter())
    }

    /// Decodes a page.
    ///
    /// # Errors
    ///
    /// Bytes that are not those of a whole, intact page.
    pub fn decode(bytes: &[u8]) -> Result<Page, DecodeError> {
        let body = sealed(PART, bytes, PAGE_BYTES_MAX)?;
        let mut input = Take::new(PART, body);
        if input.array()? != MAGIC {
            return Err(input.error(Fault::Magic));
        }
        let version = input.u8()?;
        if version != VERSION {
            return Err(input.error(Fault::Version(version)));
        }
        input.reserved::<7>()?;
        let epoch = Epoch(input.u64()?);
        let id = ObjectId(input.array()?);
        let group = input.name()?;
        let points = take_points(&mut input, None)?;
        input.end()?;
        Ok(Page {
            epoch,
            id,
            group,
            points,
        })
    }
}

/// What is before the digest that ends an object, once that is compared.
pub(crate) fn sealed<'a>(
    part: &'static str,
    bytes: &'a [u8],
    bytes_max: u64,
) -> Result<&'a [u8], DecodeError> {
    let all = Take::new(part, bytes);
    if count(bytes.len()) > bytes_max {
        return Err(all.error(Fault::Limit("the object's length")));
    }
    let body_bytes = bytes.len().checked_sub(DIGEST_BYTES);
    let Some((body, digest)) = body_bytes.and_then(|at| bytes.split_at_checked(at)) else {
        return Err(all.error(Fault::Truncated));
    };
    if Digest::of(body).0 != *digest {
        return Err(all.error(Fault::Digest));
    }
    Ok(body)
}
