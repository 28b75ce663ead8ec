//! Packing the live bytes of sparse frames into new frames, in address order.

use std::ops::Range;

use afterimage_changelog::{
    EncodedFrame, SECTOR, frame::FrameEncoder, length, limits::FRAME_BYTES_DEFAULT, size,
};
use afterimage_coalesce::{Extent, FrameFate};
use afterimage_fetch::FrameRef;
use bytes::{Bytes, BytesMut};
use rayon::prelude::*;

use crate::layer_writer::Fates;

/// Live bytes that are gathered before they are sorted and packed.
const PACK_BYTES: u64 = 16 << 20;

/// Where the payload of a repacked extent went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Number of the extent among the live ones.
    pub(crate) extent: u32,
    pub(crate) layer: u32,
    pub(crate) frame: u32,
    /// Sector of the frame's payload.
    pub(crate) offset: u16,
}

/// The live extents of sparse frames.
#[derive(Debug)]
pub(crate) struct Sparse<'a> {
    live: &'a [Extent],
    /// Object, frame, number of the extent; in that order.
    extents: Vec<(u32, u32, u32)>,
}

impl<'a> Sparse<'a> {
    pub(crate) fn new(live: &'a [Extent], fates: &Fates) -> Sparse<'a> {
        let is_sparse = |extent: &Extent| {
            !extent.is_zero() && fates.of(extent.object, extent.frame) == FrameFate::Repacked
        };
        let mut extents: Vec<(u32, u32, u32)> = live
            .iter()
            .zip(0u32..)
            .filter(|(extent, _)| is_sparse(extent))
            .map(|(extent, number)| (extent.object, extent.frame, number))
            .collect();
        extents.sort_unstable();
        Sparse { live, extents }
    }

    /// The live bytes of a frame's payload, by extent.
    pub(crate) fn pieces(&self, at: &FrameRef, payload: &[u8]) -> Vec<(u32, Bytes)> {
        let place = (at.object, at.frame);
        let first = self
            .extents
            .partition_point(|&(object, frame, _)| (object, frame) < place);
        let of_frame = self.extents.get(first..).unwrap_or_default();
        let of_frame = of_frame
            .iter()
            .take_while(|&&(object, frame, _)| (object, frame) == place);
        let of_frame = of_frame.filter_map(|&(_, _, number)| {
            let extent = self.live.get(size(u64::from(number)))?;
            let start = size(u64::from(extent.offset) * SECTOR);
            let bytes = size(u64::from(extent.sectors) * SECTOR);
            Some((number, start..start + bytes))
        });
        let of_frame: Vec<(u32, Range<usize>)> = of_frame.collect();
        let mut together = BytesMut::with_capacity(of_frame.iter().map(|(_, at)| at.len()).sum());
        for (_, range) in &of_frame {
            let piece = payload.get(range.clone());
            together.extend_from_slice(piece.expect("rows were checked against their frames"));
        }
        let mut together = together.freeze();
        let pieces = of_frame.into_iter();
        pieces
            .map(|(number, range)| (number, together.split_to(range.len())))
            .collect()
    }
}

/// Gathers live pieces and packs them.
#[derive(Debug)]
pub(crate) struct Packer {
    level: i32,
    /// Number of the extent and its payload.
    pieces: Vec<(u32, Bytes)>,
    bytes: u64,
}

impl Packer {
    pub(crate) const fn new(level: i32) -> Packer {
        Packer {
            level,
            pieces: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= PACK_BYTES
    }

    /// Takes the live pieces of a frame; gives how many bytes they have.
    pub(crate) fn take(&mut self, pieces: Vec<(u32, Bytes)>) -> u64 {
        let taken = pieces.iter().map(|(_, piece)| length(piece)).sum();
        self.bytes += taken;
        self.pieces.extend(pieces);
        taken
    }

    /// Packs what was gathered: frames, and for each the pieces in it, with layer and frame left 0.
    pub(crate) fn drain(&mut self) -> Vec<(EncodedFrame, Vec<Packed>)> {
        self.bytes = 0;
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_unstable_by_key(|&(extent, _)| extent);
        let pieces = pieces.iter().map(|(extent, piece)| (*extent, &piece[..]));
        let pieces: Vec<(u32, &[u8])> = pieces.collect();
        pack(&pieces, FRAME_BYTES_DEFAULT, self.level)
    }
}

/// Packs pieces, each the payload of an extent, into frames of about so many bytes, in the order
/// they come. Gives each frame with the pieces in it, their layer and frame left 0.
pub(crate) fn pack(
    pieces: &[(u32, &[u8])],
    frame_bytes: u32,
    level: i32,
) -> Vec<(EncodedFrame, Vec<Packed>)> {
    let mut frames: Vec<(Bytes, Vec<Packed>)> = Vec::new();
    let mut frame = BytesMut::new();
    let mut inside: Vec<Packed> = Vec::new();
    for &(extent, piece) in pieces {
        if frame.len() + piece.len() > size(u64::from(frame_bytes)) && !frame.is_empty() {
            frames.push((frame.split().freeze(), std::mem::take(&mut inside)));
        }
        let offset = u16::try_from(length(&frame) / SECTOR).expect("a frame is at most 1 MiB");
        inside.push(Packed {
            extent,
            layer: 0,
            frame: 0,
            offset,
        });
        frame.extend_from_slice(piece);
    }
    if !frame.is_empty() {
        frames.push((frame.freeze(), inside));
    }
    frames
        .into_par_iter()
        .map_init(
            || FrameEncoder::new(level),
            |encoder, (payload, inside)| (encoder.encode(payload), inside),
        )
        .collect()
}
