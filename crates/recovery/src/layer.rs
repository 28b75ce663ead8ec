//! An opened layer: header and directory in memory, pages and frames fetched when they are needed.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, OnceLock},
};

use afterimage_changelog::{
    Container, DecodeError, Fault, FrameEntry, Name, ObjectKind, Row, RowKind,
    container::{TAIL_BYTES, check_row_fits},
    limits::FRAMES_PER_PAGE,
    size,
};
use afterimage_coalesce::Extent;
use afterimage_fetch::FetchError;
use afterimage_storage::{Key, Store, StoreError};
use bytes::Bytes;

use crate::{
    error::{RecoveryError, RecoveryErrorKind},
    manifest::LayerRef,
    name::layer_key,
};

/// An opened layer.
#[derive(Debug)]
pub struct Layer {
    /// Its key.
    pub key: Key,
    /// Header, directory and footer.
    pub container: Container,
    store: Arc<dyn Store>,
    frame_pages: Vec<OnceLock<Vec<FrameEntry>>>,
}

impl Layer {
    /// Opens the layer that a manifest names.
    ///
    /// # Errors
    ///
    /// The store failed, the layer is damaged, or the object is another one.
    pub fn open(
        store: Arc<dyn Store>,
        group: &Name,
        layer: &LayerRef,
    ) -> Result<Layer, RecoveryError> {
        let key = layer_key(group, layer.epoch, layer.id);
        let tail = store
            .read_tail(&key, TAIL_BYTES)
            .map_err(RecoveryError::store)?;
        let container = Container::open(tail.size, &tail.bytes, |range| {
            store.read_range(&key, range)
        })
        .map_err(|error| RecoveryError::open(&key, error))?;
        let header = &container.header;
        let is_named = (container.digest(), tail.size) == (layer.digest, layer.object_bytes)
            && (header.kind, header.id) == (ObjectKind::Layer, layer.id)
            && (&header.group, header.epoch) == (group, layer.epoch);
        if !is_named {
            let what = "it is intact but is not the layer that the manifest names".to_owned();
            return Err(RecoveryError::new(&key, RecoveryErrorKind::Mismatch(what)));
        }
        let pages = container.directory.frame_pages.len();
        Ok(Layer {
            key,
            container,
            store,
            frame_pages: std::iter::repeat_with(OnceLock::new).take(pages).collect(),
        })
    }

    /// Fetches stored bytes.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.read_range(&self.key, range)
    }

    /// The index entry of a frame.
    ///
    /// # Errors
    ///
    /// Its page could not be fetched or is damaged, or the layer has no such frame.
    pub fn entry(&self, frame: u32) -> Result<FrameEntry, FetchError> {
        let missing = || {
            let fault = Fault::Field("a row's frame");
            let error = DecodeError {
                part: "row page",
                offset: 0,
                fault,
            };
            FetchError::corrupt(&self.key, error)
        };
        let (number, range) = self.container.frame_page_range(frame).ok_or_else(missing)?;
        let page = self.frame_pages.get(number).ok_or_else(missing)?;
        let entries = match page.get() {
            Some(entries) => entries,
            None => {
                let bytes = self.read(range).map_err(FetchError::store)?;
                let entries = self
                    .container
                    .frame_page(number, &bytes)
                    .map_err(|error| FetchError::corrupt(&self.key, error))?;
                page.get_or_init(|| entries)
            }
        };
        let place = size(u64::from(frame % FRAMES_PER_PAGE));
        entries.get(place).copied().ok_or_else(missing)
    }

    /// The extents of a disk between two sectors, cut to them, in order; `object` becomes their
    /// object number and rank. Holds one page at a time.
    #[must_use]
    pub fn extents(
        self: &Arc<Layer>,
        disk: &Name,
        sectors: Range<u64>,
        object: u32,
    ) -> LayerExtents {
        let disks = self.container.header.disks.iter().zip(0u16..);
        let disk = disks
            .filter(|(known, _)| known.name == *disk)
            .map(|(_, n)| n)
            .next();
        let pages = &self.container.directory.row_pages;
        // The page before the first one that begins behind the start may reach over it.
        let page = disk.map_or(pages.len(), |disk| {
            pages
                .partition_point(|page| (page.disk, page.start) <= (disk, sectors.start))
                .saturating_sub(1)
        });
        LayerExtents {
            layer: Arc::clone(self),
            disk: disk.unwrap_or(0),
            sectors,
            object,
            page,
            rows: VecDeque::new(),
        }
    }
}

/// The extents of a layer, page by page.
#[derive(Debug)]
pub struct LayerExtents {
    layer: Arc<Layer>,
    disk: u16,
    sectors: Range<u64>,
    object: u32,
    page: usize,
    rows: VecDeque<Row>,
}

impl LayerExtents {
    /// Loads the next page; false where there is none, or none that can hold a row of the range.
    fn load(&mut self) -> Result<bool, FetchError> {
        let Some(page) = self.layer.container.directory.row_pages.get(self.page) else {
            return Ok(false);
        };
        let is_behind = (page.disk, page.start) >= (self.disk, self.sectors.end);
        if is_behind || self.sectors.is_empty() {
            return Ok(false);
        }
        let Some(range) = self.layer.container.row_page_range(self.page) else {
            return Ok(false);
        };
        let bytes = self.layer.read(range).map_err(FetchError::store)?;
        let rows = self
            .layer
            .container
            .row_page(self.page, &bytes)
            .map_err(|error| FetchError::corrupt(&self.layer.key, error))?;
        self.rows = rows.into();
        self.page += 1;
        Ok(true)
    }

    fn extent(&self, row: &Row) -> Result<Extent, FetchError> {
        let (frame, offset) = match row.kind {
            RowKind::Write { frame, offset } => {
                let entry = self.layer.entry(frame)?;
                check_row_fits(row, Some(&entry))
                    .map_err(|error| FetchError::corrupt(&self.layer.key, error))?;
                (frame, offset)
            }
            RowKind::Zero | RowKind::Marker => (Extent::ZERO, 0),
        };
        let whole = Extent {
            start: row.start,
            sectors: row.sectors,
            rank: self.object,
            object: self.object,
            frame,
            offset,
            disk: 0,
        };
        let start = row.start.max(self.sectors.start);
        Ok(whole.part(start, row.end().min(self.sectors.end)))
    }
}

impl Iterator for LayerExtents {
    type Item = Result<Extent, FetchError>;

    fn next(&mut self) -> Option<Result<Extent, FetchError>> {
        loop {
            let Some(row) = self.rows.pop_front() else {
                match self.load() {
                    Ok(true) => continue,
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                }
            };
            if row.disk < self.disk || row.disk == self.disk && row.end() <= self.sectors.start {
                continue;
            }
            if row.disk > self.disk || row.start >= self.sectors.end {
                self.page = usize::MAX;
                self.rows.clear();
                return None;
            }
            return Some(self.extent(&row));
        }
    }
}
