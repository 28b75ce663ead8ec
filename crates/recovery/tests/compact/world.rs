//! Layers made of writes as ingest makes them, and a reader too simple to be wrong.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use afterimage_changelog::{
    ContainerBuilder, Digest, Disk, Epoch, Fidelity, Header, Name, ObjectId, ObjectKind, Row,
    RowKind, SectorSize, Sequence, Timestamp, frame::FrameEncoder, size,
};
use afterimage_recovery::{
    LayerRef, RecoveryError,
    compact::{Limits, Rewrite, Rewritten, Shape, Survey, rewrite, survey},
    layer::Layer,
    name::layer_key,
};
use afterimage_storage::{Key, MemoryStore, Nonces, Store};
use bytes::Bytes;

pub(crate) const SECTORS: u64 = 192;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A write of a guest, or a zeroed run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) disk: usize,
    pub(crate) start: u64,
    pub(crate) sectors: u64,
    pub(crate) zero: bool,
}

/// What a layer is made of.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) writes: Vec<Write>,
    /// Sectors of payload of a frame; writes are put one behind the other, whether or not a later
    /// one hides them.
    pub(crate) frame_sectors: u64,
    /// Whether its table has the disks the other way round.
    pub(crate) swapped: bool,
    /// Size of its disks.
    pub(crate) sectors: u64,
}

/// What each sector of each disk holds; `None` where no layer says.
pub(crate) type Plain = BTreeMap<(Name, u64), Vec<u8>>;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) nonces: Nonces,
    pub(crate) group: Name,
    pub(crate) layers: Vec<LayerRef>,
    payloads: u64,
}

const DISKS: [&str; 2] = ["root", "data"];

impl World {
    pub(crate) fn new() -> World {
        World {
            store: Arc::new(MemoryStore::new()),
            nonces: Nonces::seeded(7),
            group: name("shop"),
            layers: Vec::new(),
            payloads: 0,
        }
    }

    pub(crate) fn of(made: &[Made]) -> World {
        let mut world = World::new();
        made.iter().for_each(|made| world.add(made));
        world
    }

    /// A sector unlike every other; every third is one that hardly compresses.
    fn payload(&mut self) -> Vec<u8> {
        self.payloads += 1;
        let mut sector = vec![0; 512];
        let mut noise = blake3::Hasher::new()
            .update(&self.payloads.to_le_bytes())
            .finalize_xof();
        let noisy = if self.payloads.is_multiple_of(3) {
            512
        } else {
            16
        };
        noise.fill(&mut sector[..noisy]);
        sector
    }

    /// Writes a layer above the others.
    pub(crate) fn add(&mut self, made: &Made) {
        let mut names = DISKS;
        if made.swapped {
            names.reverse();
        }
        let disks =
            names.map(|disk| Disk::new(name(disk), made.sectors * 512, SectorSize::B512).unwrap());
        let number = u64::try_from(self.layers.len()).unwrap();
        let mut builder = ContainerBuilder::new(Header {
            kind: ObjectKind::Layer,
            id: ObjectId(self.nonces.next()),
            fidelity: Fidelity::Data,
            epoch: Epoch(1),
            number: 0,
            first: Sequence(number * 10 + 1),
            created: Timestamp(1),
            predecessor: Digest::NONE,
            group: self.group.clone(),
            stream: name("main"),
            disks: disks.to_vec(),
        });
        // Where the last write of each sector is: frame and sector of the frame, or zeroed.
        let mut last: BTreeMap<(u16, u64), Option<(u32, u16)>> = BTreeMap::new();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for write in &made.writes {
            let disk = u16::try_from(names.iter().position(|n| *n == DISKS[write.disk]).unwrap());
            for sector in write.start..(write.start + write.sectors).min(made.sectors) {
                if write.zero {
                    last.insert((disk.unwrap(), sector), None);
                    continue;
                }
                let full = frames
                    .last()
                    .is_none_or(|frame| frame.len() >= size(made.frame_sectors * 512));
                if full {
                    frames.push(Vec::new());
                }
                let offset = u16::try_from(frames.last().unwrap().len() / 512).unwrap();
                let payload = self.payload();
                let number = u32::try_from(frames.len() - 1).unwrap();
                frames.last_mut().unwrap().extend(payload);
                last.insert((disk.unwrap(), sector), Some((number, offset)));
            }
        }
        let mut body = vec![builder.header_bytes()];
        for payload in frames {
            let frame = FrameEncoder::new(1).encode(Bytes::from(payload));
            builder.push_frame(&frame);
            body.push(frame.bytes);
        }
        for row in rows(&last) {
            builder.push_row(&row);
        }
        let id = builder.header().id;
        let sealed = builder.finish(Sequence(number * 10 + 10));
        body.push(sealed.tail);
        let layer = LayerRef {
            epoch: Epoch(1),
            id,
            object_bytes: sealed.object_bytes,
            digest: sealed.digest,
        };
        let key = layer_key(&self.group, layer.epoch, id);
        self.store.create(&key, &body).unwrap();
        self.layers.push(layer);
    }

    /// Every key and its bytes.
    pub(crate) fn objects(&self) -> BTreeMap<Key, Bytes> {
        let prefix = Key::new("shop").unwrap();
        let listed = self.store.list(&prefix, None, usize::MAX).unwrap();
        let object = |key: Key| (key.clone(), self.store.read(&key).unwrap());
        listed.into_iter().map(|entry| object(entry.key)).collect()
    }

    pub(crate) fn rewrite(
        &self,
        layers: &[LayerRef],
        shape: Shape,
        limits: Limits,
    ) -> Result<Rewritten, RecoveryError> {
        let job = self.job(shape, limits);
        let done = rewrite(&job, layers, &mut |_| ControlFlow::Continue(()))?;
        Ok(done.expect("nobody said stop"))
    }

    pub(crate) fn job(&self, shape: Shape, limits: Limits) -> Rewrite<'_> {
        Rewrite {
            store: &self.store,
            nonces: &self.nonces,
            group: &self.group,
            epoch: Epoch(2),
            created: Timestamp(2),
            level: 1,
            shape,
            limits,
        }
    }

    pub(crate) fn survey(&self, layers: &[LayerRef], shape: Shape) -> Survey {
        let limits = Limits::of(shape);
        let go = &mut |_| ControlFlow::Continue(());
        let survey = survey(&self.store, &self.group, layers, shape, &limits, go).unwrap();
        survey.expect("nobody said stop")
    }

    /// What a list of layers says, layer by layer, row by row, sector by sector.
    pub(crate) fn plain(&self, layers: &[LayerRef]) -> Plain {
        let mut plain = Plain::new();
        for layer in layers {
            let layer = Layer::open(Arc::clone(&self.store), &self.group, layer).unwrap();
            let index = layer.container.index(|range| layer.read(range)).unwrap();
            let decoded: Vec<Bytes> = index
                .frames
                .iter()
                .map(|entry| {
                    let stored = layer.read(entry.offset..entry.end()).unwrap();
                    entry.check(stored).unwrap().decode().unwrap()
                })
                .collect();
            for row in &index.rows {
                let disk = &layer.container.header.disks[usize::from(row.disk)].name;
                for at in 0..u64::from(row.sectors) {
                    let sector = match row.kind {
                        RowKind::Write { frame, offset } => {
                            let start = size((u64::from(offset) + at) * 512);
                            decoded[size(u64::from(frame))][start..start + 512].to_vec()
                        }
                        RowKind::Zero => vec![0; 512],
                        RowKind::Marker => panic!("a marker in a layer"),
                    };
                    plain.insert((disk.clone(), row.start + at), sector);
                }
            }
        }
        plain
    }
}

/// Rows of sectors that go on in one frame, or are zeroed.
fn rows(last: &BTreeMap<(u16, u64), Option<(u32, u16)>>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (&(disk, start), place) in last {
        if let Some(row) = rows.last_mut()
            && (row.disk, row.end()) == (disk, start)
        {
            let goes_on = match (row.kind, place) {
                (RowKind::Zero, None) => true,
                (RowKind::Write { frame, offset }, Some((next, at))) => {
                    frame == *next && u32::from(offset) + row.sectors == u32::from(*at)
                }
                _ => false,
            };
            if goes_on {
                row.sectors += 1;
                continue;
            }
        }
        rows.push(Row {
            kind: place.map_or(RowKind::Zero, |(frame, offset)| RowKind::Write {
                frame,
                offset,
            }),
            continued: false,
            disk,
            sectors: 1,
            start,
        });
    }
    rows
}
