//! Reading a point: any bytes of any disk, straight from layers and the indexes over them.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use afterimage_changelog::{Disk, FrameEntry, Name, ObjectId, SECTOR, size};
use afterimage_coalesce::{Extent, Merge, Sweep};
use afterimage_fetch::{FetchError, FrameRef, FrameSource};
use afterimage_storage::{Key, ReadAhead, Store, StoreError};
use bytes::Bytes;

use crate::{
    cover::{Layers, Piece},
    error::{RecoveryError, RecoveryErrorKind},
    layer::{Layer, LayerExtents},
    manifest::{LayerRef, Manifest, Point},
    read_cache::{CACHE_BYTES_DEFAULT, ReadCache},
    region::{REGION_SECTORS, Region},
};

/// The live extents of a point, in address order; sectors between them were never written and are
/// zeroes.
pub type LiveExtents = Sweep<Merge<LayerExtents, FetchError>>;

/// A point opened for reading. As a [`FrameSource`] its objects are the layers and indexes it is read
/// from, and its places the layers in which the frames lie.
///
/// However many points there are, few objects are opened: merged indexes stand for most layers. What
/// is read of them is kept up to a limit.
#[derive(Debug)]
pub struct PointReader {
    store: Arc<dyn Store>,
    manifest: Manifest,
    point: Arc<Point>,
    /// For each point up to this one, its id and cut and how many layers there are up to it.
    reach: Vec<(u64, ObjectId, usize)>,
    cache: Arc<ReadCache>,
    opened: RwLock<Opened>,
    /// The objects of all layers up to the point.
    whole: Vec<Run>,
}

/// Numbers of the objects of one run of rows in address order.
type Run = Vec<u32>;

#[derive(Debug, Default)]
struct Opened {
    /// An object, and the number of the place that its first frame entries count from.
    objects: Vec<(Arc<Layer>, u32)>,
    places: Vec<Key>,
    known: HashMap<ObjectId, u32>,
}

impl PointReader {
    /// Opens a point of a manifest.
    ///
    /// # Errors
    ///
    /// There is no such point, or a layer or index is missing, damaged or another one.
    pub fn open(
        store: &Arc<dyn Store>,
        manifest: &Manifest,
        id: u64,
    ) -> Result<PointReader, RecoveryError> {
        PointReader::open_with(store, manifest, id, CACHE_BYTES_DEFAULT)
    }

    /// Opens a point of a manifest; of what is read at most so many bytes are kept.
    ///
    /// # Errors
    ///
    /// Those of [`open`](PointReader::open).
    ///
    /// # Panics
    ///
    /// Never: the point is one of those it was found among.
    pub fn open_with(
        store: &Arc<dyn Store>,
        manifest: &Manifest,
        id: u64,
        cache_bytes: u64,
    ) -> Result<PointReader, RecoveryError> {
        let Some(last) = manifest.points.iter().position(|point| point.id == id) else {
            let kind = RecoveryErrorKind::NoSuch(format!("there is no point {id}"));
            return Err(RecoveryError::new(&manifest.group, kind));
        };
        let points = manifest.points.get(..=last).unwrap_or_default();
        let mut layers = 0;
        let reach = points.iter().map(|point| {
            layers += point.layers.len();
            (point.id, point.cut, layers)
        });
        let reach: Vec<_> = reach.collect();
        let mut reader = PointReader {
            store: Arc::clone(store),
            manifest: manifest.clone(),
            point: Arc::clone(points.last().expect("it was found above")),
            reach,
            cache: Arc::new(ReadCache::new(cache_bytes)),
            opened: RwLock::default(),
            whole: Vec::new(),
        };
        reader.whole = reader.runs(0..layers)?;
        Ok(reader)
    }

    /// The runs of rows to read a stretch of layers from, oldest first; opens what is not open yet.
    fn runs(&self, stretch: Range<usize>) -> Result<Vec<Run>, RecoveryError> {
        let layers = Layers::new(&self.manifest);
        let pieces = layers.cover(stretch);
        let objects: Vec<(bool, &LayerRef)> = pieces.iter().flat_map(Piece::objects).collect();
        self.open_all(&objects)?;
        let opened = self.opened();
        let number = |object: &LayerRef| opened.known.get(&object.id).copied();
        Ok(pieces
            .iter()
            .map(|piece| {
                let objects = piece.objects().into_iter();
                objects.filter_map(|(_, object)| number(object)).collect()
            })
            .collect())
    }

    fn open_all(&self, objects: &[(bool, &LayerRef)]) -> Result<(), RecoveryError> {
        let opened = self.opened();
        let missing: Vec<(bool, &LayerRef)> = objects
            .iter()
            .filter(|(_, object)| !opened.known.contains_key(&object.id))
            .copied()
            .collect();
        drop(opened);
        let layers = Layer::open_all(&self.store, &self.manifest.group, &missing)?;
        let opened = self.opened.write();
        let mut opened = opened.unwrap_or_else(PoisonError::into_inner);
        for ((_, object), layer) in missing.into_iter().zip(layers) {
            let number = u32::try_from(opened.objects.len()).expect("objects are limited");
            let place = u32::try_from(opened.places.len()).expect("layers are limited");
            opened.places.extend_from_slice(layer.places());
            let layer = Arc::new(layer.share(&self.cache, number));
            opened.objects.push((layer, place));
            opened.known.insert(object.id, number);
        }
        Ok(())
    }

    fn opened(&self) -> std::sync::RwLockReadGuard<'_, Opened> {
        // Objects are only ever added, so what a panicking thread left is sound.
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, number: u32) -> (Arc<Layer>, u32) {
        let opened = self.opened();
        let object = opened.objects.get(size(u64::from(number)));
        let (layer, place) = object.expect("extents name objects that were opened");
        (Arc::clone(layer), *place)
    }

    /// The point.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Its disks.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        self.manifest.disks(&self.point)
    }

    /// One of its disks.
    ///
    /// # Errors
    ///
    /// It has none of this name.
    pub fn disk(&self, name: &Name) -> Result<&Disk, RecoveryError> {
        self.disks()
            .iter()
            .find(|disk| disk.name == *name)
            .ok_or_else(|| {
                let known: Vec<&str> = self.disks().iter().map(|disk| disk.name.as_str()).collect();
                let what = format!(
                    "point {} has no disk {name}; it has {}",
                    self.point.id,
                    known.join(", ")
                );
                RecoveryError::new(&self.manifest.group, RecoveryErrorKind::NoSuch(what))
            })
    }

    /// How many of the layers belong to points up to the one of this id and cut; `None` where that
    /// point is not there.
    #[must_use]
    pub fn layers_up_to(&self, id: u64, cut: ObjectId) -> Option<usize> {
        let mut reach = self.reach.iter();
        let found = reach.find(|known| (known.0, known.1) == (id, cut));
        found.map(|(_, _, layers)| *layers)
    }

    /// Number of layers that the point is made of.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.reach.last().map_or(0, |(_, _, layers)| *layers)
    }

    /// Number of objects that were opened to read it.
    #[must_use]
    pub fn object_count(&self) -> usize {
        self.opened().objects.len()
    }

    /// The live extents of a disk between two sectors, from some of the layers; the sectors may lie
    /// beyond the disk's end at this point, for points before it.
    ///
    /// # Errors
    ///
    /// The point has no such disk, or an object could not be opened.
    pub fn extents_of(
        &self,
        disk: &Name,
        sectors: Range<u64>,
        layers: Range<usize>,
    ) -> Result<LiveExtents, RecoveryError> {
        self.disk(disk)?;
        if layers == (0..self.layer_count()) {
            return Ok(self.merge(disk, sectors, &self.whole));
        }
        Ok(self.merge(disk, sectors, &self.runs(layers)?))
    }

    fn merge(&self, disk: &Name, sectors: Range<u64>, runs: &[Run]) -> LiveExtents {
        let opened = self.opened();
        let runs = runs.iter().zip(0u32..).map(|(run, rank)| {
            let objects = run.iter().filter_map(|&number| {
                let (layer, _) = opened.objects.get(size(u64::from(number)))?;
                Some((Arc::clone(layer), number))
            });
            LayerExtents::new(objects.collect(), disk, sectors.clone(), rank)
        });
        Sweep::new(Merge::new(runs.collect()))
    }

    /// The live extents of a disk between two sectors.
    ///
    /// # Errors
    ///
    /// The point has no such disk.
    pub fn extents(&self, disk: &Name, sectors: Range<u64>) -> Result<LiveExtents, RecoveryError> {
        let end = sectors.end.min(self.disk(disk)?.sectors);
        let sectors = sectors.start.min(end)..end;
        Ok(self.merge(disk, sectors, &self.whole))
    }

    /// A region, resolved once and kept. The index entries of its frames are looked up now and are
    /// kept with it: a read in it needs no page of any index, whatever else has been let go since.
    fn region(&self, number: u16, disk: &Disk, region: u64) -> Result<Arc<Region>, RecoveryError> {
        self.cache.region(number, region, || {
            let start = region * REGION_SECTORS;
            let sectors = start..(start + REGION_SECTORS).min(disk.sectors);
            let extents = self.merge(&disk.name, sectors, &self.whole);
            let frame = |extent: &Extent| self.needed(extent.object, extent.frame);
            Ok(Arc::new(Region::resolve(region, extents, frame)?))
        })
    }

    /// The payload of a frame, fetched with one read of the store, checked and decoded once, and kept.
    fn payload(&self, frame: &FrameRef) -> Result<Bytes, RecoveryError> {
        let FrameRef { place, entry, .. } = frame;
        self.cache.frame(frame.object, frame.frame, || {
            let stored = self.read(*place, entry.offset..entry.end());
            let checked = entry.check(stored.map_err(RecoveryError::store)?);
            checked
                .and_then(|frame| frame.decode())
                .map_err(|error| RecoveryError::corrupt(&self.name(*place), error))
        })
    }

    /// Fills `into` with the bytes of a disk from byte `offset` on, at any alignment.
    ///
    /// # Errors
    ///
    /// The bytes are not all on the disk, or a layer could not be read.
    ///
    /// # Panics
    ///
    /// Never: extents lie inside the range that was asked for.
    pub fn read_at(&self, disk: &Name, offset: u64, into: &mut [u8]) -> Result<(), RecoveryError> {
        let known = self.disk(disk)?;
        let number = self.disks().iter().position(|there| there.name == *disk);
        let number = number.and_then(|number| u16::try_from(number).ok());
        let number = number.expect("it was found above, and disks are few");
        let len = afterimage_changelog::length(into);
        let end = offset.checked_add(len).filter(|&end| end <= known.bytes());
        let Some(end) = end else {
            let what = format!(
                "{len} bytes at {offset} are not all on disk {disk} of {} bytes",
                known.bytes()
            );
            return Err(RecoveryError::new(
                &self.manifest.group,
                RecoveryErrorKind::NoSuch(what),
            ));
        };
        into.fill(0);
        let sectors = offset / SECTOR..end.div_ceil(SECTOR);
        if sectors.is_empty() {
            return Ok(());
        }
        for region in sectors.start / REGION_SECTORS..=(sectors.end - 1) / REGION_SECTORS {
            let resolved = self.region(number, known, region)?;
            for run in resolved.placed(region, sectors.clone()) {
                let payload = self.payload(run.frame)?;
                let from = (run.sectors.start * SECTOR).max(offset);
                let to = (run.sectors.end * SECTOR).min(end);
                let skipped = from - run.sectors.start * SECTOR;
                let first = size(run.offset * SECTOR + skipped);
                let piece = payload.get(first..first + size(to - from));
                let slot = into.get_mut(size(from - offset)..size(to - offset));
                let slot = slot.expect("the extents lie in the range asked for");
                slot.copy_from_slice(piece.expect("rows were checked against their frames"));
            }
        }
        Ok(())
    }
}

impl FrameSource for PointReader {
    fn name(&self, place: u32) -> String {
        let opened = self.opened();
        let key = opened.places.get(size(u64::from(place)));
        key.map_or_else(|| format!("layer {place}"), Key::to_string)
    }

    fn place(&self, object: u32, entry: &FrameEntry) -> u32 {
        self.object(object).1 + entry.layer
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.object(object).0.entry(frame)
    }

    fn is_billed(&self) -> bool {
        self.store.is_billed()
    }

    fn read(&self, place: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        let opened = self.opened();
        let key = opened.places.get(size(u64::from(place)));
        let key = key.expect("frames lie in layers of this point").clone();
        drop(opened);
        self.store.read_range(&key, range)
    }

    fn read_ahead(&self, wanted: &[(u32, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        let opened = self.opened();
        let key = |place: &u32| opened.places.get(size(u64::from(*place))).cloned();
        let wanted = wanted
            .iter()
            .map(|(place, range)| Some((key(place)?, range.clone())));
        let wanted: Option<Vec<_>> = wanted.collect();
        drop(opened);
        self.store.read_ahead(&wanted?)
    }
}
