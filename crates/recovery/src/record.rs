//! Points, and the objects they are made of, as manifests and pages of points hold them.

use afterimage_changelog::{
    DecodeError, Digest, Epoch, Fault, MarkerKind, ObjectId, Sequence, Timestamp,
    limits::{DISKS_MAX, MARKER_TEXT_BYTES_MAX},
    size,
    wire::{Put, Take},
};

/// Encoded length of a reference to an object.
pub(crate) const OBJECT_REF_BYTES: usize = 64;
/// Encoded length of the smallest point.
pub(crate) const POINT_BYTES_MIN: usize = 51;

/// An object at the target, as whoever needs it names it: a layer, an index or a page of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerRef {
    /// Epoch of the worker that wrote it.
    pub epoch: Epoch,
    /// Its id.
    pub id: ObjectId,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

/// A recovery point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its number in the group; never used again.
    pub id: u64,
    /// What it promises.
    pub kind: MarkerKind,
    /// The marker's text.
    pub name: String,
    /// The time at the source.
    pub time: Timestamp,
    /// The marker's cut: unlike any other's.
    pub cut: ObjectId,
    /// Number of its table of disks in the manifest.
    pub table: u16,
    /// Bytes of the disks that differ, or may differ, from the point before.
    pub changed_bytes: u64,
    /// The record each stream had reached, in the order of the manifest's streams.
    pub sequences: Vec<Sequence>,
    /// What changed since the point before it, oldest first.
    pub layers: Vec<LayerRef>,
}

impl Point {
    /// Bytes of the objects that hold what changed since the point before it.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.object_bytes).sum()
    }

    pub(crate) fn put(&self, out: &mut Put) {
        let Point {
            id,
            kind,
            name,
            time,
            cut,
            table,
            changed_bytes,
            sequences,
            layers,
        } = self;
        out.u64(*id);
        out.u64(time.0);
        out.bytes(&cut.0);
        out.u8(kind.code());
        out.u8(0);
        out.u16(*table);
        out.u64(*changed_bytes);
        out.text(name);
        out.u16(narrow(sequences.len()));
        sequences.iter().for_each(|sequence| out.u64(sequence.0));
        out.u32(many(layers.len()));
        layers.iter().for_each(|layer| layer.put(out));
    }

    pub(crate) fn take(input: &mut Take<'_>) -> Result<Point, DecodeError> {
        let id = input.u64()?;
        let time = Timestamp(input.u64()?);
        let cut = ObjectId(input.array()?);
        let here = input.clone();
        let kind = MarkerKind::from_code(input.u8()?)
            .ok_or_else(|| here.error(Fault::Field("a point's kind")))?;
        input.reserved::<1>()?;
        let table = input.u16()?;
        let changed_bytes = input.u64()?;
        let name = input.text(MARKER_TEXT_BYTES_MAX)?;
        let sequences = input.u16()?;
        if sequences > DISKS_MAX {
            return Err(input.error(Fault::Limit("the number of streams")));
        }
        let sequences = (0..sequences)
            .map(|_| input.u64().map(Sequence))
            .collect::<Result<_, _>>()?;
        let layers = LayerRef::take_all(input, "the number of layers")?;
        Ok(Point {
            id,
            kind,
            name,
            time,
            cut,
            table,
            changed_bytes,
            sequences,
            layers,
        })
    }
}

impl LayerRef {
    pub(crate) fn put(&self, out: &mut Put) {
        let LayerRef {
            epoch,
            id,
            object_bytes,
            digest,
        } = self;
        out.u64(epoch.0);
        out.bytes(&id.0);
        out.u64(*object_bytes);
        out.bytes(&digest.0);
    }

    pub(crate) fn take(input: &mut Take<'_>) -> Result<LayerRef, DecodeError> {
        let epoch = Epoch(input.u64()?);
        let id = ObjectId(input.array()?);
        let object_bytes = input.u64()?;
        let digest = Digest(input.array()?);
        Ok(LayerRef {
            epoch,
            id,
            object_bytes,
            digest,
        })
    }

    /// References behind their 32-bit number.
    pub(crate) fn take_all(
        input: &mut Take<'_>,
        what: &'static str,
    ) -> Result<Vec<LayerRef>, DecodeError> {
        let number = bounded(input, OBJECT_REF_BYTES, what)?;
        (0..number).map(|_| LayerRef::take(input)).collect()
    }
}

/// A 32-bit number of items, which what is left of the bytes can hold: that bounds what is
/// allocated.
pub(crate) fn bounded(
    input: &mut Take<'_>,
    bytes_of_item: usize,
    what: &'static str,
) -> Result<usize, DecodeError> {
    let number = size(u64::from(input.u32()?));
    if number > input.left() / bytes_of_item {
        return Err(input.error(Fault::Limit(what)));
    }
    Ok(number)
}

/// Points behind their 32-bit number, their ids rising from above `before` on.
pub(crate) fn take_points(
    input: &mut Take<'_>,
    before: Option<u64>,
) -> Result<Vec<Point>, DecodeError> {
    let number = bounded(input, POINT_BYTES_MIN, "the number of points")?;
    let mut before = before;
    let mut points = Vec::with_capacity(number);
    for _ in 0..number {
        let here = input.clone();
        let point = Point::take(input)?;
        if before.is_some_and(|before| before >= point.id) {
            return Err(here.error(Fault::Field("a point's id")));
        }
        before = Some(point.id);
        points.push(point);
    }
    Ok(points)
}

pub(crate) fn narrow(items: usize) -> u16 {
    u16::try_from(items).expect("streams and tables are few")
}

pub(crate) fn many(items: usize) -> u32 {
    u32::try_from(items).expect("items are bounded by the object's size")
}
