//! Looking at the points of a group, and reading any bytes of any of them.

use std::sync::Arc;

use afterimage_changelog::{Disk, Name, Timestamp};
use afterimage_recovery::{
    Manifest, Point, PointReader, Sample, Verified, chain::check_chain, load_head, verify_layer,
};
use afterimage_storage::Store;

use crate::error::Error;

/// Says which point is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointSelector {
    /// The newest.
    Latest,
    /// The one of this id.
    Id(u64),
    /// The newest one of this name.
    Name(String),
    /// The newest one that is not younger than this.
    At(Timestamp),
}

/// The points of a group, as of the newest commit.
#[derive(Clone, Debug)]
pub struct Points {
    store: Arc<dyn Store>,
    manifest: Manifest,
    /// What a reader keeps in memory where nothing else is said; `None` for its own default.
    cache_bytes: Option<u64>,
}

impl Points {
    /// Loads the points of a group.
    ///
    /// # Errors
    ///
    /// The store failed, the newest manifest is damaged, or there is no such group at the target.
    pub fn load(store: &Arc<dyn Store>, group: &Name) -> Result<Points, Error> {
        let head = load_head(store.as_ref(), group)?;
        let head = head
            .ok_or_else(|| Error::invalid(format!("there is no group {group} at this target")))?;
        Ok(Points {
            store: Arc::clone(store),
            manifest: head.manifest,
            cache_bytes: None,
        })
    }

    /// The points of a manifest.
    pub(crate) fn of(store: &Arc<dyn Store>, manifest: Manifest) -> Points {
        Points {
            store: Arc::clone(store),
            manifest,
            cache_bytes: None,
        }
    }

    /// The same points, of which readers keep at most so many bytes in memory.
    pub(crate) fn keeping(self, cache_bytes: u64) -> Points {
        Points {
            cache_bytes: Some(cache_bytes),
            ..self
        }
    }

    /// Where they are.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The manifest they are in.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The points, oldest first.
    #[must_use]
    pub fn list(&self) -> &[Arc<Point>] {
        &self.manifest.points
    }

    /// Finds a point.
    ///
    /// # Errors
    ///
    /// There is none that fits.
    pub fn find(&self, selector: &PointSelector) -> Result<&Point, Error> {
        let mut newest_first = self.manifest.points.iter().rev();
        let (found, what) = match selector {
            PointSelector::Latest => (newest_first.next(), "no point yet".to_owned()),
            PointSelector::Id(id) => (
                newest_first.find(|point| point.id == *id),
                format!("no point {id}"),
            ),
            PointSelector::Name(name) => (
                newest_first.find(|point| point.name == *name),
                format!("no point named {name}"),
            ),
            PointSelector::At(time) => (
                newest_first.find(|point| point.time <= *time),
                "no point as old as that".to_owned(),
            ),
        };
        let found = found.map(Arc::as_ref);
        found.ok_or_else(|| Error::invalid(format!("group {}: {what}", self.manifest.group)))
    }

    /// One of the disks of a point.
    ///
    /// # Errors
    ///
    /// There is no such point, or it has no disk of this name.
    pub fn disk(&self, id: u64, name: &Name) -> Result<&Disk, Error> {
        let disks = self.manifest.disks(self.find(&PointSelector::Id(id))?);
        disks.iter().find(|disk| disk.name == *name).ok_or_else(|| {
            let known: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
            let known = known.join(", ");
            Error::invalid(format!("point {id} has no disk {name}; it has {known}"))
        })
    }

    /// Opens a point for reading.
    ///
    /// # Errors
    ///
    /// There is none that fits, or one of its layers is missing or damaged.
    pub fn open(&self, selector: &PointSelector) -> Result<PointReader, Error> {
        if let Some(cache_bytes) = self.cache_bytes {
            return self.open_with(selector, cache_bytes);
        }
        let id = self.find(selector)?.id;
        Ok(PointReader::open(&self.store, &self.manifest, id)?)
    }

    /// Opens a point for reading; of what is read at most so many bytes are kept in memory, 64 MiB
    /// where nothing else is said. Whoever reads the same places again and again, as a disk that is
    /// served does, wants as much as these places are.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Points::open).
    pub fn open_with(
        &self,
        selector: &PointSelector,
        cache_bytes: u64,
    ) -> Result<PointReader, Error> {
        let (store, id) = (&self.store, self.find(selector)?.id);
        Ok(PointReader::open_with(
            store,
            &self.manifest,
            id,
            cache_bytes,
        )?)
    }

    /// Proves that points can be restored: checks the chain of manifests and reads the layers of all
    /// points up to the selected one, every index and the sampled frames. `watch` is told after each
    /// layer how many there are and what was read.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn verify(
        &self,
        up_to: &PointSelector,
        sample: Sample,
        watch: &mut dyn FnMut(usize, &Verified),
    ) -> Result<Verified, Error> {
        let group = &self.manifest.group;
        check_chain(self.store.as_ref(), group)?;
        let last = self.find(up_to)?.id;
        let points = self.manifest.points.iter().filter(|point| point.id <= last);
        let layers: Vec<_> = points.flat_map(|point| &point.layers).collect();
        let mut verified = Verified::default();
        for layer in &layers {
            verified = verified.and(verify_layer(&self.store, group, layer, sample)?);
            watch(layers.len(), &verified);
        }
        // Reading through the point as a restore does finds what single layers cannot show.
        let point = self.open(up_to)?;
        for disk in point.disks() {
            for extent in point.extents(&disk.name, 0..disk.sectors)? {
                extent?;
            }
        }
        Ok(verified)
    }
}
