//! One disk of a point, as the applier wants to see it.

use std::ops::Range;

use afterimage_changelog::{FrameEntry, Name};
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_recovery::PointReader;
use afterimage_storage::{ReadAhead, StoreError};
use afterimage_target::{
    Stand, TargetError,
    replica::{Extents, PointSource},
};
use bytes::Bytes;

/// One disk of a point.
#[derive(Debug)]
pub(crate) struct DiskOfPoint<'a> {
    pub(crate) point: &'a PointReader,
    pub(crate) disk: &'a Name,
}

impl FrameSource for DiskOfPoint<'_> {
    fn name(&self, place: u32) -> String {
        self.point.name(place)
    }

    fn place(&self, object: u32, entry: &FrameEntry) -> u32 {
        self.point.place(object, entry)
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.point.entry(object, frame)
    }

    fn is_billed(&self) -> bool {
        self.point.is_billed()
    }

    fn read(&self, place: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.point.read(place, range)
    }

    fn read_ahead(&self, wanted: &[(u32, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        self.point.read_ahead(wanted)
    }
}

impl PointSource for DiskOfPoint<'_> {
    fn layers_up_to(&self, stand: Stand) -> Option<usize> {
        self.point.layers_up_to(stand.id, stand.cut)
    }

    fn extents(
        &self,
        layers: Range<usize>,
        sectors: Range<u64>,
    ) -> Result<Extents<'_>, TargetError> {
        match self.point.extents_of(self.disk, sectors, layers) {
            Ok(extents) => Ok(Box::new(extents)),
            Err(error) => Err(TargetError::unfit(self.disk.to_string(), error.to_string())),
        }
    }
}
