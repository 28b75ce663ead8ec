//! Containers: opening one, and its index.

use std::{convert::Infallible, ops::Range};

use afterimage_changelog::{
    Container, ContainerBuilder, Digest, EncodedFrame, Header, Marker, MarkerKind, ObjectId,
    ObjectKind, Row, RowKind, SECTOR, Sequence, Timestamp, container::Index, frame::FrameEncoder,
    length, size, wire::Put,
};
use bytes::Bytes;

use crate::{
    choices::Choices,
    rehash,
    sample::{SAMPLES, Samples},
    spoil::spoiled,
};

/// Opens an object and reads its index. What is accepted encodes to the same bytes, and its rows lie
/// on their disks, in their frames and, in a layer, in order.
///
/// # Panics
///
/// Where any of that does not hold, or a range is asked for that is not in the object.
pub fn container(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let short_tail = choices.flag();
    let object = Bytes::from(object(&mut choices));
    let tail = if short_tail { 96 } else { object.len() };
    let tail = object.slice(object.len() - tail.min(object.len())..);
    let Ok(container) = Container::open(length(&object), &tail, fetch(&object)) else {
        return;
    };
    let Ok(index) = container.index(fetch(&object)) else {
        return;
    };
    assert_encodes(&container, &index, &object);
    for row in &index.rows {
        assert_placed(&container, &index, row);
    }
    if container.header.kind != ObjectKind::Segment {
        for pair in index.rows.windows(2) {
            let [before, after] = pair else { continue };
            assert!((before.disk, before.end()) <= (after.disk, after.start));
        }
    }
    // Those of an index lie in layers.
    let is_index = container.header.kind == ObjectKind::Index;
    for entry in index.frames.iter().filter(|_| !is_index) {
        let stored = object.slice(size(entry.offset)..size(entry.end()));
        if let Ok(payload) = entry.check(stored).and_then(|frame| frame.decode()) {
            assert_eq!(length(&payload), u64::from(entry.raw));
        }
    }
}

/// Ranges of an object. A container knows how long it is, so it never asks beyond.
fn fetch(object: &Bytes) -> impl FnMut(Range<u64>) -> Result<Bytes, Infallible> {
    move |range| Ok(object.slice(size(range.start)..size(range.end)))
}

/// Opens a whole object; `None` where it is none.
pub(super) fn opened(object: &Bytes) -> Option<Container> {
    Container::open(length(object), object, fetch(object)).ok()
}

fn assert_encodes(container: &Container, index: &Index, object: &Bytes) {
    let Container {
        header,
        directory,
        footer,
        ..
    } = container;
    let mut out = header.encode();
    assert_eq!(object.get(..out.len()), Some(out.as_slice()), "the header");
    out = index.rows.iter().flat_map(Row::encode).collect();
    let mut frames = Put::default();
    index.frames.iter().for_each(|entry| entry.put(&mut frames));
    out.append(&mut frames.0);
    out.extend(directory.encode());
    let mut footer = *footer;
    out.extend(footer.encode(&header.encode(), &directory.encode()));
    let start = object
        .len()
        .checked_sub(out.len())
        .expect("it was read from there");
    assert_eq!(
        object.get(start..),
        Some(out.as_slice()),
        "index and footer"
    );
    assert_eq!(size(container.index_range().start), start);
}

fn assert_placed(container: &Container, index: &Index, row: &Row) {
    if row.kind == RowKind::Marker {
        assert!(size(row.start) < container.directory.markers.len());
        return;
    }
    let disk = container.header.disks.get(usize::from(row.disk));
    assert!(disk.is_some_and(|disk| disk.holds(row.start, u64::from(row.sectors))));
    if let RowKind::Write { frame, offset } = row.kind {
        let frame = index.frames.get(size(u64::from(frame)));
        let end = u64::from(offset) * SECTOR + row.bytes();
        assert!(frame.is_some_and(|frame| end <= u64::from(frame.raw)));
    }
}

/// An object: as the bytes are, edited, edited with valid hashes, or built of any rows.
pub(super) fn object(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.u8() % 4 {
        0 => choices.clone().rest().to_vec(),
        1 => spoiled(sample(choices), choices),
        2 => {
            let mut object = spoiled(sample(choices), choices);
            rehash::container(&mut object);
            object
        }
        _ => built(choices),
    }
}

fn sample(choices: &mut Choices<'_>) -> &'static [u8] {
    let Samples {
        segment,
        layer,
        long_segment,
        long_layer,
        ..
    } = &*SAMPLES;
    match choices.u8() % 4 {
        0 => segment,
        1 => layer,
        2 => long_segment,
        _ => long_layer,
    }
}

/// A container of the builder, which believes its caller: rows and frames that need not fit together.
fn built(choices: &mut Choices<'_>) -> Vec<u8> {
    let is_layer = choices.flag();
    let valid = if is_layer {
        &SAMPLES.layer
    } else {
        &SAMPLES.segment
    };
    let header = opened(valid).expect("samples are valid").header;
    let first = header.first.0;
    let mut builder = ContainerBuilder::new(header);
    let mut object = builder.header_bytes().to_vec();
    for _ in 0..choices.u8() % 4 {
        let frame = built_frame(choices);
        builder.push_frame(&frame);
        object.extend_from_slice(&frame.bytes);
    }
    let mut at = 0;
    for _ in 0..64 {
        if choices.is_empty() {
            break;
        }
        let what = choices.u8();
        let row = match what % 4 {
            3 => built_marker(choices, what, &mut builder),
            _ => built_row(choices, what, at),
        };
        at = row.end();
        builder.push_row(&row);
    }
    // A segment ends where its rows do; now and then it says otherwise.
    let said = if choices.u8() == 1 {
        choices.edge()
    } else {
        first + builder.rows() - 1
    };
    object.extend_from_slice(&builder.finish(Sequence(said)).tail);
    object
}

fn built_frame(choices: &mut Choices<'_>) -> EncodedFrame {
    let sectors = 1 + size(choices.below(16));
    let mut frame = FrameEncoder::new(1).encode(Bytes::from(vec![choices.u8(); sectors * 512]));
    match choices.u8() % 8 {
        // It gives another length than it says.
        1 => frame.raw += 512,
        2 => frame.digest = Digest::NONE,
        3 => {
            frame.bytes = Bytes::from(spoiled(&frame.bytes, &mut Choices::new(&[1, 9, 0, 3])));
            frame.digest = Digest::of(&frame.bytes);
        }
        _ => {}
    }
    frame
}

/// A marker and its row, which now and then do not know each other.
fn built_marker(choices: &mut Choices<'_>, what: u8, builder: &mut ContainerBuilder) -> Row {
    let here = Sequence(builder.header().first.0 + builder.rows());
    let is_elsewhere = what & 0x40 != 0;
    let number = builder.push_marker(Marker {
        sequence: if is_elsewhere {
            Sequence(choices.edge())
        } else {
            here
        },
        kind: MarkerKind::User,
        time: Timestamp(choices.edge()),
        cut: ObjectId([7; 16]),
        name: String::new(),
    });
    let is_other = what & 0x80 != 0;
    Row {
        kind: RowKind::Marker,
        continued: false,
        disk: 0,
        sectors: 0,
        start: if is_other { choices.below(3) } else { number },
    }
}

/// A row behind sector `at`, or anywhere.
fn built_row(choices: &mut Choices<'_>, what: u8, at: u64) -> Row {
    let kind = match what % 4 {
        0 | 1 => RowKind::Write {
            frame: u32::from(choices.u8() % 4),
            offset: u16::from(choices.u8() % 20),
        },
        _ => RowKind::Zero,
    };
    let is_near = what & 0x80 == 0;
    let (disk, sectors, start) = if is_near {
        let sectors = 1 + u32::from(choices.u8() % 16);
        (0, sectors, at.saturating_add(choices.below(64)))
    } else {
        (choices.u16() % 4, choices.u32(), choices.edge())
    };
    Row {
        kind,
        continued: what & 0x40 != 0,
        disk,
        sectors,
        start,
    }
}

/// Seeds of every body that takes an [`object`], behind a prefix of its own.
pub(super) fn object_seeds(prefix: &[u8]) -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 11] = [
        &[1, 0],
        &[1, 1],
        &[2, 2, 1, 40, 0, 3],
        &[2, 3, 0, 0, 1, 9],
        &[2, 0, 3, 200, 1, 0, 0, 0, 16],
        &[2, 1, 2, 16, 2, 2],
        // Built: two frames, two writes, zeroes and two markers; and a layer of three rows.
        &[
            3, 0, 2, 3, 0, 9, 0, 1, 0, 4, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 2, 0, 2, 4, 0, 0, 3, 1,
            2, 5, 3, 0, 3, 0,
        ],
        &[
            3, 1, 1, 15, 0, 1, 0, 0, 0, 0, 7, 1, 0, 2, 3, 9, 0, 0, 0, 8, 2, 1, 0,
        ],
        // A marker that says another place, and a row of another marker.
        &[3, 0, 0, 0x43, 0, 0],
        &[3, 0, 0, 0x83, 0, 2, 0],
        &[3, 1, 0, 0x82, 1, 0, 8, 0, 0, 0, 0],
    ];
    let mut all: Vec<Vec<u8>> = seeds.iter().map(|seed| [prefix, seed].concat()).collect();
    all.push([prefix, &[0], SAMPLES.segment.as_ref()].concat());
    all.push([prefix, &[0], SAMPLES.layer.as_ref()].concat());
    all.push([prefix, &[0], SAMPLES.index.as_ref()].concat());
    all
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    object_seeds(&[0])
}

/// The header of an object, for bodies that put it where its names say.
pub(super) fn header_of(object: &Bytes) -> Option<Header> {
    opened(object).map(|container| container.header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_opened_whole() {
        let Samples {
            segment,
            layer,
            long_segment,
            long_layer,
            index,
            ..
        } = &*SAMPLES;
        for (object, pages) in [
            (segment, 1),
            (layer, 1),
            (long_segment, 2),
            (long_layer, 2),
            (index, 1),
        ] {
            let container = opened(object).unwrap();
            assert_eq!(container.directory.row_pages.len(), pages);
            assert!(container.index(fetch(object)).is_ok());
        }
    }

    /// Each byte of index and footer is changed once: the hashes refuse all, and with new hashes most
    /// get behind them, which is what the mode is for.
    #[test]
    fn new_hashes_let_edits_reach_the_code_behind_them() {
        let valid = &SAMPLES.segment;
        let start = size(opened(valid).unwrap().index_range().start);
        let mut behind = 0;
        for at in start..valid.len() - 96 {
            let mut spoiled = valid.to_vec();
            spoiled[at] ^= 4;
            let read = |object: Vec<u8>| {
                let object = Bytes::from(object);
                let container = Container::open(length(&object), &object, fetch(&object)).ok()?;
                container
                    .index(fetch(&object))
                    .err()
                    .map(|error| error.to_string())
            };
            let refused = read(spoiled.clone());
            assert!(
                refused.is_none_or(|error| error.contains("hash")),
                "byte {at}"
            );
            rehash::container(&mut spoiled);
            behind += usize::from(read(spoiled).is_none_or(|error| !error.contains("hash")));
        }
        assert!(behind > (valid.len() - 96 - start) / 2, "{behind}");
        let mut same = valid.to_vec();
        rehash::container(&mut same);
        assert_eq!(same, valid.as_ref());
    }

    #[test]
    fn built_objects_are_opened() {
        for seed in object_seeds(&[]).iter().filter(|seed| seed[0] == 3) {
            let object = Bytes::from(object(&mut Choices::new(seed)));
            assert!(opened(&object).is_some(), "{seed:?}");
        }
    }
}
