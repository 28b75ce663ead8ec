//! Valid objects, made by the code that makes them in production.

use std::sync::{Arc, LazyLock};

use afterimage::{Ingest, IngestParts};
use afterimage_cache::{
    CacheError, SegmentLimits, StreamReader, StreamWriter, WriterOptions, segment_key,
};
use afterimage_changelog::{
    Codec, ContainerBuilder, Digest, Disk, Epoch, Fidelity, Header, MarkerKind, Name, ObjectId,
    ObjectKind, Row, RowKind, SectorSize, Sequence, Timestamp, directory::LayerPlace,
    frame::FrameEntry, length,
};
use afterimage_recovery::{
    IndexRef, LayerRef, Manifest, PageRef, Point,
    hold::{Hold, HoldKind},
    name::layer_key,
    page::Page,
};
use afterimage_storage::{Key, MemoryDisk, MemoryStore, Nonces, Store};
use afterimage_target::{Progress, Stand, Standing};
use bytes::Bytes;

/// What the samples hold.
pub(crate) struct Samples {
    /// Two disks, several frames and markers.
    pub(crate) segment: Bytes,
    /// A segment whose index has two pages of rows.
    pub(crate) long_segment: Bytes,
    pub(crate) layer: Bytes,
    /// A layer whose index has two pages of rows.
    pub(crate) long_layer: Bytes,
    /// An index over the frames of two layers.
    pub(crate) index: Bytes,
    /// A manifest that holds all of its points itself.
    pub(crate) manifest: Bytes,
    /// The same with its oldest points in a page, an index and a text of what to keep.
    pub(crate) paged_manifest: Vec<u8>,
    /// That page.
    pub(crate) page: Vec<u8>,
    pub(crate) hold: Vec<u8>,
    /// The two slots of a replica's record.
    pub(crate) progress: Vec<u8>,
    /// A write log with every kind of entry.
    pub(crate) log: Vec<u8>,
    /// The same log, compressed.
    pub(crate) compressed_log: Vec<u8>,
}

pub(crate) static SAMPLES: LazyLock<Samples> = LazyLock::new(make);

pub(crate) fn group() -> Name {
    name("group")
}

pub(crate) fn stream() -> Name {
    name("main")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("it is one")
}

pub(crate) fn disk(text: &str, kib: u64, sector_size: SectorSize) -> Disk {
    Disk::new(name(text), kib << 10, sector_size).expect("whole sectors")
}

pub(crate) fn memory_store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

pub(crate) fn writer(
    cache: &Arc<dyn Store>,
    nonces: &Arc<Nonces>,
    frame_bytes: u32,
) -> WriterParts {
    let options = WriterOptions {
        group: group(),
        stream: stream(),
        disks: vec![
            disk("one", 256, SectorSize::B512),
            disk("two", 64, SectorSize::B4096),
        ],
        limits: SegmentLimits {
            frame_bytes,
            ..SegmentLimits::default()
        },
        level: 1,
    };
    WriterParts {
        cache: Arc::clone(cache),
        nonces: Arc::clone(nonces),
        options,
    }
}

/// What it takes to open a writer, as often as is wanted.
pub(crate) struct WriterParts {
    cache: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    pub(crate) options: WriterOptions,
}

impl WriterParts {
    pub(crate) fn open(&self) -> StreamWriter {
        self.try_open().expect("what is in the cache is valid")
    }

    pub(crate) fn try_open(&self) -> Result<StreamWriter, CacheError> {
        let (cache, nonces) = (Arc::clone(&self.cache), Arc::clone(&self.nonces));
        StreamWriter::open(cache, nonces, self.options.clone())
    }
}

pub(crate) fn ingest_parts(cache: &Arc<dyn Store>, target: &Arc<dyn Store>) -> IngestParts {
    IngestParts {
        group: group(),
        stream: stream(),
        cache: Arc::clone(cache),
        target: Arc::clone(target),
        nonces: Arc::new(Nonces::seeded(2)),
        clock: Arc::new(|| Timestamp(1_700_000_000_000_000)),
        memory: 1 << 20,
        rewind: false,
    }
}

/// The key that a manifest's reference to a layer stands for.
pub(crate) fn key_of(layer: &LayerRef) -> Key {
    layer_key(&group(), layer.epoch, layer.id)
}

/// Bytes that follow from a seed and that zstd makes smaller.
fn payload(seed: u8, sectors: usize) -> Vec<u8> {
    let bytes = (0..=255u8).flat_map(|at| [seed, seed.wrapping_mul(at)]);
    bytes.cycle().take(sectors * 512).collect()
}

fn make() -> Samples {
    let (segment, layer, manifest) = make_group(false);
    let (long_segment, long_layer, _) = make_group(true);
    let (paged_manifest, page) = make_paged(&manifest);
    let log = make_log();
    Samples {
        segment,
        long_segment,
        layer,
        long_layer,
        index: make_index(),
        manifest,
        paged_manifest,
        page,
        hold: make_hold(),
        progress: make_progress(),
        compressed_log: zstd::bulk::compress(&log, 1).expect("it compresses"),
        log,
    }
}

/// Points that the sample page holds.
pub(crate) const PAGED: usize = 2;

/// A manifest with its oldest points in a page, and the page.
fn make_paged(manifest: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let stored = Manifest::decode(manifest).expect("it was just encoded");
    let mut manifest = stored.complete(Vec::new()).expect("it has no pages");
    let oldest = manifest.points.iter().take(PAGED);
    let page = Page {
        epoch: Epoch(1),
        id: ObjectId([12; 16]),
        group: group(),
        points: oldest.map(|point| Point::clone(point)).collect(),
    };
    let bytes = page.encode();
    manifest.pages = vec![page_ref(&page, &bytes)];
    let layers: Vec<ObjectId> = manifest.layers().map(|layer| layer.id).collect();
    // Its first layer is in the page, its last one is in the manifest.
    let first = *layers.first().expect("a point has a layer");
    manifest.indexes = vec![IndexRef {
        first,
        layers: u32::try_from(layers.len()).expect("they are few"),
        objects: [14, 15].map(index_object).to_vec(),
    }];
    "2h:all".clone_into(&mut manifest.keep);
    for stream in &mut manifest.streams {
        stream.kept = 1;
    }
    (manifest.encode(), bytes)
}

fn index_object(seed: u8) -> LayerRef {
    LayerRef {
        epoch: Epoch(1),
        id: ObjectId([seed; 16]),
        object_bytes: 600,
        digest: Digest::of(&[seed]),
    }
}

/// What a manifest says of a page that is encoded as these bytes.
pub(crate) fn page_ref(page: &Page, bytes: &[u8]) -> PageRef {
    PageRef {
        object: LayerRef {
            epoch: page.epoch,
            id: page.id,
            object_bytes: length(bytes),
            digest: Digest::of(bytes),
        },
        points: u32::try_from(page.points.len()).expect("a page holds few points"),
    }
}

fn make_index() -> Bytes {
    let mut builder = ContainerBuilder::new(Header {
        kind: ObjectKind::Index,
        id: ObjectId([16; 16]),
        fidelity: Fidelity::Data,
        epoch: Epoch(2),
        number: 0,
        first: Sequence(1),
        created: Timestamp(17),
        predecessor: Digest::NONE,
        group: group(),
        stream: stream(),
        disks: vec![disk("one", 256, SectorSize::B512)],
    });
    let mut object = builder.header_bytes().to_vec();
    for number in 0..2u8 {
        let layer = builder.push_layer(LayerPlace {
            epoch: Epoch(1),
            id: ObjectId([18 + number; 16]),
            object_bytes: 9000,
        });
        let frame = builder.push_entry(FrameEntry {
            offset: 300 + 512 * u64::from(number),
            stored: 4096,
            raw: 4096,
            codec: Codec::Raw,
            layer,
            digest: Digest::of(&[number]),
        });
        builder.push_row(&Row {
            kind: RowKind::Write { frame, offset: 1 },
            continued: false,
            disk: 0,
            sectors: 5,
            start: 10 + 20 * u64::from(number),
        });
    }
    object.extend_from_slice(&builder.finish(Sequence(21)).tail);
    Bytes::from(object)
}

fn make_hold() -> Vec<u8> {
    let hold = Hold {
        id: ObjectId([13; 16]),
        group: group(),
        kind: HoldKind::Pin,
        manifest: None,
        point: Some(7),
        until: Timestamp(14),
        text: "why".to_owned(),
    };
    hold.encode()
}

/// A segment, the layer of its last point and the manifest.
fn make_group(long: bool) -> (Bytes, Bytes, Bytes) {
    let (cache, target) = (memory_store(), memory_store());
    let nonces = Arc::new(Nonces::seeded(1));
    let mut parts = writer(&cache, &nonces, 4096);
    if long {
        parts.options.disks = vec![
            disk("one", 4096, SectorSize::B512),
            disk("two", 64, SectorSize::B4096),
        ];
    }
    let mut writer = parts.open();
    let now = Timestamp(1_600_000_000_000_000);
    let done = "memory does not fail";
    for number in 0..6u8 {
        let start = u64::from(number) * 24;
        writer
            .write(0, start, &payload(number, 5), now)
            .expect(done);
        writer.write(1, 8, &payload(number, 16), now).expect(done);
        writer.zero(0, start + 3, 2, now).expect(done);
        if number % 2 == 0 && !long {
            let cut = ObjectId(nonces.next());
            writer
                .mark(MarkerKind::User, "an order", cut, now)
                .expect(done);
        }
    }
    if long {
        // Every other sector, so that nothing is joined and the layer has as many rows.
        for sector in (0..4400).step_by(2) {
            writer.zero(0, sector, 1, now).expect(done);
        }
    }
    let cut = ObjectId(nonces.next());
    writer.mark(MarkerKind::Crash, "", cut, now).expect(done);
    writer.seal().expect(done);
    let segment = cache
        .read(&segment_key(&group(), &stream(), 0))
        .expect(done);

    let mut reader = StreamReader::new(Arc::clone(&cache), group(), stream(), None);
    let parts = IngestParts {
        // So much that an interval becomes one layer.
        memory: 64 << 20,
        ..ingest_parts(&cache, &target)
    };
    let mut ingest = Ingest::open(parts).expect(done);
    let next = reader.next_segment().expect(done).expect("one was sealed");
    ingest.push(next, &mut |_| ()).expect(done);
    let manifest = &ingest.head().manifest;
    let last = manifest.points.last().and_then(|point| point.layers.last());
    let layer = target
        .read(&key_of(last.expect("a point has a layer")))
        .expect(done);
    (segment, layer, Bytes::from(manifest.encode()))
}

fn make_progress() -> Vec<u8> {
    let disk = MemoryDisk::new(afterimage_target::progress::PROGRESS_BYTES);
    let (group, name) = (group(), name("one"));
    let stand = |id| Stand {
        id,
        cut: ObjectId([3; 16]),
    };
    let mut progress = Progress::load(&disk, &group, &name).expect("memory does not fail");
    for standing in [
        Standing::At(stand(1)),
        Standing::Moving {
            from: stand(1),
            to: stand(2),
        },
    ] {
        progress
            .record(standing, afterimage_storage::Stamp::default())
            .expect("memory does not fail");
    }
    disk.content()
}

fn make_log() -> Vec<u8> {
    const SECTOR: usize = 512;
    let entries: [(u64, u64, u64, &str); 5] = [
        (8, 2, 0, ""),
        (0, 0, 1, ""),
        (64, 100, 4, ""),
        (0, 0, 8, "a mark"),
        (1, 1, 3, ""),
    ];
    let words =
        |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(SECTOR, 0);
        bytes
    };
    let mut log = padded(words(&[0x006a_7366_7773_6872, 1, 5, 512]));
    for (number, (start, sectors, flags, mark)) in (0u8..).zip(entries) {
        let mut entry = words(&[start, sectors, flags, length(mark.as_bytes())]);
        entry.extend_from_slice(mark.as_bytes());
        log.extend(padded(entry));
        if flags & 4 == 0 {
            log.extend(payload(number, afterimage_changelog::size(sectors)));
        }
    }
    log
}
