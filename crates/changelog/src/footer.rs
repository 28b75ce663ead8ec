//! The footer: the last bytes of an object, from which it is opened.
//!
//! ```text
//! offset  size  field
//!      0     8  directory  first byte of the directory in the object
//!      8     4  length     bytes of the directory
//!     12     4  header     bytes of the header
//!     16     8  rows       in all pages
//!     24     4  frames     in all pages
//!     28     4  markers    in the directory
//!     32     8  raw        bytes of payload in all frames when decompressed
//!     40     8  last       sequence of the last record covered
//!     48     1  kind       as in the header
//!     49     1  version    as in the header
//!     50     6  reserved   zero
//!     56    32  digest     BLAKE3 of header, directory and the 56 bytes before this field
//!     88     8  magic      "AFTREND" and a zero byte
//!     96
//! ```

use crate::{
    error::{DecodeError, Fault},
    header::{ObjectKind, VERSION},
    limits::{
        DIRECTORY_BYTES_MAX, FRAMES_MAX, HEADER_BYTES_MAX, INDEX_FRAMES_MAX, MARKERS_MAX,
        OBJECT_BYTES_MAX, ROWS_MAX,
    },
    units::{Digest, Sequence, length},
    wire::{Put, Take},
};

const MAGIC: [u8; 8] = *b"AFTREND\0";
/// Encoded length of a footer.
pub const FOOTER_BYTES: usize = 96;
/// Bytes of the footer that its digest covers.
const COVERED_BYTES: usize = 56;

/// Frames that an object of a kind has at most.
const fn frames_max(kind: ObjectKind) -> u32 {
    match kind {
        ObjectKind::Segment | ObjectKind::Layer => FRAMES_MAX,
        ObjectKind::Index => INDEX_FRAMES_MAX,
    }
}

/// The footer of a segment, layer or index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// First byte of the directory in the object.
    pub directory_offset: u64,
    /// Bytes of the directory.
    pub directory_bytes: u32,
    /// Bytes of the header.
    pub header_bytes: u32,
    /// Rows in all pages.
    pub rows: u64,
    /// Frames in all pages.
    pub frames: u32,
    /// Markers in the directory.
    pub markers: u32,
    /// Bytes of payload in all frames when decompressed.
    pub raw_bytes: u64,
    /// Sequence of the last record covered.
    pub last: Sequence,
    /// Segment or layer.
    pub kind: ObjectKind,
    /// Covers header, directory and footer; the directory covers the pages, and they the frames.
    pub digest: Digest,
}

impl Footer {
    /// Encodes the footer; its digest is computed here.
    #[must_use]
    pub fn encode(&mut self, header: &[u8], directory: &[u8]) -> Vec<u8> {
        let mut out = self.covered();
        self.digest = Digest::of_parts(&[header, directory, &out.0]);
        out.bytes(&self.digest.0);
        out.bytes(&MAGIC);
        out.0
    }

    /// Decodes the footer of an object of `object_bytes` bytes from its last 96 bytes.
    ///
    /// # Errors
    ///
    /// Another kind of file, a number over its limit, parts that do not fill the object.
    pub fn decode(bytes: &[u8], object_bytes: u64) -> Result<Footer, DecodeError> {
        let mut input = Take::new("footer", bytes);
        let start = input.clone();
        let directory_offset = input.u64()?;
        let directory_bytes = input.u32()?;
        let header_bytes = input.u32()?;
        let rows = input.u64()?;
        let frames = input.u32()?;
        let markers = input.u32()?;
        let raw_bytes = input.u64()?;
        let last = Sequence(input.u64()?);
        let code = input.u8()?;
        let version = input.u8()?;
        let reserved = input.reserved::<6>();
        let digest = Digest(input.array()?);
        if input.array()? != MAGIC {
            return Err(start.error(Fault::Magic));
        }
        input.end()?;
        if version != VERSION {
            return Err(start.error(Fault::Version(version)));
        }
        reserved?;
        let kind = ObjectKind::from_code(code)
            .ok_or_else(|| start.error(Fault::Field("an object's kind")))?;
        let limits = [
            (object_bytes <= OBJECT_BYTES_MAX, "the object's length"),
            (
                directory_bytes <= DIRECTORY_BYTES_MAX,
                "the directory's length",
            ),
            (header_bytes <= HEADER_BYTES_MAX, "the header's length"),
            (rows <= ROWS_MAX, "the number of rows"),
            (frames <= frames_max(kind), "the number of frames"),
            (markers <= MARKERS_MAX, "the number of markers"),
        ];
        if let Some((_, what)) = limits.into_iter().find(|(holds, _)| !holds) {
            return Err(start.error(Fault::Limit(what)));
        }
        let filled = directory_offset
            .checked_add(u64::from(directory_bytes))
            .and_then(|end| end.checked_add(length(bytes)));
        if filled != Some(object_bytes) || u64::from(header_bytes) > directory_offset {
            return Err(start.error(Fault::Field("the object's length")));
        }
        Ok(Footer {
            directory_offset,
            directory_bytes,
            header_bytes,
            rows,
            frames,
            markers,
            raw_bytes,
            last,
            kind,
            digest,
        })
    }

    /// Checks header and directory against the digest.
    ///
    /// # Errors
    ///
    /// [`Fault::Digest`].
    pub fn check(&self, header: &[u8], directory: &[u8]) -> Result<(), DecodeError> {
        let covered = self.covered();
        if Digest::of_parts(&[header, directory, &covered.0]) == self.digest {
            Ok(())
        } else {
            Err(Take::new("object", &[]).error(Fault::Digest))
        }
    }

    fn covered(&self) -> Put {
        let Footer {
            directory_offset,
            directory_bytes,
            header_bytes,
            rows,
            frames,
            markers,
            raw_bytes,
            last,
            kind,
            digest: _,
        } = self;
        let mut out = Put::default();
        out.u64(*directory_offset);
        out.u32(*directory_bytes);
        out.u32(*header_bytes);
        out.u64(*rows);
        out.u32(*frames);
        out.u32(*markers);
        out.u64(*raw_bytes);
        out.u64(last.0);
        out.u8(kind.code());
        out.u8(VERSION);
        out.bytes(&[0; 6]);
        debug_assert_eq!(out.0.len(), COVERED_BYTES);
        out
    }
}
