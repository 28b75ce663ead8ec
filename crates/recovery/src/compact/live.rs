//! The merged index of layers, streamed, and cut into windows.

use std::{collections::VecDeque, sync::Arc};

use afterimage_changelog::{Disk, SECTOR};
use afterimage_coalesce::{Extent, Merge, Sweep};
use afterimage_fetch::{FetchError, FrameSource};

use super::{Limits, Shape, sources::Sources};
use crate::layer::{Layer, LayerExtents};

type Merged = Sweep<Merge<LayerExtents, FetchError>>;

/// The live extents of all disks in address order; their disk is the number in the merged table.
#[derive(Debug)]
struct Live {
    layers: Vec<Arc<Layer>>,
    disks: VecDeque<(u16, Disk)>,
    current: Option<(u16, Merged)>,
    /// Whether zeroed runs are left out.
    is_bottom: bool,
}

impl Live {
    fn new(sources: &Sources, shape: Shape) -> Live {
        Live {
            layers: sources.layers.clone(),
            disks: (0u16..).zip(sources.disks.iter().cloned()).collect(),
            current: None,
            is_bottom: shape == Shape::Base,
        }
    }

    fn next_disk(&mut self) -> Option<(u16, Merged)> {
        let (number, disk) = self.disks.pop_front()?;
        let runs = self
            .layers
            .iter()
            .zip(0u32..)
            .map(|(layer, object)| layer.extents(&disk.name, 0..disk.sectors, object));
        Some((number, Sweep::new(Merge::new(runs.collect()))))
    }
}

impl Iterator for Live {
    type Item = Result<Extent, FetchError>;

    fn next(&mut self) -> Option<Result<Extent, FetchError>> {
        loop {
            let Some((disk, merged)) = &mut self.current else {
                self.current = Some(self.next_disk()?);
                continue;
            };
            match merged.next() {
                Some(Ok(extent)) if extent.is_zero() && self.is_bottom => {}
                Some(Ok(extent)) => {
                    return Some(Ok(Extent {
                        disk: *disk,
                        ..extent
                    }));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => self.current = None,
            }
        }
    }
}

/// Live extents, so many at a time that they can be held.
#[derive(Debug)]
pub(super) struct Windows<'a> {
    live: Live,
    sources: &'a Sources,
    shape: Shape,
    limits: Limits,
}

impl<'a> Windows<'a> {
    pub(super) fn new(sources: &'a Sources, shape: Shape, limits: Limits) -> Windows<'a> {
        Windows {
            live: Live::new(sources, shape),
            sources,
            shape,
            limits,
        }
    }

    /// The next window; empty at the end.
    pub(super) fn next(&mut self) -> Result<Vec<Extent>, FetchError> {
        let mut window = Vec::new();
        let mut bytes = 0;
        while u64::try_from(window.len())
            .is_ok_and(|rows| rows < u64::from(self.limits.window_rows))
            && bytes < self.limits.window_bytes
        {
            let Some(extent) = self.live.next().transpose()? else {
                break;
            };
            bytes += self.weight(&extent)?;
            window.push(extent);
        }
        Ok(window)
    }

    fn weight(&self, extent: &Extent) -> Result<u64, FetchError> {
        match self.shape {
            _ if extent.is_zero() => Ok(0),
            Shape::Base => Ok(u64::from(extent.sectors) * SECTOR),
            Shape::Merge => {
                let entry = self.sources.entry(extent.object, extent.frame)?;
                Ok(super::fate::share(&entry, extent.sectors))
            }
        }
    }
}
