//! An interval, or a piece of one, on its way: coalesced, moved, sealed.

use afterimage_changelog::{Disk, Marker, Name, Position, SECTOR, Sequence, count};
use afterimage_coalesce::Extent;
use afterimage_recovery::{DraftLayers, WrittenLayers, delete_layers};
use afterimage_storage::Store;

use crate::{error::Error, gather::Sources};

/// Bytes of memory that one record needs at the worst: its extent, what is live of it, and the tables
/// of the layer writer.
pub(crate) const BYTES_PER_RECORD: u64 = 192;

/// A piece of an interval, coalesced; no payload of it was read yet.
#[derive(Debug)]
pub(crate) struct Part {
    /// How many parts came before it.
    pub(crate) number: u64,
    /// What is live of it.
    pub(crate) live: Vec<Extent>,
    /// Where its payload is.
    pub(crate) sources: Sources,
    /// Each disk as large as it was at any time of it.
    pub(crate) widest: Vec<Disk>,
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
    pub(crate) counts: Counts,
    /// The marker behind it, if the interval ends here.
    pub(crate) cut: Option<Cut>,
}

/// What the source did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    /// Bytes of payload; zeroes and discards have none.
    pub(crate) source_bytes: u64,
}

/// The end of an interval.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) marker: Marker,
    /// The position behind the marker.
    pub(crate) position: Position,
    /// The group's disks then.
    pub(crate) disks: Vec<Disk>,
}

/// A part whose layers are written to the last byte.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) number: u64,
    pub(crate) layers: DraftLayers,
    pub(crate) counts: Counts,
    pub(crate) cut: Option<Cut>,
}

/// A part whose layers are durable.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    pub(crate) written: WrittenLayers,
    pub(crate) counts: Counts,
    pub(crate) cut: Option<Cut>,
}

/// Bytes of payload that a part has in memory at most while it is moved and sealed: what is fetched, what
/// waits to be written, and what a store gathers.
const PAYLOAD_BYTES_MAX: u64 = 24 << 20;
/// The same with an object store, which has more of it on its way down and up.
const BILLED_PAYLOAD_BYTES_MAX: u64 = 64 << 20;

impl Part {
    /// About how many bytes of payload it has in memory while it is moved and sealed.
    pub(crate) fn payload_bytes(&self, is_billed: bool) -> u64 {
        let most = if is_billed {
            BILLED_PAYLOAD_BYTES_MAX
        } else {
            PAYLOAD_BYTES_MAX
        };
        let live: u64 = self
            .live
            .iter()
            .filter(|extent| !extent.is_zero())
            .map(|extent| u64::from(extent.sectors) * SECTOR)
            .sum();
        self.sources.stored_of(live).min(most)
    }

    /// Bytes of memory that it needs until it is moved.
    pub(crate) fn memory(&self) -> u64 {
        count(self.live.len()) * BYTES_PER_RECORD + self.sources.memory()
    }
}

impl Counts {
    pub(crate) fn add(&mut self, later: Counts) {
        self.records += later.records;
        self.source_bytes += later.source_bytes;
    }
}

impl Moved {
    /// Makes the layers durable.
    ///
    /// # Errors
    ///
    /// The store failed; nothing is left under a name that counts.
    pub(crate) fn seal(self, target: &dyn Store, group: &Name) -> Result<Sealed, Error> {
        Ok(Sealed {
            number: self.number,
            written: self.layers.seal(target, group)?,
            counts: self.counts,
            cut: self.cut,
        })
    }

    /// Leaves nothing of it at the target.
    pub(crate) fn abandon(self, target: &dyn Store, group: &Name) {
        self.layers.abandon(target, group);
    }
}

impl Sealed {
    /// Leaves nothing of it at the target.
    pub(crate) fn abandon(self, target: &dyn Store, group: &Name) {
        delete_layers(target, group, &self.written.layers);
    }
}
