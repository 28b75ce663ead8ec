//! What rewriting layers would give back. Reads indexes and no frame.

use std::sync::Arc;

use afterimage_changelog::{Name, SECTOR, count, row::ROW_BYTES, size};
use afterimage_fetch::FetchError;
use afterimage_storage::Store;

use super::{
    Limits, Pace, Shape,
    fate::{Fates, share},
    live::Windows,
    sources::Sources,
};
use crate::{error::RecoveryError, layer::Layer, manifest::LayerRef};

/// A layer as one of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerSurvey {
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Stored bytes of its frames.
    pub stored_bytes: u64,
    /// The part of them that is live: each frame counts by the share of its payload that no layer
    /// above hides, and that its own rows name.
    pub live_stored_bytes: u64,
    /// Live bytes of payload.
    pub live_bytes: u64,
    /// Rows that something is left of.
    pub rows: u64,
    /// Stored bytes that would be there after a rewrite of the whole list: frames that pass, and the
    /// live share of those that do not.
    pub kept_bytes: u64,
    /// Live stored bytes in frames that do not follow the order of the disk as those of a base do.
    pub scattered_bytes: u64,
    /// Whether all of it lies behind all of the layer before it: both are pieces of one run.
    pub is_next_piece: bool,
}

/// A list of layers, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What a rewrite of the list would be.
    pub shape: Shape,
    /// The layers.
    pub layers: Vec<LayerSurvey>,
}

/// Surveys the layers of one point, oldest first: as a base where it is the oldest point. `None`
/// where `pace` said stop; it is told the bytes of index that were merged.
///
/// # Errors
///
/// The store failed, or a layer is missing, damaged or another one.
pub fn survey(
    store: &Arc<dyn Store>,
    group: &Name,
    layers: &[LayerRef],
    shape: Shape,
    limits: &Limits,
    pace: &mut Pace<'_>,
) -> Result<Option<Survey>, RecoveryError> {
    let sources = Sources::open(store, group, layers)?;
    let mut all = Vec::with_capacity(layers.len());
    let mut end = None;
    for layer in &sources.layers {
        let reach = reach(layer, &sources)?;
        let container = &layer.container;
        all.push(LayerSurvey {
            object_bytes: container.object_bytes,
            stored_bytes: container.index_range().start - u64::from(container.footer.header_bytes),
            is_next_piece: reach.zip(end).is_some_and(|((first, _), end)| first >= end),
            ..LayerSurvey::default()
        });
        end = reach.map(|(_, end)| end);
    }
    let mut windows = Windows::new(&sources, shape, *limits);
    loop {
        let window = windows.next()?;
        if window.is_empty() {
            let layers = all;
            return Ok(Some(Survey { shape, layers }));
        }
        if pace(count(window.len() * ROW_BYTES)).is_break() {
            return Ok(None);
        }
        let fates = Fates::decide(&window, &sources, shape, limits)?;
        for extent in &window {
            if let Some(layer) = all.get_mut(size(u64::from(extent.object))) {
                layer.rows += 1;
            }
        }
        for frame in &fates.frames {
            let Some(layer) = all.get_mut(size(u64::from(frame.at.object))) else {
                continue;
            };
            let stored = u64::from(frame.at.entry.stored);
            let live = share(&frame.at.entry, frame.live);
            layer.live_bytes += u64::from(frame.live) * SECTOR;
            layer.live_stored_bytes += live;
            layer.kept_bytes += if frame.passes { stored } else { live };
            if !frame.is_ordered {
                layer.scattered_bytes += live;
            }
        }
    }
}

/// A place in all disks of a list.
type Place = (usize, u64);

/// Where a layer begins and ends, in the order of the list's disks; `None` where it has no rows, or
/// has its disks in another order.
fn reach(layer: &Layer, sources: &Sources) -> Result<Option<(Place, Place)>, FetchError> {
    let container = &layer.container;
    let numbers: Vec<usize> = container
        .header
        .disks
        .iter()
        .filter_map(|disk| {
            sources
                .disks
                .iter()
                .position(|known| known.name == disk.name)
        })
        .collect();
    let number = |disk: u16| numbers.get(usize::from(disk)).copied();
    let pages = &container.directory.row_pages;
    let last = pages.len().checked_sub(1);
    let range = last.and_then(|last| container.row_page_range(last));
    let (Some(first), Some(last), Some(range)) = (pages.first(), last, range) else {
        return Ok(None);
    };
    let bytes = layer.read(range).map_err(FetchError::store)?;
    let rows = container
        .row_page(last, &bytes)
        .map_err(|error| FetchError::corrupt(&layer.key, error))?;
    let ends = rows
        .last()
        .and_then(|row| Some((number(row.disk)?, row.end())));
    let begins = number(first.disk).map(|disk| (disk, first.start));
    Ok(begins.zip(ends).filter(|_| numbers.is_sorted()))
}
