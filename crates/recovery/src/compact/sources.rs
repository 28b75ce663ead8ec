//! The layers that are rewritten, opened.

use std::{ops::Range, sync::Arc};

use afterimage_changelog::{Disk, FrameEntry, Name, Sequence, limits::DISKS_MAX, size};
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_storage::{ReadAhead, Store, StoreError};
use bytes::Bytes;

use crate::{
    error::{RecoveryError, RecoveryErrorKind},
    layer::Layer,
    manifest::LayerRef,
    read_cache::{ReadCache, SWEEP_CACHE_BYTES},
};

/// Opened layers, oldest first; object `n` is the `n`th of them.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) layers: Vec<Arc<Layer>>,
    /// All disks of all layers, each as large as any of them has it.
    pub(super) disks: Vec<Disk>,
}

impl Sources {
    /// Opens layers.
    pub(super) fn open(
        store: &Arc<dyn Store>,
        group: &Name,
        layers: &[LayerRef],
    ) -> Result<Sources, RecoveryError> {
        // However many there are, they keep no more pages than this.
        let cache = Arc::new(ReadCache::new(SWEEP_CACHE_BYTES));
        let layers: Vec<(bool, &LayerRef)> = layers.iter().map(|layer| (false, layer)).collect();
        let layers = Layer::open_all(store, group, &layers)?
            .into_iter()
            .zip(0u32..);
        let layers = layers.map(|(layer, number)| Arc::new(layer.share(&cache, number)));
        let layers: Vec<Arc<Layer>> = layers.collect();
        let mut disks: Vec<Disk> = Vec::new();
        for disk in layers
            .iter()
            .flat_map(|layer| &layer.container.header.disks)
        {
            widen(&mut disks, disk);
        }
        if disks.len() > usize::from(DISKS_MAX) {
            let what = format!("layers of {} disks cannot be merged", disks.len());
            return Err(RecoveryError::new(group, RecoveryErrorKind::Limit(what)));
        }
        Ok(Sources { layers, disks })
    }

    /// The stream of the layers, the first record they cover and the last.
    ///
    /// # Errors
    ///
    /// The layers are of several streams. There are none that do.
    pub(super) fn span(&self) -> Result<Option<(Name, Sequence, Sequence)>, RecoveryError> {
        let (Some(first), Some(last)) = (self.layers.first(), self.layers.last()) else {
            return Ok(None);
        };
        let stream = &first.container.header.stream;
        let stranger = self.layers.iter().find(|layer| {
            let header = &layer.container.header;
            header.stream != *stream
        });
        if let Some(stranger) = stranger {
            let what = "its writes are of another stream than those below it".to_owned();
            let kind = RecoveryErrorKind::Mismatch(what);
            return Err(RecoveryError::new(&stranger.key, kind));
        }
        let sequences = (first.container.header.first, last.container.footer.last);
        Ok(Some((stream.clone(), sequences.0, sequences.1)))
    }

    fn layer(&self, object: u32) -> &Layer {
        let layer = self.layers.get(size(u64::from(object)));
        layer.expect("extents name layers that were opened")
    }
}

/// A disk in the table, as large as it was at any time. Rows may have begun at any sector while it
/// had small ones.
fn widen(disks: &mut Vec<Disk>, disk: &Disk) {
    match disks.iter_mut().find(|known| known.name == disk.name) {
        Some(known) => {
            known.sectors = known.sectors.max(disk.sectors);
            if disk.sector_size.bytes() < known.sector_size.bytes() {
                known.sector_size = disk.sector_size;
            }
        }
        None => disks.push(disk.clone()),
    }
}

impl FrameSource for Sources {
    fn name(&self, object: u32) -> String {
        self.layer(object).key.to_string()
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.layer(object).entry(frame)
    }

    fn read(&self, object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.layer(object).read(range)
    }

    fn read_ahead(&self, wanted: &[(u32, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        let (first, _) = wanted.first()?;
        let wanted = wanted
            .iter()
            .map(|(object, range)| (self.layer(*object).key.clone(), range.clone()));
        let store = self.layer(*first).store();
        store.read_ahead(&wanted.collect::<Vec<_>>())
    }
}
