//! Merged indexes: the rows of many layers as one run, so that a point with thousands of layers
//! behind it is opened by opening a few objects. Payload is not touched.

use std::{collections::HashMap, sync::Arc};

use afterimage_changelog::{
    ContainerBuilder, Digest, Disk, Fidelity, Header, Name, ObjectId, ObjectKind, Row, RowKind,
    Sequence, Timestamp,
    directory::LayerPlace,
    limits::{INDEX_FRAMES_MAX, ROWS_MAX},
    size,
};
use afterimage_coalesce::{Merge, Sweep};
use afterimage_storage::{Nonces, Store};
use bytes::Bytes;

use crate::{
    cover::{Layers, Piece},
    error::RecoveryError,
    layer::{Layer, LayerExtents},
    manifest::{IndexRef, LayerRef, Manifest},
    name::index_key,
    read_cache::{ReadCache, SWEEP_CACHE_BYTES},
};

/// Neighbours that are merged into one index.
pub const FAN_OUT: usize = 32;

/// Limits of one object of an index; smaller ones are for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexLimits {
    /// Rows of an object.
    pub rows: u64,
    /// Frames of an object.
    pub frames: u32,
    /// Neighbours that are merged.
    pub fan_out: usize,
}

impl Default for IndexLimits {
    fn default() -> IndexLimits {
        IndexLimits {
            // So that the tables in memory while one is written stay below 64 MiB.
            rows: ROWS_MAX / 4,
            frames: INDEX_FRAMES_MAX,
            fan_out: FAN_OUT,
        }
    }
}

/// What an index is made with.
#[derive(Clone, Debug)]
pub struct IndexJob<'a> {
    /// Where it goes, and where the layers are.
    pub store: &'a Arc<dyn Store>,
    /// Source of ids.
    pub nonces: &'a Nonces,
    /// When it is made.
    pub created: Timestamp,
    /// Limits of its objects.
    pub limits: IndexLimits,
}

/// Stretches of layers, by their first one and their number, that want an index: every `fan_out`
/// neighbours get one, and every `fan_out` neighbouring indexes get one over them. Smaller ones
/// stay: older points need them.
#[must_use]
pub fn plan_indexes(manifest: &Manifest, limits: &IndexLimits) -> Option<(ObjectId, u32)> {
    let layers = Layers::new(manifest);
    // The largest possible pieces from the front on; runs of the same width become one.
    let widths: Vec<(usize, usize)> = {
        let mut at = 0;
        let pieces = layers.cover(0..layers.all.len());
        let widths = pieces.iter().map(|piece| {
            let width = match piece {
                Piece::Layer(_) => 1,
                Piece::Index(index) => size(u64::from(index.layers)),
            };
            at += width;
            (at - width, width)
        });
        widths.collect()
    };
    let fan_out = limits.fan_out.max(2);
    // The newest pieces are the narrow ones, so the search begins there.
    let run = widths.windows(fan_out).rev().find(|run| {
        let level = |width: usize| (width.max(1)).ilog(fan_out);
        let first = run.first().map(|(_, width)| level(*width));
        run.iter().all(|(_, width)| Some(level(*width)) == first)
    })?;
    let (start, _) = *run.first()?;
    let total: usize = run.iter().map(|(_, width)| width).sum();
    let first = layers.all.get(start)?.id;
    Some((first, u32::try_from(total).ok()?))
}

/// Writes the index over so many layers from `first` on, all of its objects durable. It counts once
/// a manifest names it. Memory is bounded by one object's tables.
///
/// # Errors
///
/// The store failed, or a layer is damaged; nothing is left then.
pub fn write_index(
    job: &IndexJob<'_>,
    manifest: &Manifest,
    first: ObjectId,
    layers: u32,
) -> Result<IndexRef, RecoveryError> {
    let mut written = Vec::new();
    match Writer::new(job, manifest)
        .and_then(|mut writer| writer.write(first, size(u64::from(layers)), &mut written))
    {
        Ok(()) => Ok(IndexRef {
            first,
            layers,
            objects: written,
        }),
        Err(error) => {
            for object in &written {
                let key = index_key(&manifest.group, object.epoch, object.id);
                let _left = job.store.delete(&key);
            }
            Err(error)
        }
    }
}

struct Writer<'a> {
    job: &'a IndexJob<'a>,
    manifest: &'a Manifest,
    disks: Vec<Disk>,
    /// The range of records that the layers cover, and their stream.
    range: Option<(Sequence, Sequence, Name)>,
    open: Option<Open>,
}

/// An object being written, and the numbers of what it refers to already.
struct Open {
    builder: ContainerBuilder,
    layers: HashMap<(u64, ObjectId), u32>,
    frames: HashMap<(u32, u32), u32>,
}

impl<'a> Writer<'a> {
    fn new(job: &'a IndexJob<'a>, manifest: &'a Manifest) -> Result<Writer<'a>, RecoveryError> {
        Ok(Writer {
            job,
            manifest,
            disks: Vec::new(),
            range: None,
            open: None,
        })
    }

    fn write(
        &mut self,
        first: ObjectId,
        layers: usize,
        written: &mut Vec<LayerRef>,
    ) -> Result<(), RecoveryError> {
        let all = Layers::new(self.manifest);
        let start = all.all.iter().position(|layer| layer.id == first);
        let start = start.unwrap_or(all.all.len());
        // However many objects there are, they keep no more pages than this.
        let cache = Arc::new(ReadCache::new(SWEEP_CACHE_BYTES));
        let mut runs: Vec<Vec<(Arc<Layer>, u32)>> = Vec::new();
        let mut sources: Vec<Arc<Layer>> = Vec::new();
        let pieces = all.cover(start..start + layers);
        let objects: Vec<Vec<(bool, &LayerRef)>> = pieces.iter().map(Piece::objects).collect();
        let (store, group) = (self.job.store, &self.manifest.group);
        let mut opened = Layer::open_all(store, group, &objects.concat())?.into_iter();
        for of_piece in &objects {
            let numbered = opened.by_ref().take(of_piece.len()).map(|layer| {
                let number = u32::try_from(sources.len()).expect("objects are limited");
                let layer = Arc::new(layer.share(&cache, number));
                sources.push(Arc::clone(&layer));
                (layer, number)
            });
            runs.push(numbered.collect());
        }
        sources.iter().for_each(|source| self.take_header(source));
        for (disk, number) in self.disks.clone().iter().zip(0u16..) {
            let all = 0..disk.sectors;
            let runs = runs
                .iter()
                .zip(0u32..)
                .map(|(run, rank)| LayerExtents::new(run.clone(), &disk.name, all.clone(), rank));
            for extent in Sweep::new(Merge::new(runs.collect())) {
                let extent = extent?;
                let source = sources.get(size(u64::from(extent.object)));
                let source = source.expect("extents name sources");
                let open = self.room(written)?;
                let kind = match extent.is_zero() {
                    true => RowKind::Zero,
                    false => RowKind::Write {
                        frame: open.frame(source, extent.object, extent.frame)?,
                        offset: extent.offset,
                    },
                };
                open.builder.push_row(&Row {
                    kind,
                    continued: false,
                    disk: number,
                    sectors: extent.sectors,
                    start: extent.start,
                });
            }
        }
        self.room(written)?;
        self.seal(written)
    }

    /// The disks of all layers, each as large as it is in any; rows count them.
    fn take_header(&mut self, source: &Layer) {
        let header = &source.container.header;
        for disk in &header.disks {
            match self.disks.iter_mut().find(|known| known.name == disk.name) {
                Some(known) => {
                    known.sectors = known.sectors.max(disk.sectors);
                    if disk.sector_size.bytes() < known.sector_size.bytes() {
                        known.sector_size = disk.sector_size;
                    }
                }
                None => self.disks.push(disk.clone()),
            }
        }
        let (first, last) = (header.first, source.container.footer.last);
        self.range = Some(match self.range.take() {
            None => (first, last, header.stream.clone()),
            Some((low, high, stream)) => (low.min(first), high.max(last), stream),
        });
    }

    /// The open object, a new one where it is full.
    fn room(&mut self, written: &mut Vec<LayerRef>) -> Result<&mut Open, RecoveryError> {
        let IndexLimits { rows, frames, .. } = self.job.limits;
        let full = self.open.as_ref().is_some_and(|open| {
            open.builder.rows() >= rows
                || open.builder.frames().len() >= size(u64::from(frames.min(INDEX_FRAMES_MAX)))
        });
        if full {
            self.seal(written)?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin());
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    fn begin(&self) -> Open {
        let fallback = || (Sequence::FIRST, Sequence(0), self.manifest.group.clone());
        let (first, _, stream) = self.range.clone().unwrap_or_else(fallback);
        Open {
            builder: ContainerBuilder::new(Header {
                kind: ObjectKind::Index,
                id: ObjectId(self.job.nonces.next()),
                fidelity: Fidelity::Data,
                epoch: self.manifest.epoch,
                number: 0,
                first,
                created: self.job.created,
                predecessor: Digest::NONE,
                group: self.manifest.group.clone(),
                stream,
                disks: self.disks.clone(),
            }),
            layers: HashMap::new(),
            frames: HashMap::new(),
        }
    }

    fn seal(&mut self, written: &mut Vec<LayerRef>) -> Result<(), RecoveryError> {
        let Some(Open { builder, .. }) = self.open.take() else {
            return Ok(());
        };
        let last = self.range.as_ref().map_or(Sequence(0), |range| range.1);
        let (head, id) = (builder.header_bytes(), builder.header().id);
        let sealed = builder.finish(last);
        let object = LayerRef {
            epoch: self.manifest.epoch,
            id,
            object_bytes: sealed.object_bytes,
            digest: sealed.digest,
        };
        let key = index_key(&self.manifest.group, object.epoch, id);
        let created = self
            .job
            .store
            .create(&key, &[head, Bytes::clone(&sealed.tail)]);
        created.map_err(RecoveryError::store)?;
        written.push(object);
        Ok(())
    }
}

impl Open {
    /// The number of a frame in this object; takes it in where it is new.
    fn frame(&mut self, source: &Layer, object: u32, frame: u32) -> Result<u32, RecoveryError> {
        if let Some(&known) = self.frames.get(&(object, frame)) {
            return Ok(known);
        }
        let mut entry = source.entry(frame)?;
        let header = &source.container.header;
        let place = match header.kind {
            ObjectKind::Index => {
                let layers = &source.container.directory.layers;
                let place = layers.get(size(u64::from(entry.layer)));
                *place.expect("entries were checked against the layers")
            }
            ObjectKind::Layer | ObjectKind::Segment => LayerPlace {
                epoch: header.epoch,
                id: header.id,
                object_bytes: source.container.object_bytes,
            },
        };
        let builder = &mut self.builder;
        let layer = self.layers.entry((place.epoch.0, place.id));
        entry.layer = *layer.or_insert_with(|| builder.push_layer(place));
        let number = builder.push_entry(entry);
        self.frames.insert((object, frame), number);
        Ok(number)
    }
}
