//! An opened layer or index: header and directory in memory, pages fetched when they are needed.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, OnceLock},
};

use afterimage_changelog::{
    Container, DecodeError, Fault, FrameEntry, Name, ObjectKind, Row, RowKind,
    container::{check_row_fits, tail_bytes},
    limits::FRAMES_PER_PAGE,
    size,
};
use afterimage_coalesce::Extent;
use afterimage_fetch::FetchError;
use afterimage_storage::{Key, ReadAhead, Store, StoreError};
use bytes::Bytes;
use rayon::prelude::*;

use crate::{
    each_waiting::each_waiting,
    error::{RecoveryError, RecoveryErrorKind},
    manifest::LayerRef,
    name::{index_key, layer_key},
    preloaded::Preloaded,
    read_cache::ReadCache,
};

/// Bytes of the start of an object in which its header is, unless it has many disks.
const HEADER_BYTES: u64 = 4 << 10;
/// Bytes of pages that a layer keeps which no reader shares its cache with.
const OWN_CACHE_BYTES: u64 = 2 << 20;

/// An opened layer, or an object of an index: its rows are read in the same way, but its frames lie
/// in the layers that its directory names.
#[derive(Debug)]
pub struct Layer {
    /// Its key.
    pub key: Key,
    /// Header, directory and footer.
    pub container: Container,
    store: Arc<dyn Store>,
    /// Where the frames lie: the object itself, or the layers of an index.
    places: Vec<Key>,
    /// All of its index, where that was read at once.
    index: Option<Preloaded>,
    cache: OnceLock<(Arc<ReadCache>, u32)>,
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
        Layer::open_as(store, group, layer, key, ObjectKind::Layer)
    }

    /// Opens an object of an index that a manifest names.
    ///
    /// # Errors
    ///
    /// The store failed, the index is damaged, or the object is another one.
    pub fn open_index(
        store: Arc<dyn Store>,
        group: &Name,
        index: &LayerRef,
    ) -> Result<Layer, RecoveryError> {
        let key = index_key(group, index.epoch, index.id);
        Layer::open_as(store, group, index, key, ObjectKind::Index)
    }

    fn open_as(
        store: Arc<dyn Store>,
        group: &Name,
        layer: &LayerRef,
        key: Key,
        kind: ObjectKind,
    ) -> Result<Layer, RecoveryError> {
        let is_billed = store.is_billed();
        let tail_bytes = tail_bytes(is_billed);
        // At the same time as the end, of which it is no part.
        let start = 0..HEADER_BYTES;
        let header = (is_billed && layer.object_bytes > tail_bytes)
            .then(|| store.read_ahead(&[(key.clone(), start.clone())]))
            .flatten();
        let tail = store
            .read_tail(&key, tail_bytes.min(layer.object_bytes))
            .map_err(RecoveryError::store)?;
        let container = Container::open(tail.size, &tail.bytes, |range| {
            let is_in = range.start == 0 && range.end <= start.end;
            let started = header.as_ref().filter(|_| is_in);
            match started.and_then(|header| header.take(0)) {
                Some(Ok(bytes)) => Ok(bytes.slice(..size(range.end))),
                _ => store.read_range(&key, range),
            }
        })
        .map_err(|error| RecoveryError::open(&key, error))?;
        let header = &container.header;
        let is_named = (container.digest(), tail.size) == (layer.digest, layer.object_bytes)
            && (header.kind, header.id) == (kind, layer.id)
            && (&header.group, header.epoch) == (group, layer.epoch);
        if !is_named {
            let what = "it is intact but is not the layer that the manifest names".to_owned();
            return Err(RecoveryError::new(&key, RecoveryErrorKind::Mismatch(what)));
        }
        let places = match kind {
            ObjectKind::Index => {
                let layers = container.directory.layers.iter();
                layers
                    .map(|layer| layer_key(group, layer.epoch, layer.id))
                    .collect()
            }
            ObjectKind::Layer | ObjectKind::Segment => vec![key.clone()],
        };
        let index = Preloaded::of(store.as_ref(), &key, &container, &tail)?;
        Ok(Layer {
            key,
            container,
            store,
            places,
            index,
            cache: OnceLock::new(),
        })
    }

    /// Opens objects that a manifest names, each of them an index or a layer: as many at once as is worth
    /// while with this store.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Layer::open).
    pub(crate) fn open_all(
        store: &Arc<dyn Store>,
        group: &Name,
        objects: &[(bool, &LayerRef)],
    ) -> Result<Vec<Layer>, RecoveryError> {
        let open = |(is_index, object): &(bool, &LayerRef)| {
            let store = Arc::clone(store);
            match is_index {
                true => Layer::open_index(store, group, object),
                false => Layer::open(store, group, object),
            }
        };
        if store.is_billed() {
            each_waiting(objects, open)
        } else {
            objects.par_iter().map(open).collect()
        }
    }

    /// Shares a reader's cache, in which this is the object of a number.
    pub(crate) fn share(self, cache: &Arc<ReadCache>, number: u32) -> Layer {
        Layer {
            cache: OnceLock::from((Arc::clone(cache), number)),
            ..self
        }
    }

    /// The objects in which its frames lie, in the order in which its entries count them.
    pub(crate) fn places(&self) -> &[Key] {
        &self.places
    }

    fn cache(&self) -> &(Arc<ReadCache>, u32) {
        let own = || (Arc::new(ReadCache::new(OWN_CACHE_BYTES)), 0);
        self.cache.get_or_init(own)
    }

    /// Fetches stored bytes of the object itself.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let index = self.index.as_ref();
        if let Some(bytes) = index.and_then(|index| index.get(&range)) {
            return Ok(bytes);
        }
        self.store.read_range(&self.key, range)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Begins to fetch stored bytes of the object itself.
    pub(crate) fn read_ahead(
        &self,
        ranges: impl Iterator<Item = Range<u64>>,
    ) -> Option<Box<dyn ReadAhead>> {
        let wanted: Vec<_> = ranges.map(|range| (self.key.clone(), range)).collect();
        self.store.read_ahead(&wanted)
    }

    /// The index entry of a frame.
    ///
    /// # Errors
    ///
    /// Its page could not be fetched or is damaged, or the layer has no such frame.
    pub fn entry(&self, frame: u32) -> Result<FrameEntry, FetchError> {
        let page = self.entries(frame / FRAMES_PER_PAGE)?;
        let place = size(u64::from(frame % FRAMES_PER_PAGE));
        page.get(place).copied().ok_or_else(|| self.missing())
    }

    fn missing(&self) -> FetchError {
        let fault = Fault::Field("a row's frame");
        let error = DecodeError {
            part: "row page",
            offset: 0,
            fault,
        };
        FetchError::corrupt(&self.key, error)
    }

    /// A page of frame entries.
    fn entries(&self, number: u32) -> Result<Arc<[FrameEntry]>, FetchError> {
        let (cache, object) = self.cache();
        cache.entries(*object, number, || {
            let range = self.container.frame_page_range(number * FRAMES_PER_PAGE);
            let (page, range) = range.ok_or_else(|| self.missing())?;
            let bytes = self.read(range).map_err(FetchError::store)?;
            let entries = self.container.frame_page(page, &bytes);
            let entries = entries.map_err(|error| FetchError::corrupt(&self.key, error))?;
            Ok(Arc::from(entries))
        })
    }

    /// A page of rows; `None` behind the last one.
    fn rows(&self, number: usize) -> Result<Option<Arc<[Row]>>, FetchError> {
        let Some(range) = self.container.row_page_range(number) else {
            return Ok(None);
        };
        let (cache, object) = self.cache();
        let page = u32::try_from(number).expect("pages are limited");
        let rows = cache.rows(*object, page, || {
            let bytes = self.read(range).map_err(FetchError::store)?;
            let rows = self.container.row_page(number, &bytes);
            let rows = rows.map_err(|error| FetchError::corrupt(&self.key, error))?;
            Ok(Arc::from(rows))
        });
        rows.map(Some)
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
        LayerExtents::new(vec![(Arc::clone(self), object)], disk, sectors, object)
    }

    /// The first page that may hold a row of the disk at or behind a sector; `None` where the object
    /// does not know the disk.
    fn first_page(&self, disk: &Name, start: u64) -> Option<(u16, usize)> {
        let mut disks = self.container.header.disks.iter().zip(0u16..);
        let (_, disk) = disks.find(|(known, _)| known.name == *disk)?;
        let pages = &self.container.directory.row_pages;
        // The page before the first one that begins behind the start may reach over it.
        let page = pages.partition_point(|page| (page.disk, page.start) <= (disk, start));
        Some((disk, page.saturating_sub(1)))
    }
}

/// The extents of a layer, or of the objects of an index one behind the other, page by page.
#[derive(Debug)]
pub struct LayerExtents {
    /// What is still to come, and the numbers that the extents carry.
    objects: VecDeque<(Arc<Layer>, u32)>,
    name: Name,
    sectors: Range<u64>,
    rank: u32,
    at: Option<Reading>,
}

/// An object that is being read.
#[derive(Debug)]
struct Reading {
    layer: Arc<Layer>,
    number: u32,
    disk: u16,
    /// The page to be loaded next.
    page: usize,
    rows: Arc<[Row]>,
    row: usize,
    /// The page of frame entries that was needed last.
    entries: Option<(u32, Arc<[FrameEntry]>)>,
}

impl LayerExtents {
    pub(crate) fn new(
        objects: Vec<(Arc<Layer>, u32)>,
        disk: &Name,
        sectors: Range<u64>,
        rank: u32,
    ) -> LayerExtents {
        LayerExtents {
            objects: objects.into(),
            name: disk.clone(),
            sectors,
            rank,
            at: None,
        }
    }

    /// Goes to the next object that knows the disk; false where there is none.
    fn advance(&mut self) -> bool {
        self.at = None;
        while let Some((layer, number)) = self.objects.pop_front() {
            if let Some((disk, page)) = layer.first_page(&self.name, self.sectors.start) {
                self.at = Some(Reading {
                    layer,
                    number,
                    disk,
                    page,
                    rows: Arc::new([]),
                    row: 0,
                    entries: None,
                });
                return true;
            }
        }
        false
    }
}

impl Reading {
    /// Loads the next page; false where there is none, or none that can hold a row of the range.
    fn load(&mut self, sectors: &Range<u64>) -> Result<bool, FetchError> {
        let Some(page) = self.layer.container.directory.row_pages.get(self.page) else {
            return Ok(false);
        };
        let is_behind = (page.disk, page.start) >= (self.disk, sectors.end);
        if is_behind || sectors.is_empty() {
            return Ok(false);
        }
        let Some(rows) = self.layer.rows(self.page)? else {
            return Ok(false);
        };
        // Where the range begins in the middle of the page there is nothing to look at before.
        let (disk, start) = (self.disk, sectors.start);
        self.row = rows.partition_point(|row| (row.disk, row.end()) <= (disk, start));
        self.rows = rows;
        self.page += 1;
        Ok(true)
    }

    fn entry(&mut self, frame: u32) -> Result<FrameEntry, FetchError> {
        let number = frame / FRAMES_PER_PAGE;
        let page = match self.entries.take().filter(|(known, _)| *known == number) {
            Some((_, page)) => page,
            None => self.layer.entries(number)?,
        };
        let place = size(u64::from(frame % FRAMES_PER_PAGE));
        let entry = page.get(place).copied();
        self.entries = Some((number, page));
        entry.ok_or_else(|| self.layer.missing())
    }

    fn extent(&mut self, row: &Row, sectors: &Range<u64>, rank: u32) -> Result<Extent, FetchError> {
        let (frame, offset) = match row.kind {
            RowKind::Write { frame, offset } => {
                let entry = self.entry(frame)?;
                check_row_fits(row, Some(&entry))
                    .map_err(|error| FetchError::corrupt(&self.layer.key, error))?;
                (frame, offset)
            }
            RowKind::Zero | RowKind::Marker => (Extent::ZERO, 0),
        };
        let whole = Extent {
            start: row.start,
            sectors: row.sectors,
            rank,
            object: self.number,
            frame,
            offset,
            disk: 0,
        };
        let start = row.start.max(sectors.start);
        Ok(whole.part(start, row.end().min(sectors.end)))
    }
}

impl Iterator for LayerExtents {
    type Item = Result<Extent, FetchError>;

    fn next(&mut self) -> Option<Result<Extent, FetchError>> {
        loop {
            let Some(at) = &mut self.at else {
                if self.advance() {
                    continue;
                }
                return None;
            };
            let Some(row) = at.rows.get(at.row).copied() else {
                match at.load(&self.sectors) {
                    Ok(true) => {}
                    Ok(false) => self.at = None,
                    Err(error) => {
                        // There is no going on behind what could not be read.
                        self.objects.clear();
                        self.at = None;
                        return Some(Err(error));
                    }
                }
                continue;
            };
            at.row += 1;
            if row.disk < at.disk || row.disk == at.disk && row.end() <= self.sectors.start {
                continue;
            }
            if row.disk > at.disk || row.start >= self.sectors.end {
                self.at = None;
                continue;
            }
            return Some(at.extent(&row, &self.sectors, self.rank));
        }
    }
}
