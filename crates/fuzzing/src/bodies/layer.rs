//! Layers at a target, page by page.

use std::{convert::Infallible, ops::Range, sync::Arc};

use afterimage_changelog::{Name, Row, RowKind, SECTOR, length, size};
use afterimage_recovery::{LayerRef, layer::Layer};
use bytes::Bytes;

use super::container::{object, object_seeds, opened};
use crate::{
    choices::Choices,
    sample::{group, key_of, memory_store},
};

/// Puts an object where the manifest names a layer, and reads the extents of its disks page by page.
/// They are in order and in the range that was asked for; where the whole index can be read, they are
/// its rows.
///
/// # Panics
///
/// Where any of that does not hold.
pub fn layer(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (from, sectors) = (choices.below(600), 1 + choices.below(600));
    let object = Bytes::from(object(&mut choices));
    let Some(container) = opened(&object) else {
        return;
    };
    let reference = LayerRef {
        epoch: container.header.epoch,
        id: container.header.id,
        object_bytes: length(&object),
        digest: container.digest(),
    };
    let store = memory_store();
    let created = store.create(&key_of(&reference), std::slice::from_ref(&object));
    created.expect("memory does not fail");
    let Ok(layer) = Layer::open(store, &group(), &reference) else {
        return;
    };
    let layer = Arc::new(layer);
    let index = container.index(|range: Range<u64>| -> Result<Bytes, Infallible> {
        Ok(object.slice(size(range.start)..size(range.end)))
    });
    for (number, disk) in (0u16..).zip(&container.header.disks) {
        for range in [0..disk.sectors, from..from + sectors] {
            let found = extents(&layer, &disk.name, range.clone());
            if let Ok(index) = &index {
                let expected = index.rows.iter().filter(|row| row.disk == number);
                let expected = expected
                    .filter_map(|row| cut(row, &range))
                    .collect::<Vec<_>>();
                assert_eq!(found, Some(expected));
            }
        }
    }
}

/// Start, sectors and place in a frame.
type Piece = (u64, u32, Option<(u32, u16)>);

/// The extents of a disk; `None` where one could not be read.
fn extents(layer: &Arc<Layer>, disk: &Name, range: Range<u64>) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut at = range.start;
    for extent in layer.extents(disk, range.clone(), 0) {
        let extent = extent.ok()?;
        assert!(at <= extent.start && extent.end() <= range.end && extent.sectors > 0);
        at = extent.end();
        let place = (!extent.is_zero()).then_some((extent.frame, extent.offset));
        if let Some((frame, offset)) = place {
            let raw = layer.entry(frame).expect("it was checked with its row").raw;
            let end = (u64::from(offset) + u64::from(extent.sectors)) * SECTOR;
            assert!(end <= u64::from(raw));
        }
        pieces.push((extent.start, extent.sectors, place));
    }
    Some(pieces)
}

/// The part of a row that lies in a range.
fn cut(row: &Row, range: &Range<u64>) -> Option<Piece> {
    let (start, end) = (row.start.max(range.start), row.end().min(range.end));
    let sectors = u32::try_from(end.checked_sub(start)?)
        .ok()
        .filter(|&sectors| sectors > 0)?;
    let place = match row.kind {
        RowKind::Write { frame, offset } => {
            Some((frame, offset + u16::try_from(start - row.start).ok()?))
        }
        RowKind::Zero | RowKind::Marker => None,
    };
    Some((start, sectors, place))
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    object_seeds(&[5, 0, 40, 0])
}
