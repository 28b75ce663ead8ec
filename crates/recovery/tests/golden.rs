//! The bytes of a manifest do not move.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::sync::Arc;

use afterimage_changelog::{
    Digest, Disk, Epoch, MarkerKind, Name, ObjectId, Position, SectorSize, Sequence, Timestamp,
};
use afterimage_recovery::{
    LayerRef, Manifest, Point, StreamPosition, manifest::MANIFEST_BYTES_MAX,
};

const MANIFEST: &str = include_str!("../golden/manifest.hex");

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

fn manifest() -> Manifest {
    let root = Disk::new(name("root"), 0x1_2345_6600, SectorSize::B512).unwrap();
    let data = Disk::new(name("db"), 0x345_6789_a000, SectorSize::B4096).unwrap();
    let wider = Disk::new(name("db"), 0x456_789a_b000, SectorSize::B4096).unwrap();
    let stream = |text: &str, segment: u64, sequence: u64| StreamPosition {
        name: name(text),
        position: Position {
            segment,
            digest: Digest::of(text.as_bytes()),
            sequence: Sequence(sequence),
        },
        kept: 0,
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
            stream("main", 0x75, 0x7600),
            stream("agent-7", 0x77, 0x7800),
        ],
        points: vec![Arc::new(first), Arc::new(second)],
        keep: String::new(),
        pages: Vec::new(),
        indexes: Vec::new(),
    }
}

#[test]
fn the_bytes_of_a_manifest_do_not_move() {
    let golden = bytes_of(MANIFEST);
    assert_eq!(
        Manifest::decode(&golden)
            .unwrap()
            .complete(Vec::new())
            .unwrap(),
        manifest()
    );
    assert_eq!(manifest().encode(), golden);
}

/// The limit that FORMAT.md states; the other ones are compared where their constants are.
#[test]
fn a_manifest_has_at_most_64_mib() {
    assert_eq!(MANIFEST_BYTES_MAX, 67_108_864);
}
