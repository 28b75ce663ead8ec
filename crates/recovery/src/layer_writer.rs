//! From live extents to layers: frames that are dense pass through, sparse ones are repacked, and a
//! frame without a live byte is never fetched.

use afterimage_changelog::{
    Disk, EncodedFrame, Epoch, Name, Row, RowKind, SECTOR, Sequence, Timestamp, count,
    limits::ROWS_MAX, size,
};
use afterimage_coalesce::{Density, Extent, FrameFate};
use afterimage_fetch::{Ahead, FrameRef, FrameSource, Run, batches, runs};
use afterimage_storage::{Nonces, Store};
use bytes::Bytes;
use rayon::prelude::*;

use crate::{
    error::RecoveryError,
    manifest::LayerRef,
    name::layer_key,
    output::{LayerDraft, LayerLimits, LayerOutput},
    pack::{Packed, Packer, Sparse},
};

/// What layers are written for: one stream, one interval or a part of one.
#[derive(Clone, Debug)]
pub struct LayerJob<'a> {
    /// Where the layers go.
    pub store: &'a dyn Store,
    /// Source of their ids.
    pub nonces: &'a Nonces,
    /// The group.
    pub group: &'a Name,
    /// The stream.
    pub stream: &'a Name,
    /// Epoch of the worker.
    pub epoch: Epoch,
    /// The disks that the extents count, each as large as it was at any time of the interval.
    pub disks: &'a [Disk],
    /// The first record covered.
    pub first: Sequence,
    /// The last record covered.
    pub last: Sequence,
    /// When it is made.
    pub created: Timestamp,
    /// Level of zstd for repacked frames.
    pub level: i32,
}

/// The layers of one job, all of them durable, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenLayers {
    /// The layers; they do not overlap, so their order does not matter.
    pub layers: Vec<LayerRef>,
    /// Bytes of the disks that the extents cover.
    pub changed_bytes: u64,
    /// Frames copied as they were.
    pub passed_frames: u64,
    /// Their stored bytes.
    pub passed_bytes: u64,
    /// Frames of which only the live bytes were taken.
    pub repacked_frames: u64,
    /// Those live bytes.
    pub repacked_bytes: u64,
    /// Stored bytes that were fetched.
    pub fetched_bytes: u64,
}

impl WrittenLayers {
    /// Adds the layers of a later part of the same interval, which lie above these.
    pub fn add(&mut self, later: WrittenLayers) {
        let WrittenLayers {
            layers,
            changed_bytes,
            passed_frames,
            passed_bytes,
            repacked_frames,
            repacked_bytes,
            fetched_bytes,
        } = later;
        self.layers.extend(layers);
        self.changed_bytes += changed_bytes;
        self.passed_frames += passed_frames;
        self.passed_bytes += passed_bytes;
        self.repacked_frames += repacked_frames;
        self.repacked_bytes += repacked_bytes;
        self.fetched_bytes += fetched_bytes;
    }
}

/// A frame's place in the new layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    layer: u32,
    frame: u32,
}

#[derive(Debug)]
struct Writer<'a> {
    live: &'a [Extent],
    /// Where each passed frame of each object went.
    places: Vec<Vec<Option<Place>>>,
    packed: Vec<Packed>,
    packer: Packer,
    output: LayerOutput<'a>,
    written: WrittenLayers,
}

/// The layers of one job, written to the last byte: all but the last durable.
///
/// What makes an object durable is waiting for the disk, so it is left to whoever can wait for
/// several at once.
#[derive(Debug)]
#[must_use = "the last layer is not durable yet"]
pub struct DraftLayers {
    written: WrittenLayers,
    last: Option<LayerDraft>,
}

impl DraftLayers {
    /// What it took, and the layers that are durable already.
    #[must_use]
    pub const fn written(&self) -> &WrittenLayers {
        &self.written
    }

    /// Makes the last layer durable too.
    ///
    /// # Errors
    ///
    /// The store failed; nothing is left under a name that counts.
    pub fn seal(self, store: &dyn Store, group: &Name) -> Result<WrittenLayers, RecoveryError> {
        let DraftLayers { mut written, last } = self;
        match last.map(LayerDraft::seal).transpose() {
            Ok(layer) => {
                written.layers.extend(layer);
                Ok(written)
            }
            Err(error) => {
                delete_layers(store, group, &written.layers);
                Err(error)
            }
        }
    }

    /// Deletes what is durable and drops the rest.
    pub fn abandon(self, store: &dyn Store, group: &Name) {
        delete_layers(store, group, &self.written.layers);
    }
}

/// Deletes layers that nobody was told of, so that nobody can name them.
pub fn delete_layers(store: &dyn Store, group: &Name, layers: &[LayerRef]) {
    let keys = layers
        .iter()
        .map(|layer| layer_key(group, layer.epoch, layer.id));
    if let Err(error) = store.delete_all(&keys.collect::<Vec<_>>()) {
        tracing::warn!(%group, %error, "layers that no manifest names were left");
    }
}

/// Writes the layers of `live`, as [`draft_layers`] does, and makes them durable.
///
/// # Errors
///
/// A store failed, or a frame is damaged; nothing is left under a name that counts.
///
/// # Panics
///
/// With more live extents than a layer has rows; seal partial layers before.
pub fn write_layers(
    job: &LayerJob<'_>,
    live: &[Extent],
    frames_of_object: &[usize],
    source: &dyn FrameSource,
) -> Result<WrittenLayers, RecoveryError> {
    draft_layers(job, live, frames_of_object, source)?.seal(job.store, job.group)
}

/// Writes the layers of `live`, which is in address order and disjoint; object `n` of `source` has
/// `frames_of_object[n]` frames. Nothing of it counts before a manifest names the layers.
///
/// # Errors
///
/// A store failed, or a frame is damaged; nothing is left under a name that counts.
///
/// # Panics
///
/// With more live extents than a layer has rows; seal partial layers before.
pub fn draft_layers(
    job: &LayerJob<'_>,
    live: &[Extent],
    frames_of_object: &[usize],
    source: &dyn FrameSource,
) -> Result<DraftLayers, RecoveryError> {
    assert!(
        count(live.len()) <= ROWS_MAX,
        "an interval is sealed in parts"
    );
    if live.is_empty() {
        return Ok(DraftLayers {
            written: WrittenLayers::default(),
            last: None,
        });
    }
    let (needed, fates) = sift(live, frames_of_object, source)?;
    let mut writer = Writer {
        live,
        packer: Packer::new(job.level),
        places: frames_of_object
            .iter()
            .map(|&frames| vec![None; frames])
            .collect(),
        packed: Vec::new(),
        output: LayerOutput::new(job, LayerLimits::FORMAT),
        written: WrittenLayers::default(),
    };
    writer.written.changed_bytes = live
        .iter()
        .map(|extent| u64::from(extent.sectors) * SECTOR)
        .sum();
    let sparse = Sparse::new(live, &fates);
    let runs = runs(source, needed);
    let source = Ahead::of(source, &runs);
    match writer.write(&runs, &source, &fates, &sparse) {
        Ok(last) => Ok(DraftLayers {
            written: writer.written,
            last,
        }),
        Err(error) => {
            writer.output.abandon();
            Err(error)
        }
    }
}

/// A frame on its way into a layer.
#[derive(Debug)]
enum Prepared {
    /// To be copied as it is.
    Passed(EncodedFrame),
    /// The live pieces of one that are to be packed, by extent.
    Sparse(Vec<(u32, Bytes)>),
}

/// Fetches and checks runs, and takes the live bytes out of their sparse frames.
fn prepare(
    runs: &[Run],
    source: &dyn FrameSource,
    fates: &Fates,
    sparse: &Sparse<'_>,
) -> Result<Vec<Vec<Prepared>>, RecoveryError> {
    let of_frame = |at: &FrameRef, mut frame: EncodedFrame, is_thin: bool| {
        if fates.of(at.object, at.frame) != FrameFate::Repacked {
            if is_thin {
                frame.bytes = Bytes::copy_from_slice(&frame.bytes);
            }
            return Ok(Prepared::Passed(frame));
        }
        let pieces = frame.with_payload(|payload| sparse.pieces(at, payload));
        pieces
            .map(Prepared::Sparse)
            .map_err(|error| RecoveryError::corrupt(&source.name(at.place), error))
    };
    let of_run = |run: &Run| {
        let frames = run.fetch(source)?;
        // A frame keeps all that was fetched with it, and it may wait for long to be sent.
        let is_thin = run.spanned_bytes() > 2 * run.stored_bytes();
        let frames = run.frames.par_iter().zip(frames);
        frames
            .map(|(at, frame)| of_frame(at, frame, is_thin))
            .collect()
    };
    runs.par_iter().map(of_run).collect()
}

/// What becomes of each frame of each object.
#[derive(Debug)]
pub(crate) struct Fates(Vec<Vec<FrameFate>>);

impl Fates {
    pub(crate) fn of(&self, object: u32, frame: u32) -> FrameFate {
        let frames = self.0.get(size(u64::from(object)));
        let fate = frames.and_then(|frames| frames.get(size(u64::from(frame))));
        fate.copied().unwrap_or(FrameFate::Dropped)
    }
}

/// The frames with a live byte, in order of object and place, and what becomes of every frame.
fn sift(
    live: &[Extent],
    frames_of_object: &[usize],
    source: &dyn FrameSource,
) -> Result<(Vec<FrameRef>, Fates), RecoveryError> {
    let density = Density::count(frames_of_object, live);
    let mut needed = Vec::new();
    let mut fates = Vec::with_capacity(frames_of_object.len());
    for (index, object) in (0..frames_of_object.len()).zip(0u32..) {
        let mut of_object = Vec::new();
        for (&live, frame) in density.of_object(index).iter().zip(0u32..) {
            let fate = if live == 0 {
                FrameFate::Dropped
            } else {
                let frame = source.needed(object, frame)?;
                needed.push(frame);
                Density::fate(live, frame.entry.raw)
            };
            of_object.push(fate);
        }
        fates.push(of_object);
    }
    Ok((needed, Fates(fates)))
}

impl Writer<'_> {
    fn write(
        &mut self,
        runs: &[Run],
        source: &dyn FrameSource,
        fates: &Fates,
        sparse: &Sparse<'_>,
    ) -> Result<Option<LayerDraft>, RecoveryError> {
        let prepare = |runs: Option<&[Run]>| {
            let prepared = runs.map(|runs| prepare(runs, source, fates, sparse));
            prepared.transpose().map(Option::unwrap_or_default)
        };
        let mut batches = batches(runs).peekable();
        let mut prepared = prepare(batches.peek().copied())?;
        while let Some(batch) = batches.next() {
            let frames = std::mem::take(&mut prepared);
            let next = batches.peek().copied();
            // The next ones are fetched, checked and decompressed while these are written.
            let (next, placed) = rayon::join(
                || prepare(next),
                || {
                    let mut pairs = batch.iter().zip(frames);
                    pairs.try_for_each(|(run, frames)| self.place(run, frames))
                },
            );
            placed?;
            prepared = next?;
        }
        self.flush_packer()?;
        self.put_rows(true)?;
        let last = self.output.end()?;
        self.written.layers = self.output.take_sealed();
        Ok(last)
    }

    fn place(&mut self, run: &Run, frames: Vec<Prepared>) -> Result<(), RecoveryError> {
        self.written.fetched_bytes += run.stored_bytes();
        for (at, prepared) in run.frames.iter().zip(frames) {
            match prepared {
                Prepared::Passed(frame) => {
                    self.written.passed_frames += 1;
                    self.written.passed_bytes += count(frame.bytes.len());
                    let place = self.put_frame(frame)?;
                    let frames = self.places.get_mut(size(u64::from(at.object)));
                    let slot = frames.and_then(|frames| frames.get_mut(size(u64::from(at.frame))));
                    *slot.expect("the frame is one of the object's") = Some(place);
                }
                Prepared::Sparse(pieces) => {
                    self.written.repacked_frames += 1;
                    self.written.repacked_bytes += self.packer.take(pieces);
                    if self.packer.is_full() {
                        self.flush_packer()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn flush_packer(&mut self) -> Result<(), RecoveryError> {
        for (frame, pieces) in self.packer.drain() {
            let Place { layer, frame } = self.put_frame(frame)?;
            self.packed.extend(pieces.into_iter().map(|piece| Packed {
                layer,
                frame,
                ..piece
            }));
        }
        Ok(())
    }

    fn put_frame(&mut self, frame: EncodedFrame) -> Result<Place, RecoveryError> {
        let rows = count(self.live.len());
        if !self.output.has_room(rows, count(frame.bytes.len())) {
            self.put_rows(false)?;
            self.output.seal()?;
        }
        let layer = self.output.number();
        let frame = self.output.put_frame(frame)?;
        Ok(Place { layer, frame })
    }

    /// The rows of the extents whose frames are in the open layer, in address order. Zeroed runs
    /// have no frame and go into the last layer.
    fn put_rows(&mut self, last: bool) -> Result<(), RecoveryError> {
        let layer = self.output.number();
        self.packed.sort_unstable_by_key(|packed| packed.extent);
        let mut packed = self.packed.iter().peekable();
        for (extent, number) in self.live.iter().zip(0u32..) {
            while packed.next_if(|packed| packed.extent < number).is_some() {}
            let kind = if extent.is_zero() {
                last.then_some(RowKind::Zero)
            } else if let Some(packed) = packed.next_if(|packed| packed.extent == number) {
                let Packed { frame, offset, .. } = *packed;
                (packed.layer == layer).then_some(RowKind::Write { frame, offset })
            } else {
                let frames = self.places.get(size(u64::from(extent.object)));
                let place = frames.and_then(|frames| *frames.get(size(u64::from(extent.frame)))?);
                place
                    .filter(|place| place.layer == layer)
                    .map(|place| RowKind::Write {
                        frame: place.frame,
                        offset: extent.offset,
                    })
            };
            if let Some(kind) = kind {
                self.output.put_row(&Row {
                    kind,
                    continued: false,
                    disk: extent.disk,
                    sectors: extent.sectors,
                    start: extent.start,
                })?;
            }
        }
        Ok(())
    }
}
