//! The bytes of a segment, of a layer and of an index do not move.
//!
//! What zstd makes of a payload may change from one version of it to the next, so its stored bytes
//! are taken from the golden file and only their decoding is pinned; all else is pinned both ways.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

use std::{convert::Infallible, ops::Range};

use afterimage_changelog::{
    Codec, Container, ContainerBuilder, Digest, Disk, EncodedFrame, Epoch, Fidelity, Header,
    Marker, MarkerKind, Name, ObjectId, ObjectKind, Row, RowKind, SectorSize, Sequence, Timestamp,
    container::Index,
    count,
    directory::LayerPlace,
    frame::{FrameEncoder, FrameEntry},
    size,
};
use bytes::Bytes;

const SEGMENT: &str = include_str!("../golden/segment.hex");
const LAYER: &str = include_str!("../golden/layer.hex");
const INDEX: &str = include_str!("../golden/index.hex");

/// The bytes of a hex file; `#` begins a comment.
fn bytes_of(hex: &str) -> Bytes {
    let words = hex.lines().flat_map(|line| {
        let plain = line.split('#').next().unwrap_or_default();
        plain.split_whitespace()
    });
    words
        .map(|word| u8::from_str_radix(word, 16).unwrap())
        .collect()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn disks() -> Vec<Disk> {
    vec![
        Disk::new(name("root"), 0x1_2345_6600, SectorSize::B512).unwrap(),
        Disk::new(name("db"), 0x345_6789_a000, SectorSize::B4096).unwrap(),
    ]
}

/// Sixteen different bytes from `first` on.
fn ascending(first: u8) -> [u8; 16] {
    std::array::from_fn(|at| first + u8::try_from(at).unwrap())
}

fn segment_header() -> Header {
    Header {
        kind: ObjectKind::Segment,
        id: ObjectId(ascending(0x10)),
        fidelity: Fidelity::Extents,
        epoch: Epoch(0x21),
        number: 0x22,
        first: Sequence(0x2300),
        created: Timestamp(1_763_886_000_000_036),
        predecessor: Digest::of(b"the segment before"),
        group: name("shop"),
        stream: name("main"),
        disks: disks(),
    }
}

fn layer_header() -> Header {
    Header {
        kind: ObjectKind::Layer,
        id: ObjectId(ascending(0x30)),
        fidelity: Fidelity::Data,
        epoch: Epoch(0x41),
        number: 0,
        first: Sequence(0x4200),
        created: Timestamp(1_763_886_000_000_067),
        predecessor: Digest::NONE,
        group: name("depot"),
        stream: name("agent-7"),
        disks: disks(),
    }
}

fn marker() -> Marker {
    Marker {
        sequence: Sequence(0x2303),
        kind: MarkerKind::User,
        time: Timestamp(1_763_886_000_000_037),
        cut: ObjectId(ascending(0x50)),
        name: "before the upgrade".to_owned(),
    }
}

/// What does not compress: 512 bytes in no order.
fn noise() -> Bytes {
    let mut payload = Vec::new();
    for seed in 0u8..16 {
        payload.extend_from_slice(&Digest::of(&[seed]).0);
    }
    Bytes::from(payload)
}

/// What does: 4096 bytes, each its own place in its sector.
fn pattern() -> Bytes {
    (0u32..4096)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

fn write(continued: bool, disk: u16, start: u64, sectors: u32, frame: u32, offset: u16) -> Row {
    Row {
        kind: RowKind::Write { frame, offset },
        continued,
        disk,
        sectors,
        start,
    }
}

fn zero(disk: u16, start: u64, sectors: u32) -> Row {
    Row {
        kind: RowKind::Zero,
        continued: false,
        disk,
        sectors,
        start,
    }
}

fn segment_rows() -> Vec<Row> {
    vec![
        write(false, 0, 63, 1, 0, 0),
        write(true, 0, 64, 6, 1, 2),
        zero(1, 0x1_0000_0008, 24),
        Row {
            kind: RowKind::Marker,
            continued: false,
            disk: 0,
            sectors: 0,
            start: 0,
        },
    ]
}

fn layer_rows() -> Vec<Row> {
    vec![
        write(false, 0, 63, 1, 0, 0),
        zero(0, 70, 5),
        write(false, 1, 0x1_0000_0010, 8, 1, 0),
    ]
}

/// Builds an object of the two frames, the compressed one as it is stored.
fn built(
    header: Header,
    rows: &[Row],
    markers: Vec<Marker>,
    last: u64,
    compressed: EncodedFrame,
) -> Bytes {
    let mut builder = ContainerBuilder::new(header);
    let mut object = builder.header_bytes().to_vec();
    for frame in [FrameEncoder::new(1).encode(noise()), compressed] {
        builder.push_frame(&frame);
        object.extend_from_slice(&frame.bytes);
    }
    rows.iter().for_each(|row| builder.push_row(row));
    for marker in markers {
        builder.push_marker(marker);
    }
    object.extend_from_slice(&builder.finish(Sequence(last)).tail);
    Bytes::from(object)
}

/// Opens an object of two frames, as a reader does; also gives them.
fn opened(object: &Bytes) -> (Container, Index, [EncodedFrame; 2]) {
    let part =
        |range: Range<u64>| Ok::<_, Infallible>(object.slice(size(range.start)..size(range.end)));
    let container = Container::open(count(object.len()), &Bytes::new(), part).unwrap();
    let index = container.index(part).unwrap();
    let frame = |number: usize| {
        let entry = index.frames[number];
        let stored = part(entry.offset..entry.end()).unwrap();
        entry.check(stored).unwrap()
    };
    let frames = [frame(0), frame(1)];
    (container, index, frames)
}

/// The golden bytes give these values, and these values give the golden bytes.
fn check(golden: &Bytes, header: &Header, rows: &[Row], markers: &[Marker], last: u64) {
    let (container, index, [raw, compressed]) = opened(golden);
    assert_eq!(container.header, *header);
    assert_eq!(container.directory.markers, markers);
    assert_eq!(container.footer.last, Sequence(last));
    assert_eq!(container.footer.raw_bytes, 512 + 4096);
    assert_eq!(index.rows, rows);
    let stated = index.frames.iter().map(|entry| (entry.codec, entry.raw));
    assert!(stated.eq([(Codec::Raw, 512), (Codec::Zstd, 4096)]));
    assert_eq!(raw.decode().unwrap(), noise());
    assert_eq!(compressed.decode().unwrap(), pattern());
    let again = built(header.clone(), rows, markers.to_vec(), last, compressed);
    assert_eq!(again, golden);
}

#[test]
fn the_bytes_of_a_segment_do_not_move() {
    let golden = bytes_of(SEGMENT);
    check(
        &golden,
        &segment_header(),
        &segment_rows(),
        &[marker()],
        0x2303,
    );
}

#[test]
fn the_bytes_of_a_layer_do_not_move() {
    check(
        &bytes_of(LAYER),
        &layer_header(),
        &layer_rows(),
        &[],
        0x4303,
    );
}

fn index_header() -> Header {
    Header {
        kind: ObjectKind::Index,
        id: ObjectId(ascending(0x60)),
        fidelity: Fidelity::Data,
        epoch: Epoch(0x71),
        number: 0,
        first: Sequence(0x7200),
        created: Timestamp(1_763_886_000_000_115),
        predecessor: Digest::NONE,
        group: name("cellar"),
        stream: name("box-3"),
        disks: disks(),
    }
}

fn places() -> [LayerPlace; 2] {
    [
        LayerPlace {
            epoch: Epoch(0x81),
            id: ObjectId(ascending(0x90)),
            object_bytes: 0x8200,
        },
        LayerPlace {
            epoch: Epoch(0x83),
            id: ObjectId(ascending(0xa0)),
            object_bytes: 0x8400,
        },
    ]
}

fn entries() -> [FrameEntry; 2] {
    [
        FrameEntry {
            offset: 0x192,
            stored: 0x1f1,
            raw: 0x1400,
            codec: Codec::Zstd,
            layer: 0,
            digest: Digest::of(b"a frame of the first layer"),
        },
        FrameEntry {
            offset: 0x293,
            stored: 0x1800,
            raw: 0x1800,
            codec: Codec::Raw,
            layer: 1,
            digest: Digest::of(b"a frame of the second layer"),
        },
    ]
}

fn index_rows() -> Vec<Row> {
    vec![
        write(false, 0, 65, 4, 0, 3),
        zero(0, 71, 7),
        write(false, 1, 0x1_0000_0018, 8, 1, 2),
    ]
}

#[test]
fn the_bytes_of_an_index_do_not_move() {
    let mut builder = ContainerBuilder::new(index_header());
    let mut object = builder.header_bytes().to_vec();
    for place in places() {
        builder.push_layer(place);
    }
    for entry in entries() {
        builder.push_entry(entry);
    }
    index_rows().iter().for_each(|row| builder.push_row(row));
    object.extend_from_slice(&builder.finish(Sequence(0x7303)).tail);
    let golden = bytes_of(INDEX);
    assert_eq!(object, golden, "{object:02x?}");
    let part =
        |range: Range<u64>| Ok::<_, Infallible>(golden.slice(size(range.start)..size(range.end)));
    let container = Container::open(count(golden.len()), &Bytes::new(), part).unwrap();
    let index = container.index(part).unwrap();
    assert_eq!(container.header, index_header());
    assert_eq!(container.directory.layers, places());
    assert_eq!(container.footer.last, Sequence(0x7303));
    assert_eq!(index.rows, index_rows());
    assert_eq!(index.frames, entries());
}

/// Frames pass from segments into layers as they are, so both files hold the same ones.
#[test]
fn a_frame_is_the_same_in_a_segment_and_in_a_layer() {
    let (_, _, in_segment) = opened(&bytes_of(SEGMENT));
    let (_, _, in_layer) = opened(&bytes_of(LAYER));
    for (one, other) in in_segment.iter().zip(&in_layer) {
        assert_eq!((&one.bytes, one.digest), (&other.bytes, other.digest));
    }
}
