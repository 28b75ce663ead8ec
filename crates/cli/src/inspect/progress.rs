//! The record of a replica: two slots of which the one with the higher counter counts.

use afterimage::{
    Name,
    changelog::{DecodeError, Digest, Fault, ObjectId, wire::Take},
    storage::DiskError,
};
use bytes::Bytes;

use super::{
    InspectErrorKind, Object, damaged,
    report::{Cell, Report},
};

const MAGIC: &[u8] = b"AFTRREP\0";
/// Where the two slots begin, and how many bytes of each are used.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const SLOT_USED_BYTES: u64 = 512;

/// Whether a slot of the file begins like one of a record.
pub(super) fn is_one(object: &Object) -> Result<bool, DiskError> {
    for offset in SLOT_OFFSETS {
        if object.has(Some(offset), MAGIC)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A slot that is whole.
#[derive(Debug)]
struct Slot {
    offset: u64,
    counter: u64,
    state: &'static str,
    at: (u64, ObjectId),
    to: (u64, ObjectId),
    file: u64,
    content: u64,
    group: Name,
    disk: Name,
}

/// Verifies both slots, then says what they say. A slot that was never written is no damage.
pub(super) fn describe(object: &Object) -> Result<Report, InspectErrorKind> {
    let mut slots = Vec::new();
    for offset in SLOT_OFFSETS {
        let bytes = object.part(offset..offset + SLOT_USED_BYTES);
        let bytes = bytes.map_err(|_short| {
            let error = Take::new("replica progress", &[]).error(Fault::Truncated);
            damaged(offset, error)
        })?;
        if bytes.iter().any(|&byte| byte != 0) {
            let slot = decode(offset, &bytes).map_err(|error| damaged(offset, error))?;
            slots.push(slot);
        }
    }
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.counter));
    let mut report = Report::new("replica progress");
    if let Some(slot) = slots.first() {
        report.field("group", Cell::text(&slot.group));
        report.field("disk", Cell::text(&slot.disk));
        report.field("state", Cell::text(slot.state));
    }
    let slots = slots.iter().map(cells).collect();
    report.table("slots", SLOT_COLUMNS, slots);
    Ok(report)
}

const SLOT_COLUMNS: &[&str] = &[
    "offset", "counter", "state", "at", "at_cut", "to", "to_cut", "file", "content", "group",
    "disk",
];

fn cells(slot: &Slot) -> Vec<Cell> {
    vec![
        Cell::Number(slot.offset),
        Cell::Number(slot.counter),
        Cell::text(slot.state),
        Cell::Number(slot.at.0),
        Cell::text(&slot.at.1),
        Cell::Number(slot.to.0),
        Cell::text(&slot.to.1),
        Cell::Number(slot.file),
        Cell::Number(slot.content),
        Cell::text(&slot.group),
        Cell::text(&slot.disk),
    ]
}

fn decode(offset: u64, bytes: &Bytes) -> Result<Slot, DecodeError> {
    let mut input = Take::new("replica progress", bytes);
    let start = input.clone();
    if input.bytes(MAGIC.len())? != MAGIC {
        return Err(start.error(Fault::Magic));
    }
    let version = input.u8()?;
    if version != 1 {
        return Err(start.error(Fault::Version(version)));
    }
    let here = input.clone();
    let state = match input.u8()? {
        1 => "stands",
        2 => "moves",
        3 => "is being rebuilt",
        _ => return Err(here.error(Fault::Field("a replica's state"))),
    };
    input.reserved::<6>()?;
    let counter = input.u64()?;
    let at = (input.u64()?, ObjectId(input.array()?));
    let to = (input.u64()?, ObjectId(input.array()?));
    let (file, content) = (input.u64()?, input.u64()?);
    let (group, disk) = (input.name()?, input.name()?);
    let covered = bytes.len() - input.left();
    let digest = Digest(input.array()?);
    if Digest::of(bytes.get(..covered).unwrap_or_default()) != digest {
        return Err(start.error(Fault::Digest));
    }
    Ok(Slot {
        offset,
        counter,
        state,
        at,
        to,
        file,
        content,
        group,
        disk,
    })
}
