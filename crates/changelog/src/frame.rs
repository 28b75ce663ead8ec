//! Frames: the unit of compression, of checking and of passing through.

use std::cell::RefCell;

use bytes::Bytes;

use crate::{
    error::{DecodeError, Fault},
    limits::FRAME_BYTES_MAX,
    units::{Digest, length, size},
    wire::{Put, Take},
};

/// Encoded length of a frame's entry in the index.
pub const FRAME_ENTRY_BYTES: usize = 56;

/// How a frame's payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As it is.
    Raw,
    /// One zstd frame.
    Zstd,
}

/// Where a frame lies in its object and how to check it.
///
/// ```text
/// offset  size  field
///      0     8  offset    first byte in the object
///      8     4  stored    bytes in the object
///     12     4  raw       bytes of payload when decompressed, a multiple of 512
///     16     1  codec     1 raw, 2 zstd
///     17     3  reserved  zero
///     20     4  layer     in an index: number of the layer it lies in; else zero
///     24    32  digest    BLAKE3 of the stored bytes
///     56
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// First byte in the object.
    pub offset: u64,
    /// Bytes in the object.
    pub stored: u32,
    /// Bytes of payload when decompressed.
    pub raw: u32,
    /// How the payload is stored.
    pub codec: Codec,
    /// In an index the number of the layer that it lies in; else zero.
    pub layer: u32,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

/// A frame ready to be stored; it can go into any object as it is.
#[derive(Clone, Debug)]
pub struct EncodedFrame {
    /// The stored bytes.
    pub bytes: Bytes,
    /// Bytes of payload when decompressed.
    pub raw: u32,
    /// How the payload is stored.
    pub codec: Codec,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

/// Compresses payloads into frames; keeps its working memory from one to the next.
pub struct FrameEncoder {
    compressor: zstd::bulk::Compressor<'static>,
}

impl FrameEncoder {
    /// An encoder at a zstd level.
    ///
    /// # Panics
    ///
    /// If zstd cannot allocate its context.
    #[must_use]
    pub fn new(level: i32) -> FrameEncoder {
        let mut compressor =
            zstd::bulk::Compressor::new(level).expect("a zstd context can be allocated");
        // The entry in the index holds length and hash already.
        compressor
            .include_checksum(false)
            .expect("zstd has this switch");
        compressor
            .include_contentsize(false)
            .expect("zstd has this switch");
        FrameEncoder { compressor }
    }

    /// Makes a frame of `payload`, raw where compression does not make it smaller.
    ///
    /// # Panics
    ///
    /// With an empty payload, one over 1 MiB, or one that is no multiple of 512 bytes.
    pub fn encode(&mut self, payload: Bytes) -> EncodedFrame {
        let raw = u32::try_from(payload.len()).expect("payloads are cut to frames");
        assert!(
            raw > 0 && raw <= FRAME_BYTES_MAX && raw.is_multiple_of(512),
            "a frame holds one sector to 1 MiB, not {raw} bytes"
        );
        let (bytes, codec) = match self.compressor.compress(&payload) {
            Ok(small) if small.len() < payload.len() => (Bytes::from(small), Codec::Zstd),
            // An error of the compressor is no reason to lose a write: it is stored as it is.
            _ => (payload, Codec::Raw),
        };
        let digest = Digest::of(&bytes);
        EncodedFrame {
            bytes,
            raw,
            codec,
            digest,
        }
    }
}

impl std::fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameEncoder")
    }
}

impl FrameEntry {
    /// Encodes the entry.
    pub fn put(&self, out: &mut Put) {
        let FrameEntry {
            offset,
            stored,
            raw,
            codec,
            layer,
            digest,
        } = self;
        out.u64(*offset);
        out.u32(*stored);
        out.u32(*raw);
        out.u8(match codec {
            Codec::Raw => 1,
            Codec::Zstd => 2,
        });
        out.bytes(&[0; 3]);
        out.u32(*layer);
        out.bytes(&digest.0);
    }

    /// Decodes an entry.
    ///
    /// # Errors
    ///
    /// A codec that is not known, a length that no frame has.
    pub fn take(input: &mut Take<'_>) -> Result<FrameEntry, DecodeError> {
        let here = input.clone();
        let offset = input.u64()?;
        let stored = input.u32()?;
        let raw = input.u32()?;
        let codec = match input.u8()? {
            1 => Codec::Raw,
            2 => Codec::Zstd,
            _ => return Err(here.error(Fault::Field("a frame's codec"))),
        };
        input.reserved::<3>()?;
        let layer = input.u32()?;
        let digest = Digest(input.array()?);
        let raw_fits = raw > 0 && raw <= FRAME_BYTES_MAX && raw.is_multiple_of(512);
        let stored_fits = match codec {
            Codec::Raw => stored == raw,
            Codec::Zstd => stored > 0 && stored < raw,
        };
        if !raw_fits || !stored_fits || offset.checked_add(u64::from(stored)).is_none() {
            return Err(here.error(Fault::Field("a frame's length")));
        }
        Ok(FrameEntry {
            offset,
            stored,
            raw,
            codec,
            layer,
            digest,
        })
    }

    /// First byte after the frame in its object.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.stored))
    }

    /// Checks stored bytes against the entry and gives them as a frame that can be passed on.
    ///
    /// # Errors
    ///
    /// [`Fault::Digest`] where they are not the frame's.
    pub fn check(&self, stored: Bytes) -> Result<EncodedFrame, DecodeError> {
        if length(&stored) != u64::from(self.stored) || Digest::of(&stored) != self.digest {
            return Err(DecodeError {
                part: "frame",
                offset: self.offset,
                fault: Fault::Digest,
            });
        }
        Ok(EncodedFrame {
            bytes: stored,
            raw: self.raw,
            codec: self.codec,
            digest: self.digest,
        })
    }
}

/// What decompressing takes beside the bytes; kept from one frame to the next.
#[derive(Default)]
struct Scratch {
    /// Making one costs more than decompressing a frame with it.
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    payload: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Decompresses into the kept buffer, which grows to the largest frame there was.
    fn decompress(&mut self, frame: &EncodedFrame) -> Result<&[u8], DecodeError> {
        let error = DecodeError {
            part: "frame",
            offset: 0,
            fault: Fault::Payload,
        };
        let raw = size(u64::from(frame.raw));
        if self.payload.len() < raw {
            self.payload.resize(raw, 0);
        }
        let decompressor = self.decompressor.get_or_insert_with(|| {
            zstd::bulk::Decompressor::new().expect("a zstd context can be allocated")
        });
        // Bounded by `raw`, which is at most 1 MiB, whatever the bytes declare.
        let payload = self.payload.get_mut(..raw).unwrap_or_default();
        match decompressor.decompress_to_buffer(&frame.bytes, payload) {
            Ok(written) if written == raw => Ok(payload),
            _ => Err(error),
        }
    }
}

impl EncodedFrame {
    /// The payload.
    ///
    /// # Errors
    ///
    /// [`Fault::Payload`] where the stored bytes, though intact, do not give the declared length.
    ///
    /// # Panics
    ///
    /// If zstd cannot allocate its context.
    pub fn decode(&self) -> Result<Bytes, DecodeError> {
        match self.codec {
            Codec::Raw => Ok(self.bytes.clone()),
            Codec::Zstd => self.with_payload(Bytes::copy_from_slice),
        }
    }

    /// Shows the payload, for whoever needs it once: no memory is allocated for it.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](EncodedFrame::decode).
    ///
    /// # Panics
    ///
    /// If zstd cannot allocate its context, or if `show` decompresses a frame itself.
    pub fn with_payload<T>(&self, show: impl FnOnce(&[u8]) -> T) -> Result<T, DecodeError> {
        match self.codec {
            Codec::Raw => Ok(show(&self.bytes)),
            Codec::Zstd => SCRATCH.with_borrow_mut(|scratch| scratch.decompress(self).map(show)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_shrink_is_stored_raw() {
        let mut encoder = FrameEncoder::new(1);
        let noise: Vec<u8> = (0u32..128)
            .flat_map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes())
            .collect();
        let frame = encoder.encode(Bytes::from(noise.clone()));
        assert_eq!(frame.codec, Codec::Raw);
        assert_eq!(frame.decode().unwrap(), noise);
        let frame = encoder.encode(Bytes::from(vec![7; 4096]));
        assert_eq!(frame.codec, Codec::Zstd);
        assert_eq!(frame.decode().unwrap(), vec![7; 4096]);
    }

    #[test]
    fn a_bomb_is_refused_at_its_declared_length() {
        let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 1).unwrap();
        let frame = EncodedFrame {
            digest: Digest::of(&bomb),
            bytes: Bytes::from(bomb),
            raw: 4096,
            codec: Codec::Zstd,
        };
        assert_eq!(frame.decode().unwrap_err().fault, Fault::Payload);
    }
}
