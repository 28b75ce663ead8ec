//! Layers on their way into the store, one after the other: frames go there as they come, rows are
//! kept until their layer ends.

use afterimage_changelog::{
    ContainerBuilder, Digest, EncodedFrame, Fidelity, Header, ObjectId, ObjectKind, Row,
    limits::{OBJECT_BYTES_MAX, ROWS_MAX},
};
use afterimage_storage::{StoreErrorKind, Upload};
use bytes::Bytes;

use crate::{
    error::{RecoveryError, RecoveryErrorKind},
    layer_writer::{LayerJob, delete_layers},
    manifest::LayerRef,
    name::layer_key,
};

/// When a layer is full, apart from the limits of the format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerLimits {
    /// Bytes of its header and frames.
    pub(crate) bytes: u64,
    /// Its rows; they are in memory until it ends.
    pub(crate) rows: u64,
}

impl LayerLimits {
    /// Those of the format.
    pub(crate) const FORMAT: LayerLimits = LayerLimits {
        bytes: OBJECT_BYTES_MAX,
        rows: ROWS_MAX,
    };
}

#[derive(Debug)]
struct OpenLayer {
    builder: ContainerBuilder,
    upload: Box<dyn Upload>,
}

/// A layer that is written to its last byte and has neither a name nor durability yet. Dropping it
/// leaves nothing behind.
#[derive(Debug)]
pub(crate) struct LayerDraft {
    layer: LayerRef,
    upload: Box<dyn Upload>,
}

impl LayerDraft {
    /// Makes the layer durable, and then visible under its name.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(crate) fn seal(self) -> Result<LayerRef, RecoveryError> {
        self.upload.finish().map_err(|error| match error.kind {
            // Ids are never used twice: whoever holds this one is not this worker.
            StoreErrorKind::AlreadyExists => RecoveryError::new(
                &error.key,
                RecoveryErrorKind::Mismatch(
                    "a layer of this id exists already; its random source is broken".to_owned(),
                ),
            ),
            _ => RecoveryError::store(error),
        })?;
        Ok(self.layer)
    }
}

/// The layers of one job.
#[derive(Debug)]
pub(crate) struct LayerOutput<'a> {
    job: &'a LayerJob<'a>,
    limits: LayerLimits,
    open: Option<OpenLayer>,
    /// All of them durable.
    layers: Vec<LayerRef>,
}

impl<'a> LayerOutput<'a> {
    pub(crate) const fn new(job: &'a LayerJob<'a>, limits: LayerLimits) -> LayerOutput<'a> {
        LayerOutput {
            job,
            limits,
            open: None,
            layers: Vec::new(),
        }
    }

    /// Number of the layer that takes the next frame or row, if it is not sealed before.
    pub(crate) fn number(&self) -> u32 {
        u32::try_from(self.layers.len()).expect("layers are few")
    }

    /// Whether so many more rows and one more frame of so many bytes go into that layer. An empty
    /// one takes anything.
    pub(crate) fn has_room(&self, rows: u64, stored_bytes: u64) -> bool {
        self.open.as_ref().is_none_or(|OpenLayer { builder, .. }| {
            let is_empty = builder.frames().is_empty() && builder.rows() == 0;
            let within = builder.stored_bytes() + stored_bytes <= self.limits.bytes
                && builder.rows() + rows <= self.limits.rows;
            (is_empty || within) && builder.fits(rows, stored_bytes)
        })
    }

    /// Rows and frame entries that are in memory.
    pub(crate) fn held(&self) -> (u64, u64) {
        self.open
            .as_ref()
            .map_or((0, 0), |OpenLayer { builder, .. }| {
                let frames = afterimage_changelog::count(builder.frames().len());
                (builder.rows(), frames)
            })
    }

    /// Appends a frame; gives its number in the layer.
    pub(crate) fn put_frame(&mut self, frame: EncodedFrame) -> Result<u32, RecoveryError> {
        let OpenLayer { builder, upload } = self.open()?;
        let number = builder.push_frame(&frame);
        upload.write(frame.bytes).map_err(RecoveryError::store)?;
        Ok(number)
    }

    /// Appends a row; rows come in address order.
    pub(crate) fn put_row(&mut self, row: &Row) -> Result<(), RecoveryError> {
        self.open()?.builder.push_row(row);
        Ok(())
    }

    fn open(&mut self) -> Result<&mut OpenLayer, RecoveryError> {
        if self.open.is_none() {
            let LayerJob {
                store,
                nonces,
                group,
                stream,
                epoch,
                disks,
                first,
                created,
                ..
            } = *self.job;
            let builder = ContainerBuilder::new(Header {
                kind: ObjectKind::Layer,
                id: ObjectId(nonces.next()),
                fidelity: Fidelity::Data,
                epoch,
                number: 0,
                first,
                created,
                predecessor: Digest::NONE,
                group: group.clone(),
                stream: stream.clone(),
                disks: disks.to_vec(),
            });
            let key = layer_key(group, epoch, builder.header().id);
            let mut upload = store.upload(&key).map_err(RecoveryError::store)?;
            upload
                .write(builder.header_bytes())
                .map_err(RecoveryError::store)?;
            self.open = Some(OpenLayer { builder, upload });
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    /// Ends the layer, if there is one; it is durable then.
    pub(crate) fn seal(&mut self) -> Result<(), RecoveryError> {
        if let Some(draft) = self.end()? {
            self.layers.push(draft.seal()?);
        }
        Ok(())
    }

    /// Ends the layer, if there is one, and leaves it to the caller to make it durable.
    pub(crate) fn end(&mut self) -> Result<Option<LayerDraft>, RecoveryError> {
        let Some(OpenLayer {
            builder,
            mut upload,
        }) = self.open.take()
        else {
            return Ok(None);
        };
        let id = builder.header().id;
        let sealed = builder.finish(self.job.last);
        upload
            .write(Bytes::clone(&sealed.tail))
            .map_err(RecoveryError::store)?;
        let layer = LayerRef {
            epoch: self.job.epoch,
            id,
            object_bytes: sealed.object_bytes,
            digest: sealed.digest,
        };
        Ok(Some(LayerDraft { layer, upload }))
    }

    /// The layers that were sealed.
    pub(crate) fn take_sealed(&mut self) -> Vec<LayerRef> {
        std::mem::take(&mut self.layers)
    }

    /// The layers, the last one ended.
    pub(crate) fn finish(&mut self) -> Result<Vec<LayerRef>, RecoveryError> {
        self.seal()?;
        Ok(self.take_sealed())
    }

    /// Deletes what was written.
    pub(crate) fn abandon(&mut self) {
        self.open = None;
        delete_layers(self.job.store, self.job.group, &self.layers);
        self.layers.clear();
    }
}
