//! A manifest: everything that a group's target knows, as of one commit.
//!
//! The newest points are in the manifest itself; older ones are in pages that it names, so that a
//! commit writes what is new whatever the number of points.
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
//!      -     -  keep         which points stay: text behind its one-byte length
//!      -     -  tables       u16 number of disk tables, then each as in a segment's header
//!      -     -  streams      u16 number; for each its name, u64 segment, u64 sequence, 32 digest,
//!                              u64 number of segments kept at the target
//!      -     -  pages        u32 number; for each its reference, u32 points, u32 reserved
//!      -     -  indexes      u32 number; for each 16 bytes id of the first layer, u32 layers,
//!                              u32 number of objects and their references
//!      -     -  points       u32 number; for each, oldest first:
//!                              u64 id, u64 time, 16 bytes cut, u8 kind, u8 reserved, u16 table,
//!                              u64 bytes changed, name behind its one-byte length, u16 number of
//!                              sequences and a u64 for each stream in order, u32 number of layers
//!                              and the reference of each: u64 epoch, 16 bytes id, u64 bytes,
//!                              32 bytes digest
//!      -    32  digest       BLAKE3 of all bytes before it
//! ```

use std::{collections::HashMap, sync::Arc};

use afterimage_changelog::{
    DecodeError, Digest, Disk, Epoch, Fault, Name, ObjectId, Position, Timestamp,
    disk::{put_table, take_table},
    limits::{MARKER_TEXT_BYTES_MAX, NUMBER_MAX},
    size,
    wire::{Put, Take},
};

use crate::{
    page::sealed,
    record::{OBJECT_REF_BYTES, bounded, many, narrow, take_points},
};

pub use crate::record::{LayerRef, Point};

const MAGIC: [u8; 8] = *b"AFTRMAN\0";
const VERSION: u8 = 1;
const PART: &str = "manifest";
/// Bytes of the largest manifest.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Encoded length of a page's reference.
const PAGE_REF_BYTES: usize = OBJECT_REF_BYTES + 8;
/// Encoded length of the smallest index' reference.
const INDEX_REF_BYTES_MIN: usize = 24;

/// How far a stream has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// The stream.
    pub name: Name,
    /// Everything up to here is in a point.
    pub position: Position,
    /// How many of the newest covered segments, the one of the position among them, are kept at the
    /// target, so that any write among them can be gone back to.
    pub kept: u64,
}

/// A page of points, as a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRef {
    /// The object.
    pub object: LayerRef,
    /// Points in it.
    pub points: u32,
}

/// A merged index over the layers of consecutive points. It holds nothing that the layers do not
/// hold: without it they are read themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRef {
    /// Id of the first layer it covers.
    pub first: ObjectId,
    /// How many layers, in the order of the points.
    pub layers: u32,
    /// Its objects, in the order of the addresses that they cover.
    pub objects: Vec<LayerRef>,
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
    /// Which points stay, in the language of [`crate::retention`]; empty: all.
    pub keep: String,
    /// Tables of disks that points refer to.
    pub tables: Vec<Vec<Disk>>,
    /// The streams and how far each has been read.
    pub streams: Vec<StreamPosition>,
    /// Pages that hold the oldest points, in order.
    pub pages: Vec<PageRef>,
    /// Merged indexes.
    pub indexes: Vec<IndexRef>,
    /// The points, oldest first: those of the pages, then those of the manifest itself.
    pub points: Vec<Arc<Point>>,
}

/// A manifest as it is stored: the points of its pages are still missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored(Manifest);

impl StreamPosition {
    /// Number of the first segment that is kept at the target; one behind the position's where none
    /// is.
    #[must_use]
    pub const fn kept_from(&self) -> u64 {
        (self.position.segment + 1).saturating_sub(self.kept)
    }
}

impl Stored {
    /// What the manifest itself holds: of the points only those that are not in a page.
    #[must_use]
    pub const fn partial(&self) -> &Manifest {
        &self.0
    }

    /// Encodes the manifest as it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode_with(&self.0.points)
    }

    /// Completes the manifest with the points of its pages, in order.
    ///
    /// # Errors
    ///
    /// The pages do not hold what the manifest says of them.
    pub fn complete(self, paged: Vec<Arc<Point>>) -> Result<Manifest, DecodeError> {
        let Stored(mut manifest) = self;
        let all = Take::new(PART, &[]);
        if paged.len() != manifest.paged() {
            return Err(all.error(Fault::Field("the number of points in pages")));
        }
        let recent = std::mem::replace(&mut manifest.points, paged);
        manifest.points.extend(recent);
        manifest.check().map_err(|fault| all.error(fault))?;
        Ok(manifest)
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

    /// How many of the points are in pages.
    #[must_use]
    pub fn paged(&self) -> usize {
        let points = self.pages.iter().map(|page| size(u64::from(page.points)));
        points.sum()
    }

    /// The layers of all points, in order: what a point is read from is those up to its last one.
    pub fn layers(&self) -> impl Iterator<Item = &LayerRef> {
        self.points.iter().flat_map(|point| &point.layers)
    }

    /// What the parts say of each other. Pages are read apart from the manifest, so this is checked
    /// once all of it is there.
    fn check(&self) -> Result<(), Fault> {
        let mut before = None;
        for point in &self.points {
            if before.is_some_and(|before| before >= point.id) || point.id >= self.next_point {
                return Err(Fault::Field("a point's id"));
            }
            before = Some(point.id);
            let known = usize::from(point.table) < self.tables.len();
            if !known || point.sequences.len() > self.streams.len() {
                return Err(Fault::Field("a point"));
            }
        }
        let places: HashMap<ObjectId, usize> = self
            .layers()
            .enumerate()
            .map(|(place, layer)| (layer.id, place))
            .collect();
        let layers = self.layers().count();
        if places.len() != layers {
            return Err(Fault::Field("a layer that comes twice"));
        }
        let covered = |index: &IndexRef| {
            let first = places.get(&index.first)?;
            let end = first.checked_add(size(u64::from(index.layers)))?;
            (index.layers > 0 && end <= layers && !index.objects.is_empty()).then_some(())
        };
        match self.indexes.iter().all(|index| covered(index).is_some()) {
            true => Ok(()),
            false => Err(Fault::Field("the layers of an index")),
        }
    }

    /// Encodes the manifest, without the points of its pages.
    ///
    /// # Panics
    ///
    /// With more streams, tables or layers than its fields can count.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(self.points.get(self.paged()..).unwrap_or_default())
    }

    fn encode_with(&self, recent: &[Arc<Point>]) -> Vec<u8> {
        let Manifest {
            number,
            epoch,
            nonce,
            predecessor,
            created,
            next_point,
            group,
            keep,
            tables,
            streams,
            pages,
            indexes,
            points: _,
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
        out.text(keep);
        out.u16(narrow(tables.len()));
        tables.iter().for_each(|table| put_table(table, &mut out));
        out.u16(narrow(streams.len()));
        for StreamPosition {
            name,
            position,
            kept,
        } in streams
        {
            out.text(name.as_str());
            position.put(&mut out);
            out.u64(*kept);
        }
        out.u32(many(pages.len()));
        for PageRef { object, points } in pages {
            object.put(&mut out);
            out.u32(*points);
            out.u32(0);
        }
        out.u32(many(indexes.len()));
        for IndexRef {
            first,
            layers,
            objects,
        } in indexes
        {
            out.bytes(&first.0);
            out.u32(*layers);
            out.u32(many(objects.len()));
            objects.iter().for_each(|object| object.put(&mut out));
        }
        out.u32(many(recent.len()));
        recent.iter().for_each(|point| point.put(&mut out));
        let digest = Digest::of(&out.0);
        out.bytes(&digest.0);
        out.0
    }

    /// Decodes a manifest; the points of its pages are to be added.
    ///
    /// # Errors
    ///
    /// Bytes that are not those of a whole, intact manifest.
    pub fn decode(bytes: &[u8]) -> Result<Stored, DecodeError> {
        let body = sealed(PART, bytes, MANIFEST_BYTES_MAX)?;
        let mut input = Take::new(PART, body);
        if input.array()? != MAGIC {
            return Err(input.error(Fault::Magic));
        }
        let version = input.u8()?;
        if version != VERSION {
            return Err(input.error(Fault::Version(version)));
        }
        input.reserved::<1>()?;
        let suite = input.u16()?;
        if suite != 0 {
            return Err(input.error(Fault::Suite(suite)));
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
        let keep = input.text(MARKER_TEXT_BYTES_MAX)?;
        let tables = (0..input.u16()?)
            .map(|_| take_table(&mut input))
            .collect::<Result<Vec<_>, _>>()?;
        let streams = take_streams(&mut input)?;
        let pages = take_pages(&mut input)?;
        let indexes = take_indexes(&mut input)?;
        let points = take_points(&mut input, None)?;
        input.end()?;
        let manifest = Manifest {
            number,
            epoch,
            nonce,
            predecessor,
            created,
            next_point,
            group,
            keep,
            tables,
            streams,
            pages,
            indexes,
            points: points.into_iter().map(Arc::new).collect(),
        };
        if manifest.pages.is_empty() {
            manifest.check().map_err(|fault| input.error(fault))?;
        }
        Ok(Stored(manifest))
    }
}

fn take_streams(input: &mut Take<'_>) -> Result<Vec<StreamPosition>, DecodeError> {
    (0..input.u16()?)
        .map(|_| {
            let name = input.name()?;
            let position = Position::take(input)?;
            let here = input.clone();
            let kept = input.u64()?;
            if kept > position.segment + 1 {
                return Err(here.error(Fault::Field("the segments kept")));
            }
            Ok(StreamPosition {
                name,
                position,
                kept,
            })
        })
        .collect()
}

fn take_pages(input: &mut Take<'_>) -> Result<Vec<PageRef>, DecodeError> {
    let number = bounded(input, PAGE_REF_BYTES, "the number of pages")?;
    (0..number)
        .map(|_| {
            let object = LayerRef::take(input)?;
            let points = input.u32()?;
            input.reserved::<4>()?;
            Ok(PageRef { object, points })
        })
        .collect()
}

fn take_indexes(input: &mut Take<'_>) -> Result<Vec<IndexRef>, DecodeError> {
    let number = bounded(input, INDEX_REF_BYTES_MIN, "the number of indexes")?;
    (0..number)
        .map(|_| {
            let first = ObjectId(input.array()?);
            let layers = input.u32()?;
            let objects = LayerRef::take_all(input, "the number of objects")?;
            Ok(IndexRef {
                first,
                layers,
                objects,
            })
        })
        .collect()
}
