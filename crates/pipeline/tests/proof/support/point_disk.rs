//! One disk of a point, as replicas and restores want to see it.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64},
};

use afterimage::{
    Error, PointReader, PointSelector, Points,
    changelog::{FrameEntry, Name},
    storage::{Disk, StoreError},
};
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_target::{
    Applier, Mode, Replica, Stand, Standing, TargetError,
    replica::{Extents, PointSource},
};
use bytes::Bytes;

#[derive(Debug)]
struct PointDisk<'a> {
    point: &'a PointReader,
    disk: &'a Name,
}

impl FrameSource for PointDisk<'_> {
    fn name(&self, object: u32) -> String {
        self.point.name(object)
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.point.entry(object, frame)
    }

    fn read(&self, object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.point.read(object, range)
    }
}

impl PointSource for PointDisk<'_> {
    fn layers_up_to(&self, stand: Stand) -> Option<usize> {
        self.point.layers_up_to(stand.id, stand.cut)
    }

    fn extents(
        &self,
        layers: Range<usize>,
        sectors: Range<u64>,
    ) -> Result<Extents<'_>, TargetError> {
        let extents = self.point.extents_of(self.disk, sectors, layers);
        let extents = extents
            .map_err(|error| TargetError::unfit(self.disk.to_string(), error.to_string()))?;
        Ok(Box::new(extents))
    }
}

/// Moves a replica to a point, reading through the newest point that is involved.
pub(crate) fn advance(
    replica: &mut Replica<'_>,
    points: &Points,
    id: u64,
    disk: &Name,
) -> Result<(), Error> {
    let to = points.find(&PointSelector::Id(id))?;
    let stands = match replica.standing() {
        Some(Standing::At(at)) => vec![at],
        Some(Standing::Moving { from, to }) => vec![from, to],
        Some(Standing::Rebuilding { .. }) | None => Vec::new(),
    };
    let there = |stand: &&Stand| points.find(&PointSelector::Id(stand.id)).is_ok();
    let newest = stands.iter().filter(there).map(|stand| stand.id).max();
    let newest = newest.unwrap_or(id).max(id);
    let point = points.open(&PointSelector::Id(newest))?;
    let sectors = point.disk(disk)?.sectors;
    let stand = Stand { id, cut: to.cut };
    let source = PointDisk {
        point: &point,
        disk,
    };
    replica.advance(
        &source,
        stand,
        sectors,
        &AtomicU64::new(0),
        &AtomicBool::new(false),
    )?;
    Ok(())
}

/// Writes a point onto a disk that holds zeroes; it is durable when this returns.
pub(crate) fn restore(points: &Points, id: u64, name: &Name, disk: &dyn Disk) -> Result<(), Error> {
    let point = points.open(&PointSelector::Id(id))?;
    let applier = Applier {
        source: &point,
        disk,
        mode: Mode::Blank,
        done_bytes: &AtomicU64::new(0),
        stop: &AtomicBool::new(false),
    };
    applier.apply(point.extents(name, 0..point.disk(name)?.sectors)?)?;
    disk.flush()?;
    Ok(())
}
