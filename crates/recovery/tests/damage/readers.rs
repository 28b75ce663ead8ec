//! Reading everything with the readers that the service uses, and noting every byte they give out.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
};

use afterimage_cache::StreamReader;
use afterimage_changelog::{FrameEntry, Name, ObjectId, SECTOR, size};
use afterimage_fetch::{FetchError, FrameRef, FrameSource, runs};
use afterimage_recovery::{
    Manifest, PointReader, Sample, chain::check_chain, holds::list_holds, layer::Layer, load_head,
    verify_layer,
};
use afterimage_storage::{Disk, DiskError, Key, MemoryDisk, Store, StoreError};
use afterimage_target::{
    Progress, Replica, Stand, Standing, TargetError,
    progress::PROGRESS_BYTES,
    replica::{Extents, PointSource},
};
use bytes::Bytes;

use crate::world::{DISK_BYTES, Frames, World, name};

/// What a reader gave out before it ended, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Which object, and the bytes.
    pub(crate) given: Vec<(String, Bytes)>,
    /// The error, where there was one.
    pub(crate) refused: Option<String>,
}

impl Reading {
    fn of(read: impl FnOnce(&mut Vec<(String, Bytes)>) -> Result<(), String>) -> Reading {
        let mut given = Vec::new();
        let refused = read(&mut given).err();
        Reading { given, refused }
    }

    /// The reading was refused, and all it gave out before is what `whole` begins with and does not
    /// come from the object `key`.
    pub(crate) fn refuses(&self, key: &Key, whole: &Reading) -> bool {
        self.refused.is_some()
            && whole.given.starts_with(&self.given)
            && self.given.iter().all(|(object, _)| object != key.as_str())
    }

    /// Whoever reads the refusal learns which object it was.
    pub(crate) fn names(&self, key: &Key) -> bool {
        let refused = self.refused.as_ref();
        refused.is_some_and(|refused| refused.contains(key.as_str()))
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// All segments of a stream with all their rows and frames.
pub(crate) fn stream(store: &Arc<dyn Store>, stream: &Name) -> Reading {
    Reading::of(|given| {
        let mut reader = StreamReader::new(Arc::clone(store), name("shop"), stream.clone(), None);
        while let Some(segment) = reader.next_segment().map_err(text)? {
            let entries = segment.index.frames.clone();
            let rows = format!("{:?}{:?}", segment.container, segment.index.rows);
            fetch(&entries, &Frames(segment), given)?;
            given.push(("rows".to_owned(), Bytes::from(rows)));
        }
        Ok(())
    })
}

fn fetch(
    entries: &[FrameEntry],
    source: &dyn FrameSource,
    given: &mut Vec<(String, Bytes)>,
) -> Result<(), String> {
    let needed = entries.iter().zip(0u32..).map(|(&entry, frame)| FrameRef {
        object: 0,
        frame,
        place: 0,
        entry,
    });
    for run in runs(source, needed) {
        for frame in run.fetch(source).map_err(text)? {
            let payload = frame.decode().map_err(text)?;
            given.push((source.name(0), payload));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct OneLayer(Arc<Layer>);

impl FrameSource for OneLayer {
    fn name(&self, _object: u32) -> String {
        self.0.key.to_string()
    }

    fn entry(&self, _object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.0.entry(frame)
    }

    fn read(&self, _object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.0.read(range)
    }
}

/// A layer as the merge sees it: extents page by page, then the frames they name.
pub(crate) fn layer(store: &Arc<dyn Store>, world: &World, key: &Key) -> Reading {
    Reading::of(|given| {
        let layer = Layer::open(Arc::clone(store), &world.head.group, &world.layer(key));
        let source = OneLayer(Arc::new(layer.map_err(text)?));
        let mut entries = Vec::new();
        for disk in ["root", "data"] {
            let extents = source.0.extents(&name(disk), 0..DISK_BYTES / SECTOR, 0);
            for extent in extents {
                let extent = extent.map_err(text)?;
                if !extent.is_zero() {
                    entries.push(source.0.entry(extent.frame).map_err(text)?);
                }
            }
        }
        fetch(&entries, &source, given)
    })
}

/// A layer as `verify` sees it.
pub(crate) fn verified(store: &Arc<dyn Store>, world: &World, key: &Key) -> Reading {
    Reading::of(|_| {
        verify_layer(store, &world.head.group, &world.layer(key), Sample::ALL)
            .map(|_| ())
            .map_err(text)
    })
}

/// The newest point, sector by sector; `None` where a sector was refused. Whole sectors come out,
/// or none of their bytes.
pub(crate) fn sectors(store: &Arc<dyn Store>, manifest: &Manifest) -> Vec<Option<Vec<u8>>> {
    let Ok(point) = PointReader::open(store, manifest, 2) else {
        return Vec::new();
    };
    let mut sectors = Vec::new();
    for disk in ["root", "data"] {
        for at in 0..DISK_BYTES / SECTOR {
            let mut sector = vec![0xee; size(SECTOR)];
            let read = point.read_at(&name(disk), at * SECTOR, &mut sector);
            if read.is_err() {
                let given = sector.iter().any(|&byte| byte != 0 && byte != 0xee);
                assert!(!given, "sector {at} of {disk} was refused but filled");
            }
            sectors.push(read.is_ok().then_some(sector));
        }
    }
    sectors
}

/// The newest point up to the first sector that is refused.
pub(crate) fn point(store: &Arc<dyn Store>, manifest: &Manifest) -> Reading {
    Reading::of(|given| {
        let point = PointReader::open(store, manifest, 2).map_err(text)?;
        for disk in ["root", "data"] {
            for at in 0..DISK_BYTES / SECTOR {
                let mut sector = vec![0xee; size(SECTOR)];
                let read = point.read_at(&name(disk), at * SECTOR, &mut sector);
                read.map_err(text)?;
                given.push((format!("sector {at} of {disk}"), Bytes::from(sector)));
            }
        }
        Ok(())
    })
}

/// The manifest chain: its head, then all of it.
pub(crate) fn chain(store: &Arc<dyn Store>) -> Reading {
    Reading::of(|given| {
        let head = load_head(store.as_ref(), &name("shop")).map_err(text)?;
        check_chain(store.as_ref(), &name("shop")).map_err(text)?;
        let head = head.ok_or("there is no head")?;
        let key = afterimage_recovery::name::manifest_key(&name("shop"), head.manifest.number);
        given.push((key.to_string(), Bytes::from(head.manifest.encode())));
        Ok(())
    })
}

/// All holds of the group, as those who decide what may be deleted see them.
pub(crate) fn holds(store: &Arc<dyn Store>) -> Reading {
    Reading::of(|given| {
        for (key, hold) in list_holds(store.as_ref(), &name("shop")).map_err(text)? {
            given.push((key.to_string(), Bytes::from(hold.encode())));
        }
        Ok(())
    })
}

/// Payload that was written, and where.
pub(crate) type Writes = Vec<(Range<u64>, Vec<u8>)>;

/// A disk that remembers what payload was written where.
#[derive(Debug)]
struct Written {
    disk: MemoryDisk,
    writes: Mutex<Writes>,
}

impl Disk for Written {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.disk.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let end = offset + u64::try_from(data.len()).unwrap();
        let mut writes = self.writes.lock().unwrap();
        writes.push((offset..end, data.to_vec()));
        drop(writes);
        self.disk.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.disk.zero_at(offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.disk.flush()
    }
}

#[derive(Debug)]
struct RootOf(PointReader);

impl FrameSource for RootOf {
    fn name(&self, object: u32) -> String {
        self.0.name(object)
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.0.entry(object, frame)
    }

    fn place(&self, object: u32, entry: &FrameEntry) -> u32 {
        self.0.place(object, entry)
    }

    fn read(&self, object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.0.read(object, range)
    }
}

impl PointSource for RootOf {
    fn layers_up_to(&self, stand: Stand) -> Option<usize> {
        self.0.layers_up_to(stand.id, stand.cut)
    }

    fn extents(
        &self,
        layers: Range<usize>,
        sectors: Range<u64>,
    ) -> Result<Extents<'_>, TargetError> {
        match self.0.extents_of(&name("root"), sectors, layers) {
            Ok(extents) => Ok(Box::new(extents)),
            Err(error) => Err(TargetError::unfit("root".to_owned(), error.to_string())),
        }
    }
}

/// Brings a blank replica of disk `root` to the newest point; gives what was written where, in
/// order of place, and whether it was refused.
pub(crate) fn replica(store: &Arc<dyn Store>, manifest: &Manifest) -> (Writes, bool) {
    let Ok(point) = PointReader::open(store, manifest, 2) else {
        return (Vec::new(), true);
    };
    let to = Stand {
        id: 2,
        cut: point.point().cut,
    };
    let disk = Written {
        disk: MemoryDisk::new(DISK_BYTES),
        writes: Mutex::default(),
    };
    let record = MemoryDisk::new(PROGRESS_BYTES);
    let mut replica = Replica::open(&disk, &record, &name("shop"), &name("root")).unwrap();
    replica.adopt_blank().unwrap();
    let moved = replica.advance(
        &RootOf(point),
        to,
        DISK_BYTES / SECTOR,
        &AtomicU64::new(0),
        &AtomicBool::new(false),
    );
    let mut writes = disk.writes.lock().unwrap().clone();
    writes.sort_by_key(|(range, _)| range.start);
    (writes, moved.is_err())
}

/// Bytes from one slot of a record to the other.
pub(crate) const SLOT_BYTES: usize = 4096;
/// Bytes of a slot that are written.
pub(crate) const SLOT_USED_BYTES: usize = 512;
/// Where the digest of a slot of `shop` and `root` ends.
pub(crate) const SLOT_DIGEST_END: usize = 88 + 5 + 5 + 32;

/// The two standings of the record, the older one first.
pub(crate) fn standings() -> (Standing, Standing) {
    let stand = |id: u8| Stand {
        id: u64::from(id),
        cut: ObjectId([id; 16]),
    };
    let moving = Standing::Moving {
        from: stand(3),
        to: stand(4),
    };
    (moving, Standing::At(stand(4)))
}

/// A record that holds both: the newer one in the slot at the front.
pub(crate) fn record() -> Bytes {
    let disk = MemoryDisk::new(PROGRESS_BYTES);
    let mut progress = Progress::load(&disk, &name("shop"), &name("root")).unwrap();
    let (older, newer) = standings();
    progress
        .record(older, afterimage_storage::Stamp::default())
        .unwrap();
    progress
        .record(newer, afterimage_storage::Stamp::default())
        .unwrap();
    Bytes::from(disk.content())
}

/// What a record says; the error where it cannot be read.
pub(crate) fn standing(record: &Bytes) -> Result<Option<Standing>, String> {
    let disk = MemoryDisk::from(record.to_vec());
    let progress = Progress::load(&disk, &name("shop"), &name("root")).map_err(text)?;
    Ok(progress.standing())
}
