//! A small group with one object of every kind, made by the real writers.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use afterimage_cache::{Segment, SegmentLimits, StreamReader, StreamWriter, WriterOptions};
use afterimage_changelog::{
    Digest, Disk, FrameEntry, MarkerKind, Name, ObjectId, RowKind, SECTOR, SectorSize, Timestamp,
};
use afterimage_coalesce::Extent;
use afterimage_fetch::{FetchError, FrameSource};
use afterimage_recovery::{
    Change, Committer, Head, IndexJob, IndexLimits, IndexRef, LayerJob, LayerRef, Manifest,
    PageRef, Point, Proposal, RecoveryError,
    hold::{Hold, HoldKind},
    load_head,
    name::{hold_key, layer_key, manifest_key, page_key},
    page::Page,
    write_index, write_layers,
};
use afterimage_storage::{Key, MemoryStore, Nonces, Store, StoreError};
use bytes::Bytes;

/// Bytes of each of the two disks.
pub(crate) const DISK_BYTES: u64 = 16 << 10;

/// All objects of the group, as they should be.
pub(crate) struct World {
    pub(crate) objects: BTreeMap<Key, Bytes>,
    pub(crate) head: Manifest,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl World {
    /// Two segments and two points of stream `main`, the older of them in a page, an index over the
    /// layers of both in two objects, a segment of stream `log`, and a hold of a point; another seed
    /// gives another history of the same group.
    pub(crate) fn new(seed: u64) -> World {
        World::with_writes(seed, 0)
    }

    /// The same with other writes: objects have the names and lengths that they would have.
    pub(crate) fn with_writes(seed: u64, shift: u64) -> World {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let nonces = Arc::new(Nonces::seeded(seed));
        write_stream(&store, &nonces, "main", &[10 + shift, 20 + shift]);
        write_stream(&store, &nonces, "log", &[30 + shift]);
        commit_points(&store, &nonces);
        commit_page(&store, &nonces);
        hold_point(store.as_ref(), &nonces);
        let listed = store.list(&Key::new("shop").unwrap(), None, 100).unwrap();
        // Claims say nothing but their names.
        let is_claim = |key: &Key| key.as_str().contains("/epochs/");
        let objects = listed
            .into_iter()
            .filter(|entry| !is_claim(&entry.key))
            .map(|entry| {
                let bytes = store.read(&entry.key).unwrap();
                (entry.key, bytes)
            })
            .collect();
        let Head { manifest, .. } = load_head(store.as_ref(), &name("shop")).unwrap().unwrap();
        World {
            objects,
            head: manifest,
        }
    }

    /// A store with these objects, some of them replaced or added.
    pub(crate) fn store(&self, replaced: &[(&Key, &Bytes)]) -> Arc<dyn Store> {
        let store = MemoryStore::new();
        let kept = self
            .objects
            .iter()
            .filter(|(key, _)| replaced.iter().all(|(other, _)| other != key));
        for (key, bytes) in kept.chain(replaced.iter().copied()) {
            store.create(key, std::slice::from_ref(bytes)).unwrap();
        }
        Arc::new(store)
    }

    /// The newest manifest without its index: points are read from the layers themselves.
    pub(crate) fn unindexed(&self) -> Manifest {
        Manifest {
            indexes: Vec::new(),
            ..self.head.clone()
        }
    }

    /// The keys that hold a part of a name.
    pub(crate) fn keys(&self, part: &str) -> Vec<&Key> {
        let keys = self.objects.keys();
        keys.filter(|key| key.as_str().contains(part)).collect()
    }

    /// The layers, oldest first.
    pub(crate) fn layers(&self) -> Vec<LayerRef> {
        let points = self.head.points.iter();
        points.flat_map(|point| point.layers.clone()).collect()
    }

    /// The layer of a key.
    pub(crate) fn layer(&self, key: &Key) -> LayerRef {
        let mut layers = self.layers().into_iter();
        let found = layers.find(|layer| layer_key(&self.head.group, layer.epoch, layer.id) == *key);
        found.unwrap()
    }
}

fn disks() -> Vec<Disk> {
    vec![
        Disk::new(name("root"), DISK_BYTES, SectorSize::B512).unwrap(),
        Disk::new(name("data"), DISK_BYTES, SectorSize::B512).unwrap(),
    ]
}

/// Bytes that do not compress and belong to one write only.
fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// One segment for each seed: two raw frames of one length, a compressed one, a zeroed run on the
/// other disk and a marker. No segment writes where another one does.
fn write_stream(store: &Arc<dyn Store>, nonces: &Arc<Nonces>, stream: &str, seeds: &[u64]) {
    let options = WriterOptions {
        group: name("shop"),
        stream: name(stream),
        disks: disks(),
        limits: SegmentLimits {
            frame_bytes: 512,
            ..SegmentLimits::default()
        },
        level: 1,
    };
    let mut writer = StreamWriter::open(Arc::clone(store), Arc::clone(nonces), options).unwrap();
    let now = Timestamp(1_700_000_000_000_000);
    for (&seed, place) in seeds.iter().zip(0u64..) {
        let start = 1 + place * 12;
        let letter = u8::try_from(seed).unwrap();
        writer.write(0, start, &noise(seed), now).unwrap();
        writer.write(0, start + 4, &noise(seed + 1), now).unwrap();
        writer.write(0, start + 8, &[letter; 512], now).unwrap();
        writer.zero(1, place * 8, 8, now).unwrap();
        let cut = ObjectId([letter; 16]);
        writer.mark(MarkerKind::User, "cut", cut, now).unwrap();
        writer.seal().unwrap();
    }
}

/// One segment as a source of frames.
#[derive(Debug)]
pub(crate) struct Frames(pub(crate) Segment);

impl FrameSource for Frames {
    fn name(&self, _object: u32) -> String {
        self.0.key.to_string()
    }

    fn entry(&self, _object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        Ok(self.0.index.frames[usize::try_from(frame).unwrap()])
    }

    fn read(&self, _object: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.0.read(range)
    }
}

/// A point and a layer for each segment of stream `main`.
fn commit_points(store: &Arc<dyn Store>, nonces: &Arc<Nonces>) {
    let (group, stream) = (name("shop"), name("main"));
    let now = Timestamp(1_800_000_000_000_000);
    let mut committer =
        Committer::acquire(Arc::clone(store), Arc::clone(nonces), group.clone(), now).unwrap();
    let mut reader = StreamReader::new(Arc::clone(store), group.clone(), stream.clone(), None);
    while let Some(segment) = reader.next_segment().unwrap() {
        let end = segment.end();
        let marker = segment.container.directory.markers[0].clone();
        let job = LayerJob {
            store: store.as_ref(),
            nonces,
            group: &group,
            stream: &stream,
            epoch: committer.epoch(),
            disks: &disks(),
            first: segment.container.header.first,
            last: end.sequence,
            created: now,
            level: 1,
        };
        let live = extents(&segment);
        let frames = segment.index.frames.len();
        let written = write_layers(&job, &live, &[frames], &Frames(segment)).unwrap();
        assert_eq!(written.passed_frames, 3);
        let proposal = Proposal {
            kind: marker.kind,
            name: marker.name,
            time: marker.time,
            cut: marker.cut,
            disks: disks(),
            changed_bytes: written.changed_bytes,
            layers: written.layers,
            streams: vec![(stream.clone(), end)],
        };
        let points = vec![proposal];
        let change = Change {
            points,
            ..Change::default()
        };
        committer.commit(change, now).unwrap();
    }
}

/// An index over the layers of both points, four rows an object.
pub(crate) fn merged(
    store: &Arc<dyn Store>,
    nonces: &Nonces,
    manifest: &Manifest,
) -> Result<IndexRef, RecoveryError> {
    let job = IndexJob {
        store,
        nonces,
        created: Timestamp(1_800_000_000_000_000),
        limits: IndexLimits {
            rows: 4,
            ..IndexLimits::default()
        },
    };
    let first = manifest.layers().next().unwrap().id;
    write_index(&job, manifest, first, 2)
}

/// The next manifest, with an index and with the older point in a page: a committer makes pages of
/// far more points, and upkeep makes indexes of far more layers.
fn commit_page(store: &Arc<dyn Store>, nonces: &Nonces) {
    let group = name("shop");
    let Head { manifest, digest } = load_head(store.as_ref(), &group).unwrap().unwrap();
    let index = merged(store, nonces, &manifest).unwrap();
    assert_eq!(index.objects.len(), 2);
    let page = Page {
        epoch: manifest.epoch,
        id: ObjectId(nonces.next()),
        group: group.clone(),
        points: vec![Point::clone(&manifest.points[0])],
    };
    let bytes = Bytes::from(page.encode());
    let object = LayerRef {
        epoch: page.epoch,
        id: page.id,
        object_bytes: u64::try_from(bytes.len()).unwrap(),
        digest: Digest::of(&bytes),
    };
    let key = page_key(&group, page.epoch, page.id);
    store.create(&key, &[bytes]).unwrap();
    let next = Manifest {
        number: manifest.number + 1,
        nonce: ObjectId(nonces.next()),
        predecessor: digest,
        pages: vec![PageRef { object, points: 1 }],
        indexes: vec![index],
        ..manifest
    };
    let key = manifest_key(&group, next.number);
    store.create(&key, &[Bytes::from(next.encode())]).unwrap();
}

fn hold_point(store: &dyn Store, nonces: &Nonces) {
    let hold = Hold {
        id: ObjectId(nonces.next()),
        group: name("shop"),
        kind: HoldKind::Use,
        manifest: Some(2),
        point: Some(1),
        until: Timestamp(1_900_000_000_000_000),
        text: "a restore".to_owned(),
    };
    let key = hold_key(&hold.group, hold.id);
    store.create(&key, &[Bytes::from(hold.encode())]).unwrap();
}

/// The rows of a segment, which do not overlap, in address order.
fn extents(segment: &Segment) -> Vec<Extent> {
    let rows = segment.index.rows.iter();
    let mut extents: Vec<Extent> = rows
        .filter_map(|row| {
            let (frame, offset) = match row.kind {
                RowKind::Write { frame, offset } => (frame, offset),
                RowKind::Zero => (Extent::ZERO, 0),
                RowKind::Marker => return None,
            };
            Some(Extent {
                start: row.start,
                sectors: row.sectors,
                rank: 0,
                object: 0,
                frame,
                offset,
                disk: row.disk,
            })
        })
        .collect();
    extents.sort_by_key(|extent| (extent.disk, extent.start));
    assert!(
        extents
            .iter()
            .all(|extent| extent.end() * SECTOR <= DISK_BYTES)
    );
    extents
}
