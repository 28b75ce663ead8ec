//! Proving that layers can be read back, before anyone needs them.

use std::{ops::Range, sync::Arc};

use afterimage_changelog::{
    DecodeError, FrameEntry, Name,
    container::{Index, check_row_fits},
    count, size,
};
use afterimage_fetch::{Ahead, FetchError, FrameRef, FrameSource, runs};
use afterimage_storage::{ReadAhead, Store, StoreError};
use bytes::Bytes;
use rayon::prelude::*;

use crate::{error::RecoveryError, layer::Layer, manifest::LayerRef};

/// Which share of the frames is read; every index page is read in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Frames of every million that are read.
    pub per_million: u32,
    /// Chooses which.
    pub seed: u64,
}

impl Sample {
    /// Every frame.
    pub const ALL: Sample = Sample {
        per_million: 1_000_000,
        seed: 0,
    };

    fn chooses(self, layer: &LayerRef, frame: u32) -> bool {
        if self.per_million >= 1_000_000 {
            return true;
        }
        let mut key = [0; 28];
        let fields = layer
            .id
            .0
            .into_iter()
            .chain(frame.to_le_bytes())
            .chain(self.seed.to_le_bytes());
        key.iter_mut()
            .zip(fields)
            .for_each(|(slot, byte)| *slot = byte);
        let hash = blake3::hash(&key);
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first) % 1_000_000 < u64::from(self.per_million)
    }
}

/// What was read and found intact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Layers.
    pub layers: u64,
    /// Frames in them.
    pub frames: u64,
    /// Frames that were read, checked and decompressed.
    pub frames_read: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
    /// Their payload.
    pub raw_bytes: u64,
}

impl Verified {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Verified) -> Verified {
        Verified {
            layers: self.layers + other.layers,
            frames: self.frames + other.frames,
            frames_read: self.frames_read + other.frames_read,
            stored_bytes: self.stored_bytes + other.stored_bytes,
            raw_bytes: self.raw_bytes + other.raw_bytes,
        }
    }
}

#[derive(Debug)]
struct OneLayer {
    layer: Layer,
    frames: Vec<FrameEntry>,
}

impl FrameSource for OneLayer {
    fn name(&self, _object: u32) -> String {
        self.layer.key.to_string()
    }

    fn entry(&self, _object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        match self.frames.get(size(u64::from(frame))) {
            Some(entry) => Ok(*entry),
            None => self.layer.entry(frame),
        }
    }

    fn read(&self, _object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.layer.read(range)
    }

    fn read_ahead(&self, wanted: &[(u32, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        let ranges = wanted.iter().map(|(_, range)| range.clone());
        self.layer.read_ahead(ranges)
    }
}

/// Reads a layer's whole index and the sampled frames, and checks all of it.
///
/// # Errors
///
/// The layer is missing, damaged or another one; the first fault found.
pub fn verify_layer(
    store: &Arc<dyn Store>,
    group: &Name,
    layer: &LayerRef,
    sample: Sample,
) -> Result<Verified, RecoveryError> {
    let open = Layer::open(Arc::clone(store), group, layer)?;
    let corrupt = |error: DecodeError| RecoveryError::corrupt(&open.key, error);
    let Index { rows, frames } = open
        .container
        .index(|range| open.read(range))
        .map_err(|error| RecoveryError::open(&open.key, error))?;
    for row in &rows {
        if let afterimage_changelog::RowKind::Write { frame, .. } = row.kind {
            check_row_fits(row, frames.get(size(u64::from(frame)))).map_err(corrupt)?;
        }
    }
    let chosen: Vec<FrameRef> = frames
        .iter()
        .zip(0u32..)
        .filter(|(_, frame)| sample.chooses(layer, *frame))
        .map(|(&entry, frame)| FrameRef {
            object: 0,
            frame,
            place: 0,
            entry,
        })
        .collect();
    let mut verified = Verified {
        layers: 1,
        frames: count(frames.len()),
        ..Verified::default()
    };
    let source = OneLayer {
        layer: open,
        frames,
    };
    let runs = runs(&source, chosen);
    let ahead = Ahead::of(&source, &runs);
    for run in &runs {
        verified.frames_read += count(run.frames.len());
        verified.stored_bytes += run.stored_bytes();
        let raw = run.fetch(&ahead)?.into_par_iter().map(|frame| {
            let payload = frame
                .decode()
                .map_err(|error| RecoveryError::corrupt(&source.layer.key, error))?;
            Ok(afterimage_changelog::length(&payload))
        });
        verified.raw_bytes += raw.sum::<Result<u64, RecoveryError>>()?;
    }
    Ok(verified)
}
