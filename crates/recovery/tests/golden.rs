//! The bytes of a manifest do not move.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::sync::Arc;

use afterimage_changelog::{
    Digest, Disk, Epoch, MarkerKind, Name, ObjectId, Position, SectorSize, Sequence, Timestamp,
    count,
};
use afterimage_recovery::{
    IndexRef, LayerRef, Manifest, PageRef, Point, StreamPosition,
    hold::{HOLD_BYTES_MAX, Hold, HoldKind},
    manifest::MANIFEST_BYTES_MAX,
    page::{PAGE_BYTES_MAX, Page},
};

const MANIFEST: &str = include_str!("../golden/manifest.hex");
const PAGE: &str = include_str!("../golden/page.hex");
const HOLD: &str = include_str!("../golden/hold.hex");

/// The bytes of a hex file; `#` begins a comment.
fn bytes_of(hex: &str) -> Vec<u8> {
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

/// Sixteen different bytes from `first` on.
fn ascending(first: u8) -> ObjectId {
    ObjectId(std::array::from_fn(|at| first + u8::try_from(at).unwrap()))
}

fn layer(epoch: u64, first: u8, object_bytes: u64) -> LayerRef {
    LayerRef {
        epoch: Epoch(epoch),
        id: ascending(first),
        object_bytes,
        digest: Digest::of(&[first]),
    }
}

fn paged() -> Point {
    Point {
        id: 0x60,
        kind: MarkerKind::Crash,
        name: "hourly".to_owned(),
        time: Timestamp(1_763_886_000_000_096),
        cut: ascending(0xa0),
        table: 0,
        changed_bytes: 0x5f00,
        sequences: vec![Sequence(0x5e)],
        layers: vec![layer(0x5d, 0xb0, 0x5c00)],
    }
}

fn page() -> Page {
    Page {
        epoch: Epoch(0x7a),
        id: ascending(0x90),
        group: name("shop"),
        points: vec![paged()],
    }
}

fn hold() -> Hold {
    Hold {
        id: ascending(0xe0),
        group: name("shop"),
        kind: HoldKind::Use,
        manifest: Some(0x7e),
        point: Some(0x61),
        until: Timestamp(1_763_886_000_000_200),
        text: "restore to /srv/disk.raw".to_owned(),
    }
}

fn manifest() -> Manifest {
    let page = page().encode();
    let root = Disk::new(name("root"), 0x1_2345_6600, SectorSize::B512).unwrap();
    let data = Disk::new(name("db"), 0x345_6789_a000, SectorSize::B4096).unwrap();
    let wider = Disk::new(name("db"), 0x456_789a_b000, SectorSize::B4096).unwrap();
    let stream = |text: &str, segment: u64, sequence: u64, kept| StreamPosition {
        name: name(text),
        position: Position {
            segment,
            digest: Digest::of(text.as_bytes()),
            sequence: Sequence(sequence),
        },
        kept,
    };
    let first = Point {
        id: 0x61,
        kind: MarkerKind::Application,
        name: "nightly".to_owned(),
        time: Timestamp(1_763_886_000_000_098),
        cut: ascending(0x10),
        table: 1,
        changed_bytes: 0x6400,
        sequences: vec![Sequence(0x65)],
        layers: vec![layer(0x66, 0x20, 0x6700)],
    };
    let second = Point {
        id: 0x68,
        kind: MarkerKind::User,
        name: "before the upgrade".to_owned(),
        time: Timestamp(1_763_886_000_000_105),
        cut: ascending(0x30),
        table: 0,
        changed_bytes: 0x6a00,
        sequences: vec![Sequence(0x6b), Sequence(0x6c)],
        layers: vec![layer(0x6d, 0x40, 0x6e00), layer(0x6f, 0x50, 0x7000)],
    };
    Manifest {
        number: 0x71,
        epoch: Epoch(0x72),
        nonce: ascending(0x80),
        predecessor: Digest::of(b"the manifest before"),
        created: Timestamp(1_763_886_000_000_115),
        next_point: 0x74,
        group: name("shop"),
        tables: vec![vec![root.clone(), wider], vec![root, data]],
        streams: vec![
            stream("main", 0x75, 0x7600, 0x21),
            stream("agent-7", 0x77, 0x7800, 0x22),
        ],
        points: vec![Arc::new(paged()), Arc::new(first), Arc::new(second)],
        keep: "asr:7d".to_owned(),
        pages: vec![PageRef {
            object: LayerRef {
                epoch: Epoch(0x7a),
                id: ascending(0x90),
                object_bytes: count(page.len()),
                digest: Digest::of(&page),
            },
            points: 1,
        }],
        indexes: vec![IndexRef {
            first: ascending(0x20),
            layers: 3,
            objects: vec![layer(0x7b, 0xc0, 0x7c00), layer(0x7d, 0xd0, 0x7e00)],
        }],
    }
}

#[test]
fn the_bytes_of_a_manifest_do_not_move() {
    let golden = bytes_of(MANIFEST);
    let stored = Manifest::decode(&golden).unwrap();
    assert_eq!(stored.encode(), golden);
    let paged = vec![Arc::new(paged())];
    assert_eq!(stored.complete(paged).unwrap(), manifest());
    assert_eq!(manifest().encode(), golden);
}

#[test]
fn a_manifest_without_the_points_of_its_pages_is_refused() {
    let stored = Manifest::decode(&bytes_of(MANIFEST)).unwrap();
    assert!(stored.complete(Vec::new()).is_err());
}

#[test]
fn the_bytes_of_a_page_of_points_do_not_move() {
    let golden = bytes_of(PAGE);
    assert_eq!(Page::decode(&golden).unwrap(), page());
    assert_eq!(page().encode(), golden);
}

#[test]
fn the_bytes_of_a_hold_do_not_move() {
    let golden = bytes_of(HOLD);
    assert_eq!(Hold::decode(&golden).unwrap(), hold());
    assert_eq!(hold().encode(), golden);
}

/// The limits that FORMAT.md states; the other ones are compared where their constants are.
#[test]
fn manifests_pages_and_holds_are_as_large_as_the_document_says() {
    assert_eq!(MANIFEST_BYTES_MAX, 67_108_864);
    assert_eq!(PAGE_BYTES_MAX, 67_108_864);
    assert_eq!(HOLD_BYTES_MAX, 1024);
}
