//! Writing the layers that take the place of others.

use std::{ops::Range, sync::Arc};

use afterimage_changelog::{Epoch, Name, Timestamp, count, row::ROW_BYTES};
use afterimage_coalesce::Extent;
use afterimage_storage::{Nonces, Store};

use super::{
    Limits, Pace, Shape,
    fate::{Fates, Needed},
    live::Windows,
    sources::Sources,
    window::{View, WindowWriter},
};
use crate::{
    error::RecoveryError,
    layer_writer::{LayerJob, WrittenLayers},
    manifest::LayerRef,
    output::LayerOutput,
};

/// How layers are rewritten.
#[derive(Clone, Debug)]
pub struct Rewrite<'a> {
    /// Where the layers are and go.
    pub store: &'a Arc<dyn Store>,
    /// Source of ids.
    pub nonces: &'a Nonces,
    /// The group.
    pub group: &'a Name,
    /// Epoch of the worker.
    pub epoch: Epoch,
    /// When it is done.
    pub created: Timestamp,
    /// Level of zstd for packed frames.
    pub level: i32,
    /// What is made of the layers. A base may only take the place of layers below which there are no
    /// others.
    pub shape: Shape,
    /// How much is held.
    pub limits: Limits,
}

/// The new layers, all of them durable, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The layers, in the order of the addresses they hold, and what moved.
    pub written: WrittenLayers,
    /// The most bytes of index and payload that were held at once.
    pub held_bytes_max: u64,
}

/// Writes layers that read like `layers`, which are neighbours in the list of one point, oldest
/// first. `None` where `pace` said stop. It is told the bytes of index of each window and the stored
/// bytes of each batch before they are fetched.
///
/// 1. creates layers one after the other: a crash leaves objects that no manifest names, which the
///    next worker of the group finds;
/// 2. where it fails or is stopped, deletes them again: a crash leaves some of them.
///
/// The old layers are never touched; they are read on until a manifest names the new ones.
///
/// # Errors
///
/// The store failed, or a layer is missing, damaged or another one; no new layer is left.
pub fn rewrite(
    job: &Rewrite<'_>,
    layers: &[LayerRef],
    pace: &mut Pace<'_>,
) -> Result<Option<Rewritten>, RecoveryError> {
    let sources = Sources::open(job.store, job.group, layers)?;
    let Some((stream, first, last)) = sources.span()? else {
        return Ok(Some(Rewritten::default()));
    };
    let Rewrite {
        store,
        nonces,
        group,
        epoch,
        created,
        level,
        shape,
        limits,
    } = job;
    let layer_job = LayerJob {
        store: store.as_ref(),
        nonces,
        group,
        stream: &stream,
        epoch: *epoch,
        disks: &sources.disks,
        first,
        last,
        created: *created,
        level: *level,
    };
    let mut rewriter = Rewriter {
        sources: &sources,
        shape: *shape,
        limits: *limits,
        level: *level,
        output: LayerOutput::new(&layer_job, limits.of_layer()),
        rewritten: Rewritten::default(),
    };
    match rewriter.run(pace) {
        Ok(Some(())) => Ok(Some(rewriter.rewritten)),
        stopped => {
            rewriter.output.abandon();
            stopped.map(|_| None)
        }
    }
}

#[derive(Debug)]
struct Rewriter<'a> {
    sources: &'a Sources,
    shape: Shape,
    limits: Limits,
    level: i32,
    output: LayerOutput<'a>,
    rewritten: Rewritten,
}

impl Rewriter<'_> {
    fn run(&mut self, pace: &mut Pace<'_>) -> Result<Option<()>, RecoveryError> {
        let mut windows = Windows::new(self.sources, self.shape, self.limits);
        loop {
            let window = windows.next()?;
            if window.is_empty() {
                self.rewritten.written.layers = self.output.finish()?;
                return Ok(Some(()));
            }
            if pace(count(window.len() * ROW_BYTES)).is_break()
                || self.window(&window, pace)?.is_none()
            {
                return Ok(None);
            }
        }
    }

    fn window(
        &mut self,
        window: &[Extent],
        pace: &mut Pace<'_>,
    ) -> Result<Option<()>, RecoveryError> {
        let fates = Fates::decide(window, self.sources, self.shape, &self.limits)?;
        let view = View {
            window,
            fates: &fates,
            source: self.sources,
        };
        let mut writer = WindowWriter::begin(
            view,
            self.limits,
            self.level,
            &mut self.output,
            &mut self.rewritten,
        )?;
        for batch in batches(&fates.frames, self.limits.batch_bytes) {
            let batch = fates.frames.get(batch).unwrap_or_default();
            let stored = batch.iter().map(|frame| u64::from(frame.at.entry.stored));
            if pace(stored.sum()).is_break() {
                return Ok(None);
            }
            // What was gathered is packed and written while the next frames are fetched, checked
            // and decompressed.
            let (taken, written) = rayon::join(|| view.take(batch), || writer.write_if_full());
            written?;
            writer.gather(batch, taken?);
        }
        writer.end()?;
        Ok(Some(()))
    }
}

/// Cuts frames into batches of about so many bytes, stored and live ones together.
fn batches(frames: &[Needed], bytes_max: u64) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (number, frame) in frames.iter().enumerate() {
        let weight = frame.fetched_bytes();
        match batches.last_mut() {
            Some(batch) if bytes + weight <= bytes_max => {
                batch.end = number + 1;
                bytes += weight;
            }
            _ => {
                batches.push(number..number + 1);
                bytes = weight;
            }
        }
    }
    batches
}
