//! Reading a point: any bytes of any disk, straight from the layers.

use std::{ops::Range, sync::Arc};

use afterimage_changelog::{Disk, FrameEntry, Name, ObjectId, SECTOR, size};
use afterimage_coalesce::{Merge, Sweep};
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_storage::{Store, StoreError};
use bytes::Bytes;
use rayon::prelude::*;

use crate::{
    error::{RecoveryError, RecoveryErrorKind},
    layer::{Layer, LayerExtents},
    manifest::{Manifest, Point},
};

/// The live extents of a point, in address order; sectors between them were never written and are
/// zeroes.
pub type LiveExtents = Sweep<Merge<LayerExtents, FetchError>>;

/// A point opened for reading. As a [`FrameSource`] its objects are its layers, oldest first.
#[derive(Debug)]
pub struct PointReader {
    group: Name,
    point: Arc<Point>,
    disks: Vec<Disk>,
    layers: Vec<Arc<Layer>>,
    /// For each point up to this one, its id and cut and how many layers there are up to it.
    reach: Vec<(u64, ObjectId, usize)>,
}

impl PointReader {
    /// Opens a point of a manifest: opens every layer up to it.
    ///
    /// # Errors
    ///
    /// There is no such point, or a layer is missing, damaged or another one.
    ///
    /// # Panics
    ///
    /// Never: the point is one of those it was found among.
    pub fn open(
        store: &Arc<dyn Store>,
        manifest: &Manifest,
        id: u64,
    ) -> Result<PointReader, RecoveryError> {
        let Some(last) = manifest.points.iter().position(|point| point.id == id) else {
            let kind = RecoveryErrorKind::NoSuch(format!("there is no point {id}"));
            return Err(RecoveryError::new(&manifest.group, kind));
        };
        let points = manifest.points.get(..=last).unwrap_or_default();
        let point = points.last().expect("it was found above");
        let mut refs = Vec::new();
        let mut reach = Vec::new();
        for point in points {
            refs.extend_from_slice(&point.layers);
            reach.push((point.id, point.cut, refs.len()));
        }
        let layers = refs
            .par_iter()
            .map(|layer| Layer::open(Arc::clone(store), &manifest.group, layer).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(PointReader {
            group: manifest.group.clone(),
            disks: manifest.disks(point).to_vec(),
            point: Arc::clone(point),
            layers,
            reach,
        })
    }

    /// The point.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Its disks.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// One of its disks.
    ///
    /// # Errors
    ///
    /// It has none of this name.
    pub fn disk(&self, name: &Name) -> Result<&Disk, RecoveryError> {
        self.disks
            .iter()
            .find(|disk| disk.name == *name)
            .ok_or_else(|| {
                let known: Vec<&str> = self.disks.iter().map(|disk| disk.name.as_str()).collect();
                let what = format!(
                    "point {} has no disk {name}; it has {}",
                    self.point.id,
                    known.join(", ")
                );
                RecoveryError::new(&self.group, RecoveryErrorKind::NoSuch(what))
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

    /// Number of layers the point is read from.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// The live extents of a disk between two sectors, from some of the layers; the sectors may lie
    /// beyond the disk's end at this point, for points before it.
    ///
    /// # Errors
    ///
    /// The point has no such disk.
    pub fn extents_of(
        &self,
        disk: &Name,
        sectors: Range<u64>,
        layers: Range<usize>,
    ) -> Result<LiveExtents, RecoveryError> {
        self.disk(disk)?;
        let runs = self
            .layers
            .iter()
            .zip(0u32..)
            .skip(layers.start)
            .take(layers.len())
            .map(|(layer, number)| layer.extents(disk, sectors.clone(), number))
            .collect();
        Ok(Sweep::new(Merge::new(runs)))
    }

    /// The live extents of a disk between two sectors.
    ///
    /// # Errors
    ///
    /// The point has no such disk.
    pub fn extents(&self, disk: &Name, sectors: Range<u64>) -> Result<LiveExtents, RecoveryError> {
        let end = sectors.end.min(self.disk(disk)?.sectors);
        let sectors = sectors.start.min(end)..end;
        self.extents_of(disk, sectors, 0..self.layers.len())
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
        let len = afterimage_changelog::length(into);
        let end = offset.checked_add(len).filter(|&end| end <= known.bytes());
        let Some(end) = end else {
            let what = format!(
                "{len} bytes at {offset} are not all on disk {disk} of {} bytes",
                known.bytes()
            );
            return Err(RecoveryError::new(
                &self.group,
                RecoveryErrorKind::NoSuch(what),
            ));
        };
        into.fill(0);
        let mut decoded: Option<((u32, u32), Bytes)> = None;
        for extent in self.extents(disk, offset / SECTOR..end.div_ceil(SECTOR))? {
            let extent = extent?;
            if extent.is_zero() {
                continue;
            }
            let place = (extent.object, extent.frame);
            let payload = match &decoded {
                Some((known, payload)) if *known == place => payload.clone(),
                _ => {
                    let frame = self.frame(extent.object, extent.frame)?;
                    frame
                        .decode()
                        .map_err(|error| RecoveryError::corrupt(&self.name(extent.object), error))?
                }
            };
            decoded = Some((place, payload.clone()));
            let from = (extent.start * SECTOR).max(offset);
            let to = (extent.end() * SECTOR).min(end);
            let skipped = from - extent.start * SECTOR;
            let first = size(u64::from(extent.offset) * SECTOR + skipped);
            let piece = payload.get(first..first + size(to - from));
            let slot = into.get_mut(size(from - offset)..size(to - offset));
            let slot = slot.expect("the extents lie in the range asked for");
            slot.copy_from_slice(piece.expect("rows were checked against their frames"));
        }
        Ok(())
    }
}

impl FrameSource for PointReader {
    fn name(&self, object: u32) -> String {
        let layer = self.layers.get(size(u64::from(object)));
        layer.map_or_else(|| format!("layer {object}"), |layer| layer.key.to_string())
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        let layer = self.layers.get(size(u64::from(object)));
        layer
            .expect("extents name layers of this point")
            .entry(frame)
    }

    fn read(&self, object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        let layer = self.layers.get(size(u64::from(object)));
        layer
            .expect("extents name layers of this point")
            .read(range)
    }
}
