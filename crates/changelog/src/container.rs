//! Reading a container: the footer first, then directory and header, then pages, then frames.
//!
//! Every part is checked against the hash that the part before it holds, before a field of it is
//! believed. Where the bytes come from is the caller's affair: each function that needs more of
//! them asks a `fetch` closure for a range of the object.

use std::{fmt, ops::Range};

use bytes::Bytes;

use crate::{
    directory::{Directory, FramePage, RowPage},
    error::{DecodeError, Fault},
    footer::{FOOTER_BYTES, Footer},
    frame::{FRAME_ENTRY_BYTES, FrameEntry},
    header::{HEADER_FIXED_BYTES, Header, ObjectKind},
    limits::{FRAMES_PER_PAGE, NUMBER_MAX, ROWS_PER_PAGE},
    row::{ROW_BYTES, Row, RowKind},
    units::{Digest, SECTOR, count, length, size},
    wire::Take,
};

/// Bytes worth asking for at first: footer and directory of most objects, the whole of small ones.
pub const TAIL_BYTES: u64 = 64 << 10;
/// The same where each request is billed and has to come back before the next: with it comes the whole
/// index of most objects, and many objects whole.
pub const BILLED_TAIL_BYTES: u64 = 256 << 10;

/// Bytes worth asking for at first, of a store whose requests are billed or not.
#[must_use]
pub const fn tail_bytes(is_billed: bool) -> u64 {
    if is_billed {
        BILLED_TAIL_BYTES
    } else {
        TAIL_BYTES
    }
}

/// An opened container: everything but pages and frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The header.
    pub header: Header,
    /// The directory.
    pub directory: Directory,
    /// The footer.
    pub footer: Footer,
    /// Bytes of the whole object.
    pub object_bytes: u64,
}

/// Why a container could not be read.
#[derive(Debug)]
pub enum OpenError<E> {
    /// The bytes could not be fetched.
    Fetch(E),
    /// They are not what they should be.
    Decode(DecodeError),
}

impl<E> From<DecodeError> for OpenError<E> {
    fn from(error: DecodeError) -> OpenError<E> {
        OpenError::Decode(error)
    }
}

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Fetch(error) => error.fmt(f),
            OpenError::Decode(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for OpenError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Fetch(error) => error.source(),
            OpenError::Decode(error) => error.source(),
        }
    }
}

/// All pages of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// The frame entries, in order.
    pub frames: Vec<FrameEntry>,
}

fn fault(part: &'static str, fault: Fault) -> DecodeError {
    DecodeError {
        part,
        offset: 0,
        fault,
    }
}

impl Container {
    /// Opens an object of `object_bytes` bytes of which `tail` are the last ones.
    ///
    /// # Errors
    ///
    /// What `fetch` reports, or bytes that are not those of a whole, intact container.
    pub fn open<E>(
        object_bytes: u64,
        tail: &Bytes,
        mut fetch: impl FnMut(Range<u64>) -> Result<Bytes, E>,
    ) -> Result<Container, OpenError<E>> {
        let tail_start = object_bytes
            .checked_sub(length(tail))
            .ok_or_else(|| fault("footer", Fault::Truncated))?;
        let mut get = |range: Range<u64>| -> Result<Bytes, OpenError<E>> {
            let bytes = if range.start >= tail_start && range.end <= object_bytes {
                tail.slice(size(range.start - tail_start)..size(range.end - tail_start))
            } else {
                fetch(range.clone()).map_err(OpenError::Fetch)?
            };
            if length(&bytes) == range.end - range.start {
                Ok(bytes)
            } else {
                Err(fault("object", Fault::Truncated).into())
            }
        };
        let footer_start = object_bytes
            .checked_sub(count(FOOTER_BYTES))
            .ok_or_else(|| fault("footer", Fault::Truncated))?;
        let footer = Footer::decode(&get(footer_start..object_bytes)?, object_bytes)?;
        if u64::from(footer.header_bytes) < HEADER_FIXED_BYTES {
            return Err(fault("footer", Fault::Field("the header's length")).into());
        }
        let directory = get(footer.directory_offset..footer_start)?;
        let header = get(0..u64::from(footer.header_bytes))?;
        footer.check(&header, &directory)?;
        let container = Container {
            header: Header::decode(&header)?,
            directory: Directory::decode(&directory)?,
            footer,
            object_bytes,
        };
        container.check_parts()?;
        Ok(container)
    }

    /// The object's digest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.footer.digest
    }

    /// Where all pages of the index lie, rows before frames.
    #[must_use]
    pub fn index_range(&self) -> Range<u64> {
        self.frames_end()..self.footer.directory_offset
    }

    /// Reads the whole index with one fetch.
    ///
    /// # Errors
    ///
    /// What `fetch` reports, or pages that are not intact.
    pub fn index<E>(
        &self,
        fetch: impl FnOnce(Range<u64>) -> Result<Bytes, E>,
    ) -> Result<Index, OpenError<E>> {
        let range = self.index_range();
        let bytes = fetch(range.clone()).map_err(OpenError::Fetch)?;
        if length(&bytes) != range.end - range.start {
            return Err(fault("index", Fault::Truncated).into());
        }
        let slice = |part: Range<u64>| {
            bytes.slice(size(part.start - range.start)..size(part.end - range.start))
        };
        let mut index = Index {
            rows: Vec::with_capacity(size(self.footer.rows)),
            frames: Vec::with_capacity(size(u64::from(self.footer.frames))),
        };
        for (number, page) in self.directory.frame_pages.iter().enumerate() {
            let entries = self.frame_page(number, &slice(frame_page_range(page)))?;
            index.frames.extend(entries);
        }
        if self.header.kind != ObjectKind::Index {
            self.check_frames_follow(&index.frames)?;
        }
        for (number, page) in self.directory.row_pages.iter().enumerate() {
            let rows = self.row_page(number, &slice(row_page_range(page)))?;
            for row in &rows {
                if let RowKind::Write { frame, .. } = row.kind {
                    let entry = index.frames.get(size(u64::from(frame)));
                    check_row_fits(row, entry)?;
                }
            }
            index.rows.extend(rows);
        }
        self.check_index(&index)?;
        Ok(index)
    }

    /// Where a page of rows lies.
    #[must_use]
    pub fn row_page_range(&self, number: usize) -> Option<Range<u64>> {
        self.directory.row_pages.get(number).map(row_page_range)
    }

    /// Where the page with a frame's entry lies, and the page's number.
    #[must_use]
    pub fn frame_page_range(&self, frame: u32) -> Option<(usize, Range<u64>)> {
        let number = size(u64::from(frame / FRAMES_PER_PAGE));
        Some((
            number,
            frame_page_range(self.directory.frame_pages.get(number)?),
        ))
    }

    /// Decodes a page of rows.
    ///
    /// # Errors
    ///
    /// Bytes that are not the page's, rows that leave their disk or, in a layer, are not in order.
    ///
    /// # Panics
    ///
    /// With a page number that the directory does not have.
    pub fn row_page(&self, number: usize, bytes: &[u8]) -> Result<Vec<Row>, DecodeError> {
        let page = self
            .directory
            .row_pages
            .get(number)
            .expect("the caller knows the directory");
        if Digest::of(bytes) != page.digest {
            return Err(fault("row page", Fault::Digest));
        }
        let mut input = Take::new("row page", bytes);
        let mut rows = Vec::with_capacity(size(u64::from(page.rows)));
        let mut least = (page.disk, page.start);
        for _ in 0..page.rows {
            let here = input.clone();
            let row = Row::take(&mut input)?;
            self.check_row(&row).map_err(|fault| here.error(fault))?;
            if self.header.kind != ObjectKind::Segment {
                if (row.disk, row.start) < least
                    || rows.is_empty() && least != (row.disk, row.start)
                {
                    return Err(here.error(Fault::Order));
                }
                least = (row.disk, row.end());
            }
            rows.push(row);
        }
        input.end()?;
        let next = self.directory.row_pages.get(number + 1);
        if self.header.kind != ObjectKind::Segment
            && next.is_some_and(|next| (next.disk, next.start) < least)
        {
            return Err(fault("row page", Fault::Order));
        }
        Ok(rows)
    }

    /// Decodes a page of frame entries.
    ///
    /// # Errors
    ///
    /// Bytes that are not the page's, frames that lie elsewhere than between header and index.
    ///
    /// # Panics
    ///
    /// With a page number that the directory does not have.
    pub fn frame_page(&self, number: usize, bytes: &[u8]) -> Result<Vec<FrameEntry>, DecodeError> {
        let page = self
            .directory
            .frame_pages
            .get(number)
            .expect("the caller knows the directory");
        if Digest::of(bytes) != page.digest {
            return Err(fault("frame page", Fault::Digest));
        }
        let mut input = Take::new("frame page", bytes);
        let mut entries = Vec::with_capacity(size(u64::from(page.entries)));
        for _ in 0..page.entries {
            let here = input.clone();
            let entry = FrameEntry::take(&mut input)?;
            if !self.holds(&entry) {
                return Err(here.error(Fault::Field("a frame's place")));
            }
            entries.push(entry);
        }
        input.end()?;
        Ok(entries)
    }

    /// Whether a frame lies where frames of this object lie.
    fn holds(&self, entry: &FrameEntry) -> bool {
        if self.header.kind == ObjectKind::Index {
            let layer = self.directory.layers.get(size(u64::from(entry.layer)));
            return layer.is_some_and(|layer| entry.end() <= layer.object_bytes);
        }
        entry.layer == 0
            && entry.offset >= u64::from(self.footer.header_bytes)
            && entry.end() <= self.frames_end()
    }

    /// The frames of a segment or layer follow each other from the header to the pages.
    fn check_frames_follow(&self, frames: &[FrameEntry]) -> Result<(), DecodeError> {
        let mut at = u64::from(self.footer.header_bytes);
        for entry in frames {
            if entry.offset != at {
                return Err(fault("frame entry", Fault::Order));
            }
            at = entry.end();
        }
        if at != self.frames_end() {
            return Err(fault("frame entry", Fault::Order));
        }
        Ok(())
    }

    /// First byte after the last frame.
    fn frames_end(&self) -> u64 {
        let rows = self.directory.row_pages.first().map(|page| page.offset);
        let frames = self.directory.frame_pages.first().map(|page| page.offset);
        rows.or(frames).unwrap_or(self.footer.directory_offset)
    }

    /// The pages fill the space between frames and directory, and add up to what the footer says.
    fn check_parts(&self) -> Result<(), DecodeError> {
        let Container {
            header,
            directory,
            footer,
            ..
        } = self;
        let invalid = |what| Err(fault("directory", Fault::Field(what)));
        if header.kind != footer.kind {
            return invalid("the object's kind");
        }
        let mut at = self.frames_end();
        let has_frames = header.kind != ObjectKind::Index;
        let header_bytes = u64::from(footer.header_bytes);
        if at < header_bytes || !has_frames && at != header_bytes {
            return invalid("a page's place");
        }
        if has_frames && !directory.layers.is_empty() {
            return invalid("the layers of an index");
        }
        let ranges = directory
            .row_pages
            .iter()
            .map(row_page_range)
            .chain(directory.frame_pages.iter().map(frame_page_range));
        for range in ranges {
            if range.start != at || range.end < at {
                return invalid("a page's place");
            }
            at = range.end;
        }
        if at != footer.directory_offset {
            return invalid("a page's place");
        }
        let rows: u64 = directory
            .row_pages
            .iter()
            .map(|page| u64::from(page.rows))
            .sum();
        let frames: u64 = directory
            .frame_pages
            .iter()
            .map(|page| u64::from(page.entries))
            .sum();
        let full = full_but_last(
            directory.row_pages.iter().map(|page| page.rows),
            ROWS_PER_PAGE,
        ) && full_but_last(
            directory.frame_pages.iter().map(|page| page.entries),
            FRAMES_PER_PAGE,
        );
        if rows != footer.rows
            || frames != u64::from(footer.frames)
            || count(directory.markers.len()) != u64::from(footer.markers)
            || !full
        {
            return invalid("a page's length");
        }
        if footer.last.0 > NUMBER_MAX {
            return invalid("the range of sequences");
        }
        let covered = footer
            .last
            .0
            .checked_add(1)
            .and_then(|end| end.checked_sub(header.first.0));
        match header.kind {
            // Each row of a segment is one record, so the rows are the sequence.
            ObjectKind::Segment if covered != Some(rows) => invalid("the range of sequences"),
            ObjectKind::Layer | ObjectKind::Index if covered.is_none() || footer.markers != 0 => {
                invalid("the range of sequences")
            }
            ObjectKind::Segment | ObjectKind::Layer | ObjectKind::Index => Ok(()),
        }
    }

    /// What only the whole index shows: the frames add up to what the footer says, and each marker
    /// stands where it says, once.
    fn check_index(&self, index: &Index) -> Result<(), DecodeError> {
        let raw: u64 = index.frames.iter().map(|entry| u64::from(entry.raw)).sum();
        if raw != self.footer.raw_bytes {
            return Err(fault("footer", Fault::Field("the bytes of payload")));
        }
        let first = self.header.first.0;
        let stands = index
            .rows
            .iter()
            .zip(0u64..)
            .filter(|(row, _)| row.kind == RowKind::Marker)
            .map(|(row, number)| (row.start, first.wrapping_add(number)));
        let stated = self.directory.markers.iter().zip(0u64..);
        if stands.eq(stated.map(|(marker, number)| (number, marker.sequence.0))) {
            Ok(())
        } else {
            Err(fault("directory", Fault::Field("a marker's place")))
        }
    }

    fn check_row(&self, row: &Row) -> Result<(), Fault> {
        if row.continued && self.header.kind != ObjectKind::Segment {
            return Err(Fault::Field("a row's flags"));
        }
        if row.kind == RowKind::Marker {
            let known = row.start < u64::from(self.footer.markers);
            return match self.header.kind {
                ObjectKind::Segment if known => Ok(()),
                ObjectKind::Segment | ObjectKind::Layer | ObjectKind::Index => {
                    Err(Fault::Field("a marker's number"))
                }
            };
        }
        let disk = self.header.disks.get(usize::from(row.disk));
        if !disk.is_some_and(|disk| disk.holds(row.start, u64::from(row.sectors))) {
            return Err(Fault::Field("a row's place on its disk"));
        }
        match row.kind {
            RowKind::Write { frame, .. } if frame >= self.footer.frames => {
                Err(Fault::Field("a row's frame"))
            }
            RowKind::Write { .. } | RowKind::Zero | RowKind::Marker => Ok(()),
        }
    }
}

/// A row's payload lies inside its frame.
///
/// # Errors
///
/// It does not, or the frame is not there.
pub fn check_row_fits(row: &Row, frame: Option<&FrameEntry>) -> Result<(), DecodeError> {
    let RowKind::Write { offset, .. } = row.kind else {
        return Ok(());
    };
    let end = (u64::from(offset) + u64::from(row.sectors)) * SECTOR;
    match frame {
        Some(frame) if end <= u64::from(frame.raw) => Ok(()),
        _ => Err(fault(
            "row page",
            Fault::Field("a row's place in its frame"),
        )),
    }
}

fn row_page_range(page: &RowPage) -> Range<u64> {
    page.offset
        ..page
            .offset
            .saturating_add(u64::from(page.rows) * count(ROW_BYTES))
}

fn frame_page_range(page: &FramePage) -> Range<u64> {
    page.offset
        ..page
            .offset
            .saturating_add(u64::from(page.entries) * count(FRAME_ENTRY_BYTES))
}

fn full_but_last(mut items: impl DoubleEndedIterator<Item = u32>, full: u32) -> bool {
    items.next_back();
    items.all(|each| each == full)
}
