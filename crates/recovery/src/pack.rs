//! Packing the live bytes of sparse frames into new frames, in address order.

use afterimage_changelog::{
    EncodedFrame, SECTOR, count, frame::FrameEncoder, length, limits::FRAME_BYTES_DEFAULT, size,
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

/// Gathers live pieces and packs them.
#[derive(Debug)]
pub(crate) struct Packer<'a> {
    live: &'a [Extent],
    /// The live extents of sparse frames: object, frame, number of the extent; in that order.
    sparse: Vec<(u32, u32, u32)>,
    level: i32,
    /// Number of the extent and where its payload starts in `payload`.
    pieces: Vec<(u32, usize)>,
    payload: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(live: &'a [Extent], fates: &Fates, level: i32) -> Packer<'a> {
        let is_sparse = |extent: &Extent| {
            !extent.is_zero() && fates.of(extent.object, extent.frame) == FrameFate::Repacked
        };
        let mut sparse: Vec<(u32, u32, u32)> = live
            .iter()
            .zip(0u32..)
            .filter(|(extent, _)| is_sparse(extent))
            .map(|(extent, number)| (extent.object, extent.frame, number))
            .collect();
        sparse.sort_unstable();
        Packer {
            live,
            sparse,
            level,
            pieces: Vec::new(),
            payload: Vec::new(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        length(&self.payload) >= PACK_BYTES
    }

    /// Takes the live bytes out of a frame's payload; gives how many.
    pub(crate) fn take(&mut self, at: &FrameRef, payload: &[u8]) -> u64 {
        let first = self
            .sparse
            .partition_point(|&(object, number, _)| (object, number) < (at.object, at.frame));
        let before = self.payload.len();
        for &(object, number, extent) in self.sparse.get(first..).unwrap_or_default() {
            if (object, number) != (at.object, at.frame) {
                break;
            }
            let Some(run) = self.live.get(size(u64::from(extent))) else {
                break;
            };
            let start = size(u64::from(run.offset) * SECTOR);
            let end = start + size(u64::from(run.sectors) * SECTOR);
            let piece = payload.get(start..end);
            let piece = piece.expect("rows were checked against their frames");
            self.pieces.push((extent, self.payload.len()));
            self.payload.extend_from_slice(piece);
        }
        count(self.payload.len() - before)
    }

    /// Packs what was gathered: frames, and for each the pieces in it, with layer and frame left 0.
    pub(crate) fn drain(&mut self) -> Vec<(EncodedFrame, Vec<Packed>)> {
        let payload = std::mem::take(&mut self.payload);
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_unstable();
        let live = |extent: u32| self.live.get(size(u64::from(extent)));
        let pieces: Vec<(u32, &[u8])> = pieces
            .into_iter()
            .map(|(extent, start)| {
                let sectors = live(extent).map_or(0, |run| run.sectors);
                let end = start + size(u64::from(sectors) * SECTOR);
                (extent, payload.get(start..end).unwrap_or_default())
            })
            .collect();
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
