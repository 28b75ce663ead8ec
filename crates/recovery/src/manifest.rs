//! A manifest: everything that a group's target knows, as of one commit.
//!
//! ```text
//! offset  size  field
//!      0     8  magic        "AFTRMAN" and a zero byte
//!      8     1  version      1
//!      9     1  reserved     zero
//!     10     2  suite        encryption suite; 0 none
//!     12     4  reserved     zero
//!     16     8  number       of this manifest
//!     24     8  epoch        of the worker
//!     32    16  nonce        unlike any other manifest's
//!     48    32  predecessor  digest of manifest number - 1; zero for the first
//!     80     8  created      microseconds since 1970-01-01 UTC
//!     88     8  next point   id of the next point
//!     96     -  group        name behind its one-byte length
//!      -     -  tables       u16 number of disk tables, then each as in a segment's header
//!      -     -  streams      u16 number; for each its name, u64 segment, u64 sequence, 32 digest
//!      -     -  points       u32 number; for each, oldest first:
//!                              u64 id, u64 time, 16 bytes cut, u8 kind, u8 reserved, u16 table,
//!                              u64 pinned until (0: not), u64 bytes changed, name behind its
//!                              one-byte length, u16 number of sequences and a u64 for each stream
//!                              in order, u32 number of layers and for each u64 epoch, 16 bytes id,
//!                              u64 bytes, 32 bytes digest
//!      -    32  digest       BLAKE3 of all bytes before it
//! ```

use afterimage_changelog::{
    DecodeError, Digest, Disk, Epoch, Fault, MarkerKind, Name, ObjectId, Position, Sequence,
    Timestamp, count,
    disk::{put_table, take_table},
    limits::{DISKS_MAX, MARKER_TEXT_BYTES_MAX, NUMBER_MAX},
    size,
    wire::{Put, Take},
};

const MAGIC: [u8; 8] = *b"AFTRMAN\0";
const VERSION: u8 = 1;
const PART: &str = "manifest";
const DIGEST_BYTES: usize = 32;
/// Bytes of the largest manifest.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Encoded length of a layer's reference.
const LAYER_REF_BYTES: usize = 64;
/// Encoded length of the smallest point.
const POINT_BYTES_MIN: usize = 59;

/// A layer, as a manifest names it.
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
    /// Until when it is pinned; zero where it is not.
    pub pinned_until: Timestamp,
    /// Bytes of the disks that differ, or may differ, from the point before.
    pub changed_bytes: u64,
    /// The record each stream had reached, in the order of the manifest's streams.
    pub sequences: Vec<Sequence>,
    /// What changed since the point before it, oldest first.
    pub layers: Vec<LayerRef>,
}

/// How far a stream has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// The stream.
    pub name: Name,
    /// Everything up to here is in a point.
    pub position: Position,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its number; one more than its predecessor's.
    pub number: u64,
    /// Epoch of the worker that committed it.
    pub epoch: Epoch,
    /// Unlike any other manifest's.
    pub nonce: ObjectId,
    /// Digest of its predecessor.
    pub predecessor: Digest,
    /// When it was made.
    pub created: Timestamp,
    /// Id of the next point.
    pub next_point: u64,
    /// The group.
    pub group: Name,
    /// Tables of disks that points refer to.
    pub tables: Vec<Vec<Disk>>,
    /// The streams and how far each has been read.
    pub streams: Vec<StreamPosition>,
    /// The points, oldest first.
    pub points: Vec<Point>,
}

impl Point {
    /// Bytes of the objects that hold what changed since the point before it.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.object_bytes).sum()
    }
}

impl Manifest {
    /// The disks of a point.
    #[must_use]
    pub fn disks(&self, point: &Point) -> &[Disk] {
        self.tables
            .get(usize::from(point.table))
            .map_or(&[], Vec::as_slice)
    }

    /// How far a stream has been read.
    #[must_use]
    pub fn position(&self, stream: &Name) -> Option<Position> {
        let found = self.streams.iter().find(|known| known.name == *stream);
        found.map(|known| known.position)
    }

    /// Encodes the manifest.
    ///
    /// # Panics
    ///
    /// With more streams, tables or layers than its fields can count.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Manifest {
            number,
            epoch,
            nonce,
            predecessor,
            created,
            next_point,
            group,
            tables,
            streams,
            points,
        } = self;
        let mut out = Put::default();
        out.bytes(&MAGIC);
        out.u8(VERSION);
        out.u8(0);
        out.u16(0);
        out.u32(0);
        out.u64(*number);
        out.u64(epoch.0);
        out.bytes(&nonce.0);
        out.bytes(&predecessor.0);
        out.u64(created.0);
        out.u64(*next_point);
        out.text(group.as_str());
        out.u16(narrow(tables.len()));
        tables.iter().for_each(|table| put_table(table, &mut out));
        out.u16(narrow(streams.len()));
        for StreamPosition { name, position } in streams {
            out.text(name.as_str());
            position.put(&mut out);
        }
        out.u32(u32::try_from(points.len()).expect("points are bounded by the manifest's size"));
        points.iter().for_each(|point| put_point(point, &mut out));
        let digest = Digest::of(&out.0);
        out.bytes(&digest.0);
        out.0
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    ///
    /// Bytes that are not those of a whole, intact manifest.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, DecodeError> {
        let all = Take::new(PART, bytes);
        if count(bytes.len()) > MANIFEST_BYTES_MAX {
            return Err(all.error(Fault::Limit("the manifest's length")));
        }
        let body_bytes = bytes.len().checked_sub(DIGEST_BYTES);
        let Some((body, digest)) = body_bytes.and_then(|at| bytes.split_at_checked(at)) else {
            return Err(all.error(Fault::Truncated));
        };
        if Digest::of(body).0 != *digest {
            return Err(all.error(Fault::Digest));
        }
        let mut input = Take::new(PART, body);
        if input.array()? != MAGIC {
            return Err(all.error(Fault::Magic));
        }
        let version = input.u8()?;
        if version != VERSION {
            return Err(all.error(Fault::Version(version)));
        }
        input.reserved::<1>()?;
        let suite = input.u16()?;
        if suite != 0 {
            return Err(all.error(Fault::Suite(suite)));
        }
        input.reserved::<4>()?;
        let number = input.u64()?;
        let epoch = Epoch(input.u64()?);
        let nonce = ObjectId(input.array()?);
        let predecessor = Digest(input.array()?);
        let created = Timestamp(input.u64()?);
        let next_point = input.u64()?;
        if number.max(epoch.0).max(next_point) > NUMBER_MAX {
            return Err(input.error(Fault::Limit("a number")));
        }
        let group = input.name()?;
        let tables = (0..input.u16()?)
            .map(|_| take_table(&mut input))
            .collect::<Result<Vec<_>, _>>()?;
        let streams = (0..input.u16()?)
            .map(|_| {
                let name = input.name()?;
                let position = Position::take(&mut input)?;
                Ok(StreamPosition { name, position })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let points = take_points(&mut input, tables.len(), streams.len())?;
        input.end()?;
        if points.last().is_some_and(|point| point.id >= next_point) {
            return Err(input.error(Fault::Field("the next point's id")));
        }
        Ok(Manifest {
            number,
            epoch,
            nonce,
            predecessor,
            created,
            next_point,
            group,
            tables,
            streams,
            points,
        })
    }
}

fn narrow(items: usize) -> u16 {
    u16::try_from(items).expect("streams and tables are few")
}

fn put_point(point: &Point, out: &mut Put) {
    let Point {
        id,
        kind,
        name,
        time,
        cut,
        table,
        pinned_until,
        changed_bytes,
        sequences,
        layers,
    } = point;
    out.u64(*id);
    out.u64(time.0);
    out.bytes(&cut.0);
    out.u8(kind.code());
    out.u8(0);
    out.u16(*table);
    out.u64(pinned_until.0);
    out.u64(*changed_bytes);
    out.text(name);
    out.u16(narrow(sequences.len()));
    sequences.iter().for_each(|sequence| out.u64(sequence.0));
    out.u32(u32::try_from(layers.len()).expect("layers are bounded by the manifest's size"));
    for LayerRef {
        epoch,
        id,
        object_bytes,
        digest,
    } in layers
    {
        out.u64(epoch.0);
        out.bytes(&id.0);
        out.u64(*object_bytes);
        out.bytes(&digest.0);
    }
}

fn take_points(
    input: &mut Take<'_>,
    tables: usize,
    streams: usize,
) -> Result<Vec<Point>, DecodeError> {
    let number = input.u32()?;
    // What the bytes can hold bounds what is allocated.
    if size(u64::from(number)) > input.left() / POINT_BYTES_MIN {
        return Err(input.error(Fault::Limit("the number of points")));
    }
    let mut points: Vec<Point> = Vec::with_capacity(size(u64::from(number)));
    for _ in 0..number {
        let here = input.clone();
        let point = take_point(input)?;
        let ordered = points.last().is_none_or(|before| before.id < point.id);
        if !ordered || usize::from(point.table) >= tables || point.sequences.len() > streams {
            return Err(here.error(Fault::Field("a point")));
        }
        points.push(point);
    }
    Ok(points)
}

fn take_point(input: &mut Take<'_>) -> Result<Point, DecodeError> {
    let id = input.u64()?;
    let time = Timestamp(input.u64()?);
    let cut = ObjectId(input.array()?);
    let here = input.clone();
    let kind = MarkerKind::from_code(input.u8()?)
        .ok_or_else(|| here.error(Fault::Field("a point's kind")))?;
    input.reserved::<1>()?;
    let table = input.u16()?;
    let pinned_until = Timestamp(input.u64()?);
    let changed_bytes = input.u64()?;
    let name = input.text(MARKER_TEXT_BYTES_MAX)?;
    let sequences = input.u16()?;
    if sequences > DISKS_MAX {
        return Err(input.error(Fault::Limit("the number of streams")));
    }
    let sequences = (0..sequences)
        .map(|_| input.u64().map(Sequence))
        .collect::<Result<_, _>>()?;
    let layers = input.u32()?;
    if size(u64::from(layers)) > input.left() / LAYER_REF_BYTES {
        return Err(input.error(Fault::Limit("the number of layers")));
    }
    let layers = (0..layers)
        .map(|_| {
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
        })
        .collect::<Result<_, _>>()?;
    Ok(Point {
        id,
        kind,
        name,
        time,
        cut,
        table,
        pinned_until,
        changed_bytes,
        sequences,
        layers,
    })
}
