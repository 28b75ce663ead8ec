//! A disk of a [`World`]: sectors with what they held since the last flush.

use std::{collections::BTreeMap, io, sync::Arc};

use afterimage_storage::{Disk, DiskError, DiskErrorKind, DiskOperation};

use crate::world::{Fault, World};

/// Bytes that are never torn.
pub(crate) const SECTOR: u64 = 512;
const SECTOR_BYTES: usize = 512;
/// Sectors in a chunk, which is what states of a disk share or copy.
const CHUNK: u64 = 64;

/// The content of a sector; `None` is zeroes.
pub(crate) type Sector = Option<Arc<[u8; SECTOR_BYTES]>>;

/// A simulated disk.
#[derive(Debug)]
pub struct SimDisk {
    world: World,
    name: String,
    size: u64,
}

impl SimDisk {
    pub(crate) fn new(world: World, name: &str, size: u64) -> SimDisk {
        SimDisk {
            world,
            name: name.to_owned(),
            size,
        }
    }

    fn check(&self, operation: DiskOperation, offset: u64, len: u64) -> Result<(), DiskError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(DiskError::new(operation, &self.name, DiskErrorKind::Range).at(offset, len)),
        }
    }

    fn failed(&self, operation: DiskOperation, error: io::Error) -> DiskError {
        let kind = match (operation, error.kind()) {
            (DiskOperation::Flush, _) => DiskErrorKind::NotDurable,
            (_, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => DiskErrorKind::Full,
            _ => DiskErrorKind::Io,
        };
        DiskError::new(operation, &self.name, kind).with_source(error)
    }

    /// Does `change` with the state of the disk.
    fn with<T>(
        &self,
        machine: &mut crate::world::Machine,
        change: impl FnOnce(&mut DiskState) -> T,
    ) -> T {
        let state = machine.disks.get_mut(&self.name);
        change(state.expect("a disk is made before it has a handle"))
    }
}

impl Disk for SimDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        let len = length(into);
        self.check(DiskOperation::Read, offset, len)?;
        let mut machine = self.world.lock();
        let power = machine.check_power();
        power.map_err(|error| self.failed(DiskOperation::Read, error).at(offset, len))?;
        self.with(&mut machine, |state| state.read(offset, into));
        Ok(())
    }

    /// Each sector is one operation, so that the power can fail between two of them.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let len = length(data);
        self.check(DiskOperation::Write, offset, len)?;
        let mut machine = self.world.lock();
        for piece in pieces(offset, len) {
            let bytes = data.get(piece.from..piece.from + piece.len);
            let bytes = bytes.expect("pieces lie within the write");
            let written = machine.operate(|machine| {
                self.with(machine, |state| {
                    state.write(piece.sector, piece.skip, bytes);
                });
                Ok(())
            });
            written.map_err(|error| self.failed(DiskOperation::Write, error).at(offset, len))?;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.check(DiskOperation::Zero, offset, len)?;
        let zeroed = self.world.lock().operate(|machine| {
            self.with(machine, |state| state.zero(offset, len));
            Ok(())
        });
        zeroed.map_err(|error| self.failed(DiskOperation::Zero, error).at(offset, len))
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut machine = self.world.lock();
        let fault = machine.count();
        let fault = fault.map_err(|error| self.failed(DiskOperation::Flush, error))?;
        let flushed = match fault {
            None => {
                self.with(&mut machine, DiskState::flush);
                Ok(())
            }
            Some(Fault::Before(kind)) => {
                self.with(&mut machine, DiskState::drop_pending);
                Err(kind)
            }
            Some(Fault::After(kind)) => {
                self.with(&mut machine, DiskState::flush);
                Err(kind)
            }
        };
        flushed.map_err(|kind| self.failed(DiskOperation::Flush, kind.into()))
    }
}

/// The part of a write that lies in one sector.
struct Piece {
    sector: u64,
    /// Bytes of the sector before it.
    skip: usize,
    /// Where it begins in the data.
    from: usize,
    len: usize,
}

fn pieces(offset: u64, len: u64) -> impl Iterator<Item = Piece> {
    let end = offset + len;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at == end {
            return None;
        }
        let sector = at / SECTOR;
        let stop = end.min((sector + 1) * SECTOR);
        let piece = Piece {
            sector,
            skip: narrow(at % SECTOR),
            from: narrow(at - offset),
            len: narrow(stop - at),
        };
        at = stop;
        Some(piece)
    })
}

/// What is on a disk.
#[derive(Clone, Debug)]
pub(crate) struct DiskState {
    size: u64,
    visible: Sectors,
    durable: Sectors,
    /// What each sector held since the last flush, oldest first.
    pending: BTreeMap<u64, Vec<Sector>>,
}

impl DiskState {
    pub(crate) fn new(size: u64) -> DiskState {
        DiskState {
            size,
            visible: Sectors::default(),
            durable: Sectors::default(),
            pending: BTreeMap::new(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The pending sectors and what each held since the last flush, oldest first, after what is
    /// durable.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (u64, Vec<Sector>)> {
        self.pending.iter().map(|(&sector, held)| {
            let durable = std::iter::once(self.durable.get(sector));
            (sector, durable.chain(held.iter().cloned()).collect())
        })
    }

    /// The disk after a crash that left these sectors of the pending ones.
    pub(crate) fn after_crash(&self, survivors: &[(u64, Sector)]) -> DiskState {
        let mut durable = self.durable.clone();
        for (sector, content) in survivors {
            durable.set(*sector, content.clone());
        }
        DiskState {
            size: self.size,
            visible: durable.clone(),
            durable,
            pending: BTreeMap::new(),
        }
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        let len = length(into);
        for piece in pieces(offset, len) {
            let target = into.get_mut(piece.from..piece.from + piece.len);
            let target = target.expect("pieces lie within the read");
            match self.visible.get(piece.sector) {
                Some(content) => {
                    let bytes = content.get(piece.skip..piece.skip + piece.len);
                    target.copy_from_slice(bytes.expect("pieces lie within a sector"));
                }
                None => target.fill(0),
            }
        }
    }

    fn write(&mut self, sector: u64, skip: usize, bytes: &[u8]) {
        let mut content = match self.visible.get(sector) {
            Some(content) => *content,
            None => [0; SECTOR_BYTES],
        };
        let target = content.get_mut(skip..skip + bytes.len());
        target
            .expect("pieces lie within a sector")
            .copy_from_slice(bytes);
        let zeroes = content.iter().all(|&byte| byte == 0);
        self.put(sector, (!zeroes).then(|| Arc::new(content)));
    }

    /// Looks only at sectors that are not zero already, as the range may be a whole large disk.
    fn zero(&mut self, offset: u64, len: u64) {
        let end = offset + len;
        let first_whole = offset.div_ceil(SECTOR);
        let end_whole = end / SECTOR;
        if first_whole < end_whole {
            for sector in self.visible.used(first_whole, end_whole) {
                self.put(sector, None);
            }
        }
        // The sectors at both ends, where they are covered in part; once, where they are one.
        let tail = offset.max(end - end % SECTOR);
        let head = pieces(offset, len).next();
        let tail = pieces(tail, end - tail).next();
        let tail = tail.filter(|tail| head.as_ref().is_none_or(|head| head.sector != tail.sector));
        for piece in [head, tail].into_iter().flatten() {
            if piece.len < SECTOR_BYTES && self.visible.get(piece.sector).is_some() {
                let zeroes = [0; SECTOR_BYTES];
                let zeroes = zeroes.get(..piece.len).expect("pieces lie within a sector");
                self.write(piece.sector, piece.skip, zeroes);
            }
        }
    }

    fn put(&mut self, sector: u64, content: Sector) {
        self.visible.set(sector, content.clone());
        self.pending.entry(sector).or_default().push(content);
    }

    fn flush(&mut self) {
        for (sector, mut held) in std::mem::take(&mut self.pending) {
            let newest = held.pop().expect("a pending sector holds something");
            self.durable.set(sector, newest);
        }
    }

    fn drop_pending(&mut self) {
        self.pending.clear();
    }
}

/// Sectors that are not zero, in chunks shared between the states of a disk.
#[derive(Clone, Debug, Default)]
struct Sectors(Arc<BTreeMap<u64, Arc<[Sector; CHUNK_LEN]>>>);

const CHUNK_LEN: usize = 64;

impl Sectors {
    fn get(&self, sector: u64) -> Sector {
        let chunk = self.0.get(&(sector / CHUNK))?;
        chunk.get(narrow(sector % CHUNK))?.clone()
    }

    fn set(&mut self, sector: u64, content: Sector) {
        let key = sector / CHUNK;
        if content.is_none() && !self.0.contains_key(&key) {
            return;
        }
        let chunks = Arc::make_mut(&mut self.0);
        let chunk = chunks
            .entry(key)
            .or_insert_with(|| Arc::new([const { None }; CHUNK_LEN]));
        let slot = Arc::make_mut(chunk).get_mut(narrow(sector % CHUNK));
        *slot.expect("a remainder is below the length") = content;
    }

    /// The sectors from `first` to before `end` that are not zero.
    fn used(&self, first: u64, end: u64) -> Vec<u64> {
        let chunks = self.0.range(first / CHUNK..end.div_ceil(CHUNK));
        let sectors = chunks.flat_map(|(&chunk, content)| {
            (chunk * CHUNK..)
                .zip(content.iter())
                .filter_map(|(sector, content)| content.is_some().then_some(sector))
        });
        sectors
            .filter(|sector| (first..end).contains(sector))
            .collect()
    }
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).expect("it is below the length of a slice")
}

fn length(data: &[u8]) -> u64 {
    u64::try_from(data.len()).expect("usize is at most 64 bits")
}
