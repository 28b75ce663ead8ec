//! Random containers come back as they were, spoiled ones are refused, and no number in them makes
//! a reader allocate more than their bytes can hold.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{convert::Infallible, ops::Range};

use afterimage_changelog::{
    Codec, Container, ContainerBuilder, DecodeError, Digest, Directory, Disk, EncodedFrame, Epoch,
    Fault, Fidelity, Footer, Header, Marker, MarkerKind, Name, ObjectId, ObjectKind, OpenError,
    Row, RowKind, SectorSize, Sequence, Timestamp,
    container::Index,
    count,
    directory::{FramePage, RowPage},
    frame::FrameEncoder,
    limits::{ROWS_MAX, ROWS_PER_PAGE},
    size,
};
use bytes::Bytes;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// One change of a random stream, before it has a place.
#[derive(Clone, Debug)]
enum Change {
    Write {
        skip: u32,
        sectors: u32,
        letter: u8,
        noisy: bool,
    },
    Zero {
        skip: u32,
        sectors: u32,
    },
    Mark {
        text: String,
    },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..9u32, 1..5u32, any::<u8>(), any::<bool>()).prop_map(
            |(skip, sectors, letter, noisy)| Change::Write { skip, sectors, letter, noisy }
        ),
        2 => (0..9u32, 1..5000u32).prop_map(|(skip, sectors)| Change::Zero { skip, sectors }),
        1 => "[a-z äß]{0,40}".prop_map(|text| Change::Mark { text }),
    ]
}

/// What went into a container, and the container.
#[derive(Debug)]
struct Made {
    object: Bytes,
    header: Header,
    rows: Vec<Row>,
    markers: Vec<Marker>,
    frames: Vec<EncodedFrame>,
    digest: Digest,
}

fn header(kind: ObjectKind) -> Header {
    let disk = |text, bytes| Disk::new(name(text), bytes, SectorSize::B512).unwrap();
    Header {
        kind,
        id: ObjectId([7; 16]),
        fidelity: Fidelity::Data,
        epoch: Epoch(3),
        number: 0,
        first: Sequence(100),
        created: Timestamp(5),
        predecessor: Digest::NONE,
        group: name("group"),
        stream: name("stream"),
        disks: vec![disk("one", 1 << 40), disk("two", 1 << 30)],
    }
}

/// Puts changes one behind the other on disk 0, so that they are in order for a layer too.
fn made(kind: ObjectKind, changes: &[Change]) -> Made {
    let mut encoder = FrameEncoder::new(1);
    let mut builder = ContainerBuilder::new(header(kind));
    let mut object = builder.header_bytes().to_vec();
    let (mut rows, mut markers, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    for (change, sequence) in changes.iter().zip(100..) {
        let (kind, skip, sectors, start) = match change {
            Change::Write {
                skip,
                sectors,
                letter,
                noisy,
            } => {
                let payload = payload(*sectors, *letter, *noisy);
                let frame = encoder.encode(payload);
                let number = builder.push_frame(&frame);
                object.extend_from_slice(&frame.bytes);
                frames.push(frame);
                let kind = RowKind::Write {
                    frame: number,
                    offset: 0,
                };
                (kind, *skip, *sectors, None)
            }
            Change::Zero { skip, sectors } => (RowKind::Zero, *skip, *sectors, None),
            Change::Mark { .. } if kind == ObjectKind::Layer => continue,
            Change::Mark { text } => {
                let marker = Marker {
                    sequence: Sequence(sequence),
                    kind: MarkerKind::Crash,
                    time: Timestamp(sequence * 2),
                    cut: ObjectId([9; 16]),
                    name: text.clone(),
                };
                markers.push(marker.clone());
                (RowKind::Marker, 0, 0, Some(builder.push_marker(marker)))
            }
        };
        at += u64::from(skip);
        let row = Row {
            kind,
            continued: false,
            disk: 0,
            sectors,
            start: start.unwrap_or(at),
        };
        at += u64::from(sectors);
        builder.push_row(&row);
        rows.push(row);
    }
    let sealed = builder.finish(Sequence(99 + count(rows.len())));
    object.extend_from_slice(&sealed.tail);
    assert_eq!(count(object.len()), sealed.object_bytes);
    Made {
        object: Bytes::from(object),
        header: header(kind),
        rows,
        markers,
        frames,
        digest: sealed.digest,
    }
}

fn payload(sectors: u32, letter: u8, noisy: bool) -> Bytes {
    let bytes = size(u64::from(sectors)) * 512;
    if !noisy {
        return Bytes::from(vec![letter; bytes]);
    }
    let blocks = (0u32..).flat_map(|at| Digest::of(&[&at.to_le_bytes()[..], &[letter]].concat()).0);
    blocks.take(bytes).collect()
}

/// Opens an object of which the last `tail` bytes were fetched, and reads all of it.
fn read(object: &Bytes, tail: usize) -> Result<(Container, Index, Vec<EncodedFrame>), DecodeError> {
    let tail = object.slice(object.len() - tail..);
    // What a store does: the bytes of the range, as far as there are any.
    let part = |range: Range<u64>| {
        let end = object.len().min(size(range.end));
        Ok::<_, Infallible>(object.slice(size(range.start).min(end)..end))
    };
    let decode = |error: OpenError<Infallible>| match error {
        OpenError::Decode(error) => error,
        OpenError::Fetch(never) => match never {},
    };
    let container = Container::open(count(object.len()), &tail, part).map_err(decode)?;
    let index = container.index(part).map_err(decode)?;
    let frames = index.frames.iter().map(|entry| {
        let Ok(stored) = part(entry.offset..entry.end());
        let frame = entry.check(stored)?;
        frame.decode()?;
        Ok(frame)
    });
    let frames = frames.collect::<Result<Vec<_>, DecodeError>>()?;
    Ok((container, index, frames))
}

fn kind() -> impl Strategy<Value = ObjectKind> {
    prop_oneof![Just(ObjectKind::Segment), Just(ObjectKind::Layer)]
}

proptest! {
    #[test]
    fn what_was_put_into_a_container_comes_out(
        kind in kind(),
        changes in prop::collection::vec(change(), 0..40),
        tail in any::<prop::sample::Index>(),
    ) {
        let made = made(kind, &changes);
        let tail = tail.index(made.object.len() + 1);
        let (container, index, frames) = read(&made.object, tail).unwrap();
        prop_assert_eq!(&container.header, &made.header);
        prop_assert_eq!(container.digest(), made.digest);
        prop_assert_eq!(&container.directory.markers, &made.markers);
        prop_assert_eq!(&index.rows, &made.rows);
        prop_assert_eq!(frames.len(), made.frames.len());
        for (read, made) in frames.iter().zip(&made.frames) {
            prop_assert_eq!(read.decode().unwrap(), made.decode().unwrap());
        }
    }

    /// Any run of bytes overwritten, the object cut or grown: refused, unless nothing changed.
    #[test]
    fn a_spoiled_container_is_refused_without_a_panic(
        kind in kind(),
        changes in prop::collection::vec(change(), 0..12),
        at in any::<prop::sample::Index>(),
        over in prop::collection::vec(any::<u8>(), 1..64),
        length in prop::option::of(any::<prop::sample::Index>()),
        tail in any::<prop::sample::Index>(),
    ) {
        let made = made(kind, &changes);
        let mut spoiled = made.object.to_vec();
        let at = at.index(spoiled.len());
        spoiled.iter_mut().skip(at).zip(&over).for_each(|(byte, over)| *byte = *over);
        if let Some(length) = length {
            spoiled.resize(length.index(made.object.len() * 2), 0);
        }
        let spoiled = Bytes::from(spoiled);
        let read = read(&spoiled, tail.index(spoiled.len() + 1));
        prop_assert_eq!(read.is_ok(), spoiled == made.object);
    }

    /// Bytes that were never a container, and such that only end like one.
    #[test]
    fn what_is_no_container_is_refused_without_a_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        ends_like_one in any::<bool>(),
    ) {
        if ends_like_one {
            bytes.extend_from_slice(b"AFTREND\0");
        }
        let bytes = Bytes::from(bytes);
        prop_assert!(read(&bytes, bytes.len()).is_err());
        prop_assert!(Header::decode(&bytes).is_err());
        prop_assert!(Directory::decode(&bytes).is_err());
    }
}

/// Many pages of rows and of frames, read with a tail that ends anywhere between them.
#[test]
fn a_container_of_many_pages_comes_back() {
    let write = |letter| Change::Write {
        skip: 1,
        sectors: 1,
        letter,
        noisy: false,
    };
    let changes: Vec<Change> = (0..5000u32)
        .map(|at| write(u8::try_from(at % 200).unwrap()))
        .collect();
    for kind in [ObjectKind::Segment, ObjectKind::Layer] {
        let made = made(kind, &changes);
        for tail in [0, 95, 96, 97, 500, 1000, 65536, made.object.len()] {
            let (container, index, frames) = read(&made.object, tail).unwrap();
            assert_eq!(container.directory.row_pages.len(), 3);
            assert_eq!(container.directory.frame_pages.len(), 5);
            assert_eq!(index.rows, made.rows);
            assert_eq!(frames.len(), 5000);
        }
    }
}

/// Changes what a footer says.
type Claim = fn(&mut Footer);

/// An object with a directory and a footer that agree with each other, whatever they claim. What the
/// digest cannot tell, since it is right, the numbers have to.
fn claiming(directory: &Directory, claim: impl FnOnce(&mut Footer)) -> Bytes {
    let header = header(ObjectKind::Segment).encode();
    let directory = directory.encode();
    let mut footer = Footer {
        directory_offset: count(header.len()),
        directory_bytes: u32::try_from(directory.len()).unwrap(),
        header_bytes: u32::try_from(header.len()).unwrap(),
        rows: 0,
        frames: 0,
        markers: 0,
        raw_bytes: 0,
        last: Sequence(99),
        kind: ObjectKind::Segment,
        digest: Digest::NONE,
    };
    claim(&mut footer);
    let end = footer.encode(&header, &directory);
    Bytes::from([header, directory, end].concat())
}

fn refusal(object: &Bytes) -> Fault {
    read(object, object.len()).unwrap_err().fault
}

#[test]
fn a_container_that_claims_nothing_is_whole() {
    assert!(read(&claiming(&Directory::default(), |_| {}), 0).is_ok());
}

#[test]
fn numbers_over_their_limits_are_refused_from_the_footer_alone() {
    let claims: [(Claim, &str); 6] = [
        (|footer| footer.rows = 1 << 32, "the number of rows"),
        (|footer| footer.rows = ROWS_MAX + 1, "the number of rows"),
        (|footer| footer.frames = u32::MAX, "the number of frames"),
        (|footer| footer.markers = u32::MAX, "the number of markers"),
        (
            |footer| footer.header_bytes = u32::MAX,
            "the header's length",
        ),
        (
            |footer| footer.directory_bytes = u32::MAX,
            "the directory's length",
        ),
    ];
    for (claim, what) in claims {
        let object = claiming(&Directory::default(), claim);
        let fetched =
            |_: Range<u64>| -> Result<Bytes, Infallible> { panic!("the footer says enough") };
        let footer = object.slice(object.len() - 96..);
        let opened = Container::open(count(object.len()), &footer, fetched);
        match opened {
            Err(OpenError::Decode(error)) => assert_eq!(error.fault, Fault::Limit(what)),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// Within the limits, but more than the bytes hold.
#[test]
fn numbers_that_the_bytes_cannot_hold_are_refused_before_anything_is_made_room_for() {
    let claims: [Claim; 3] = [
        |footer| footer.rows = ROWS_MAX,
        |footer| footer.frames = 65_536,
        |footer| footer.markers = 65_536,
    ];
    for claim in claims {
        let object = claiming(&Directory::default(), claim);
        assert_eq!(refusal(&object), Fault::Field("a page's length"));
    }
    // The directory claims the rows too; there are no pages that hold them.
    let page = RowPage {
        offset: 0,
        rows: ROWS_PER_PAGE,
        disk: 0,
        start: 0,
        digest: Digest::NONE,
    };
    let directory = Directory {
        row_pages: vec![page; 2048],
        ..Directory::default()
    };
    let object = claiming(&directory, |footer| footer.rows = ROWS_MAX);
    assert_eq!(refusal(&object), Fault::Field("a page's place"));
    let directory = Directory {
        frame_pages: vec![
            FramePage {
                offset: u64::MAX - 8,
                entries: 1024,
                digest: Digest::NONE,
            };
            2
        ],
        ..Directory::default()
    };
    let object = claiming(&directory, |footer| footer.frames = 2048);
    assert_eq!(refusal(&object), Fault::Field("a page's place"));
}

#[test]
fn a_directory_that_counts_more_than_it_holds_is_refused() {
    for at in [0, 4, 8] {
        let mut bytes = Directory::default().encode();
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = Directory::decode(&bytes).unwrap_err();
        assert_eq!(error.fault, Fault::Limit("the number of pages"));
    }
}

/// A segment of one write and one marker, with one thing changed before it is sealed.
fn sealed(rows: &[Row], marked: Sequence, kind: ObjectKind) -> Bytes {
    let mut builder = ContainerBuilder::new(header(kind));
    let mut object = builder.header_bytes().to_vec();
    let frame = FrameEncoder::new(1).encode(payload(2, 1, true));
    assert_eq!(frame.codec, Codec::Raw);
    builder.push_frame(&frame);
    object.extend_from_slice(&frame.bytes);
    rows.iter().for_each(|row| builder.push_row(row));
    if kind == ObjectKind::Segment {
        builder.push_marker(Marker {
            sequence: marked,
            kind: MarkerKind::Crash,
            time: Timestamp(1),
            cut: ObjectId([2; 16]),
            name: String::new(),
        });
    }
    object.extend_from_slice(&builder.finish(Sequence(99 + count(rows.len()))).tail);
    Bytes::from(object)
}

fn row(kind: RowKind, start: u64, sectors: u32) -> Row {
    Row {
        kind,
        continued: false,
        disk: 0,
        sectors,
        start,
    }
}

const WRITE: RowKind = RowKind::Write {
    frame: 0,
    offset: 0,
};

#[test]
fn a_marker_that_stands_elsewhere_than_it_says_is_refused() {
    let rows = [row(WRITE, 5, 2), row(RowKind::Marker, 0, 0)];
    assert!(read(&sealed(&rows, Sequence(101), ObjectKind::Segment), 0).is_ok());
    let misplaced = Fault::Field("a marker's place");
    let elsewhere = sealed(&rows, Sequence(100), ObjectKind::Segment);
    assert_eq!(refusal(&elsewhere), misplaced);
    let nowhere = sealed(&rows[..1], Sequence(101), ObjectKind::Segment);
    assert_eq!(refusal(&nowhere), misplaced);
    let twice = [rows[0], rows[1], rows[1]];
    let twice = sealed(&twice, Sequence(101), ObjectKind::Segment);
    assert_eq!(refusal(&twice), misplaced);
}

#[test]
fn rows_that_leave_their_disk_their_frame_or_their_order_are_refused() {
    let segment = |rows: &[Row]| refusal(&sealed(rows, Sequence(100), ObjectKind::Segment));
    let layer = |rows: &[Row]| read(&sealed(rows, Sequence(0), ObjectKind::Layer), 0);
    let beyond = row(RowKind::Zero, (1 << 40) / 512 - 1, 2);
    assert_eq!(
        segment(&[beyond]),
        Fault::Field("a row's place on its disk")
    );
    let disk = Row {
        disk: 2,
        ..row(RowKind::Zero, 0, 1)
    };
    assert_eq!(segment(&[disk]), Fault::Field("a row's place on its disk"));
    let longer = row(WRITE, 0, 3);
    assert_eq!(
        segment(&[longer]),
        Fault::Field("a row's place in its frame")
    );
    let none = RowKind::Write {
        frame: 1,
        offset: 0,
    };
    assert_eq!(segment(&[row(none, 0, 1)]), Fault::Field("a row's frame"));
    let (first, second) = (row(WRITE, 5, 2), row(RowKind::Zero, 7, 1));
    assert!(layer(&[first, second]).is_ok());
    assert_eq!(layer(&[second, first]).unwrap_err().fault, Fault::Order);
    let over = row(RowKind::Zero, 6, 1);
    assert_eq!(layer(&[first, over]).unwrap_err().fault, Fault::Order);
    let continued = Row {
        continued: true,
        ..second
    };
    let refused = layer(&[first, continued]).unwrap_err().fault;
    assert_eq!(refused, Fault::Field("a row's flags"));
}
