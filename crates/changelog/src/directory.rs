//! The directory: where the pages of the index lie and how to check them.
//!
//! ```text
//! offset  size  field
//!      0     4  row pages     number
//!      4     4  frame pages   number
//!      8     4  markers       number
//!     12     4  layers        number; zero unless in an index
//!     16   56n  row pages     u64 offset in the object, u32 rows, u16 disk and u64 start of the
//!                             first row (0 and 0 in a segment), u16 reserved, 32 bytes digest
//!      -   48n  frame pages   u64 offset in the object, u32 entries, u32 reserved, 32 bytes digest
//!      -     -  markers       u64 sequence, u64 time, 16 bytes cut, u8 kind, text behind its
//!                             one-byte length
//!      -   32n  layers        u64 epoch, 16 bytes id, u64 bytes of the object
//! ```

use crate::{
    error::{DecodeError, Fault},
    limits::{FRAMES_PER_PAGE, NUMBER_MAX, OBJECT_BYTES_MAX, ROWS_PER_PAGE},
    marker::Marker,
    units::{Digest, Epoch, ObjectId, size},
    wire::{Put, Take},
};

const ROW_PAGE_ENTRY_BYTES: usize = 56;
const FRAME_PAGE_ENTRY_BYTES: usize = 48;
const MARKER_BYTES_MIN: usize = 34;
const LAYER_PLACE_BYTES: usize = 32;

/// A page of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPage {
    /// First byte in the object.
    pub offset: u64,
    /// Rows in it.
    pub rows: u32,
    /// Disk of its first row; 0 in a segment.
    pub disk: u16,
    /// First sector of its first row; 0 in a segment.
    pub start: u64,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
}

/// A page of frame entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePage {
    /// First byte in the object.
    pub offset: u64,
    /// Entries in it.
    pub entries: u32,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
}

/// A layer in which frames of an index lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPlace {
    /// Epoch of the worker that wrote it.
    pub epoch: Epoch,
    /// Its id.
    pub id: ObjectId,
    /// Bytes of the object.
    pub object_bytes: u64,
}

/// The directory of a segment, layer or index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Pages of rows, in order.
    pub row_pages: Vec<RowPage>,
    /// Pages of frame entries, in order.
    pub frame_pages: Vec<FramePage>,
    /// The markers, in order.
    pub markers: Vec<Marker>,
    /// The layers in which the frames lie; only in an index.
    pub layers: Vec<LayerPlace>,
}

impl Directory {
    /// Encodes the directory.
    ///
    /// # Panics
    ///
    /// With more pages or markers than an object can have.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Directory {
            row_pages,
            frame_pages,
            markers,
            layers,
        } = self;
        let number = |items: usize| u32::try_from(items).expect("the builder bounds its pages");
        let mut out = Put::default();
        out.u32(number(row_pages.len()));
        out.u32(number(frame_pages.len()));
        out.u32(number(markers.len()));
        out.u32(number(layers.len()));
        for RowPage {
            offset,
            rows,
            disk,
            start,
            digest,
        } in row_pages
        {
            out.u64(*offset);
            out.u32(*rows);
            out.u16(*disk);
            out.u16(0);
            out.u64(*start);
            out.bytes(&digest.0);
        }
        for FramePage {
            offset,
            entries,
            digest,
        } in frame_pages
        {
            out.u64(*offset);
            out.u32(*entries);
            out.u32(0);
            out.bytes(&digest.0);
        }
        for marker in markers {
            marker.put(&mut out);
        }
        for LayerPlace {
            epoch,
            id,
            object_bytes,
        } in layers
        {
            out.u64(epoch.0);
            out.bytes(&id.0);
            out.u64(*object_bytes);
        }
        out.0
    }

    /// Decodes a directory.
    ///
    /// # Errors
    ///
    /// Numbers that the bytes cannot hold, a page that no builder makes, an unknown marker.
    pub fn decode(bytes: &[u8]) -> Result<Directory, DecodeError> {
        let mut input = Take::new("directory", bytes);
        let here = input.clone();
        let row_pages = input.u32()?;
        let frame_pages = input.u32()?;
        let markers = input.u32()?;
        let layers = input.u32()?;
        // What the bytes can hold bounds what is allocated.
        let holds = |number: u32, each: usize| {
            size(u64::from(number))
                .checked_mul(each)
                .filter(|&all| all <= bytes.len())
        };
        if holds(row_pages, ROW_PAGE_ENTRY_BYTES).is_none()
            || holds(frame_pages, FRAME_PAGE_ENTRY_BYTES).is_none()
            || holds(markers, MARKER_BYTES_MIN).is_none()
            || holds(layers, LAYER_PLACE_BYTES).is_none()
        {
            return Err(here.error(Fault::Limit("the number of pages")));
        }
        let row_pages = (0..row_pages)
            .map(|_| take_row_page(&mut input))
            .collect::<Result<_, _>>()?;
        let frame_pages = (0..frame_pages)
            .map(|_| take_frame_page(&mut input))
            .collect::<Result<_, _>>()?;
        let markers = (0..markers)
            .map(|_| Marker::take(&mut input))
            .collect::<Result<_, _>>()?;
        let layers = (0..layers)
            .map(|_| take_layer_place(&mut input))
            .collect::<Result<_, _>>()?;
        input.end()?;
        Ok(Directory {
            row_pages,
            frame_pages,
            markers,
            layers,
        })
    }
}

fn take_layer_place(input: &mut Take<'_>) -> Result<LayerPlace, DecodeError> {
    let here = input.clone();
    let epoch = Epoch(input.u64()?);
    let id = ObjectId(input.array()?);
    let object_bytes = input.u64()?;
    if epoch.0 > NUMBER_MAX || object_bytes > OBJECT_BYTES_MAX {
        return Err(here.error(Fault::Limit("a layer of an index")));
    }
    Ok(LayerPlace {
        epoch,
        id,
        object_bytes,
    })
}

fn take_row_page(input: &mut Take<'_>) -> Result<RowPage, DecodeError> {
    let here = input.clone();
    let offset = input.u64()?;
    let rows = input.u32()?;
    let disk = input.u16()?;
    input.reserved::<2>()?;
    let start = input.u64()?;
    let digest = Digest(input.array()?);
    if rows == 0 || rows > ROWS_PER_PAGE {
        return Err(here.error(Fault::Limit("the rows of a page")));
    }
    Ok(RowPage {
        offset,
        rows,
        disk,
        start,
        digest,
    })
}

fn take_frame_page(input: &mut Take<'_>) -> Result<FramePage, DecodeError> {
    let here = input.clone();
    let offset = input.u64()?;
    let entries = input.u32()?;
    input.reserved::<4>()?;
    let digest = Digest(input.array()?);
    if entries == 0 || entries > FRAMES_PER_PAGE {
        return Err(here.error(Fault::Limit("the frames of a page")));
    }
    Ok(FramePage {
        offset,
        entries,
        digest,
    })
}
