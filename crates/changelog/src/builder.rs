//! Writing a container: frames as they come, then the index, then the footer.
//!
//! The builder holds the index only; frames go to the caller's sink as they are pushed.

use bytes::Bytes;

use crate::{
    directory::{Directory, FramePage, LayerPlace, RowPage},
    footer::{FOOTER_BYTES, Footer},
    frame::{EncodedFrame, FRAME_ENTRY_BYTES, FrameEntry},
    header::{Header, ObjectKind},
    limits::{
        FRAMES_MAX, FRAMES_PER_PAGE, INDEX_FRAMES_MAX, MARKERS_MAX, OBJECT_BYTES_MAX, ROWS_MAX,
        ROWS_PER_PAGE,
    },
    marker::Marker,
    row::{ROW_BYTES, Row},
    units::{Digest, Sequence, count, length, size},
    wire::Put,
};

/// A container being written.
#[derive(Debug)]
pub struct ContainerBuilder {
    header: Header,
    header_bytes: Bytes,
    frames: Vec<FrameEntry>,
    /// Where the next frame goes.
    at: u64,
    raw_bytes: u64,
    rows: Put,
    row_count: u64,
    pages: Vec<RowPage>,
    markers: Vec<Marker>,
    layers: Vec<LayerPlace>,
}

/// A finished container: what follows its last frame, and what others say of it.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The bytes from the end of the last frame to the end of the object.
    pub tail: Bytes,
    /// Bytes of the whole object.
    pub object_bytes: u64,
    /// Its digest.
    pub digest: Digest,
    /// Its footer.
    pub footer: Footer,
}

impl ContainerBuilder {
    /// Begins a container.
    #[must_use]
    pub fn new(header: Header) -> ContainerBuilder {
        let header_bytes = Bytes::from(header.encode());
        ContainerBuilder {
            at: length(&header_bytes),
            header,
            header_bytes,
            frames: Vec::new(),
            raw_bytes: 0,
            rows: Put::default(),
            row_count: 0,
            pages: Vec::new(),
            markers: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// The header's bytes: the first of the object.
    #[must_use]
    pub fn header_bytes(&self) -> Bytes {
        self.header_bytes.clone()
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether so many more rows and one more frame of so many stored bytes stay within the limits
    /// of an object.
    #[must_use]
    pub fn fits(&self, rows: u64, stored_bytes: u64) -> bool {
        let index = (self.row_count + rows) * (count(ROW_BYTES) + 1)
            + (count(self.frames.len()) + 1) * (count(FRAME_ENTRY_BYTES) + 1)
            + count(self.markers.len()) * 300
            + (1 << 20);
        count(self.frames.len()) < u64::from(FRAMES_MAX)
            && count(self.markers.len()) < u64::from(MARKERS_MAX)
            && self.row_count + rows <= ROWS_MAX
            && self.at + stored_bytes + index <= OBJECT_BYTES_MAX
    }

    /// Takes note of a frame and gives its number; the caller puts its bytes into the object next.
    ///
    /// # Panics
    ///
    /// Where the object is full: ask [`ContainerBuilder::fits`] first.
    pub fn push_frame(&mut self, frame: &EncodedFrame) -> u32 {
        let number = u32::try_from(self.frames.len()).expect("frames are limited");
        assert!(
            number < FRAMES_MAX,
            "an object holds at most {FRAMES_MAX} frames"
        );
        let stored = u32::try_from(frame.bytes.len()).expect("frames are at most 1 MiB");
        self.frames.push(FrameEntry {
            offset: self.at,
            stored,
            raw: frame.raw,
            codec: frame.codec,
            layer: 0,
            digest: frame.digest,
        });
        self.at += u64::from(stored);
        self.raw_bytes += u64::from(frame.raw);
        number
    }

    /// Adds a layer to those of an index and gives its number.
    ///
    /// # Panics
    ///
    /// With more layers than can be counted.
    pub fn push_layer(&mut self, layer: LayerPlace) -> u32 {
        let number = u32::try_from(self.layers.len()).expect("layers of an index are limited");
        self.layers.push(layer);
        number
    }

    /// Adds an entry of a frame that lies in a layer to an index, and gives its number.
    ///
    /// # Panics
    ///
    /// Where the index is full.
    pub fn push_entry(&mut self, entry: FrameEntry) -> u32 {
        let number = u32::try_from(self.frames.len()).expect("frames are limited");
        assert!(
            number < INDEX_FRAMES_MAX,
            "an index refers to at most {INDEX_FRAMES_MAX} frames"
        );
        self.raw_bytes += u64::from(entry.raw);
        self.frames.push(entry);
        number
    }

    /// Adds a row behind the ones before it. Rows of a layer come in address order.
    ///
    /// # Panics
    ///
    /// Where the object is full: ask [`ContainerBuilder::fits`] first.
    pub fn push_row(&mut self, row: &Row) {
        assert!(
            self.row_count < ROWS_MAX,
            "an object holds at most {ROWS_MAX} rows"
        );
        if self.row_count.is_multiple_of(u64::from(ROWS_PER_PAGE)) {
            let (disk, start) = match self.header.kind {
                ObjectKind::Segment => (0, 0),
                ObjectKind::Layer | ObjectKind::Index => (row.disk, row.start),
            };
            self.pages.push(RowPage {
                offset: 0,
                rows: 0,
                disk,
                start,
                digest: Digest::NONE,
            });
        }
        self.rows.bytes(&row.encode());
        self.row_count += 1;
        if let Some(page) = self.pages.last_mut() {
            page.rows += 1;
        }
    }

    /// Adds a marker and gives its number, for the row that stands for it.
    ///
    /// # Panics
    ///
    /// Where the object is full: ask [`ContainerBuilder::fits`] first.
    pub fn push_marker(&mut self, marker: Marker) -> u64 {
        assert!(
            self.markers.len() < size(u64::from(MARKERS_MAX)),
            "markers are limited"
        );
        self.markers.push(marker);
        count(self.markers.len() - 1)
    }

    /// Rows so far.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.row_count
    }

    /// Frames so far.
    #[must_use]
    pub fn frames(&self) -> &[FrameEntry] {
        &self.frames
    }

    /// Bytes of header and frames so far.
    #[must_use]
    pub const fn stored_bytes(&self) -> u64 {
        self.at
    }

    /// Bytes of payload in the frames so far.
    #[must_use]
    pub const fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Ends the container; `last` is the sequence of the last record it covers.
    ///
    /// # Panics
    ///
    /// Where the limits of an object were passed.
    #[must_use]
    pub fn finish(mut self, last: Sequence) -> Sealed {
        let mut tail = self.rows.0;
        let mut offset = self.at;
        let mut pages = self.pages;
        let mut start = 0;
        for page in &mut pages {
            let end = start + size(u64::from(page.rows)) * ROW_BYTES;
            let bytes = tail.get(start..end).expect("each page counts its rows");
            page.offset = offset;
            page.digest = Digest::of(bytes);
            offset += length(bytes);
            start = end;
        }
        let mut frame_pages = Vec::new();
        for entries in self.frames.chunks(size(u64::from(FRAMES_PER_PAGE))) {
            let mut out = Put::default();
            entries.iter().for_each(|entry| entry.put(&mut out));
            frame_pages.push(FramePage {
                offset,
                entries: u32::try_from(entries.len()).expect("a page is small"),
                digest: Digest::of(&out.0),
            });
            offset += out.length();
            tail.append(&mut out.0);
        }
        let markers = u32::try_from(self.markers.len()).expect("markers are limited");
        let directory = Directory {
            row_pages: pages,
            frame_pages,
            markers: std::mem::take(&mut self.markers),
            layers: std::mem::take(&mut self.layers),
        }
        .encode();
        let narrow = |bytes: u64| u32::try_from(bytes).expect("the index is limited");
        let mut footer = Footer {
            directory_offset: offset,
            directory_bytes: narrow(length(&directory)),
            header_bytes: narrow(length(&self.header_bytes)),
            rows: self.row_count,
            frames: narrow(count(self.frames.len())),
            markers,
            raw_bytes: self.raw_bytes,
            last,
            kind: self.header.kind,
            digest: Digest::NONE,
        };
        let end = footer.encode(&self.header_bytes, &directory);
        tail.extend_from_slice(&directory);
        tail.extend_from_slice(&end);
        let object_bytes = offset + length(&directory) + count(FOOTER_BYTES);
        assert!(object_bytes <= OBJECT_BYTES_MAX, "ask `fits` before adding");
        Sealed {
            tail: Bytes::from(tail),
            object_bytes,
            digest: footer.digest,
            footer,
        }
    }
}
