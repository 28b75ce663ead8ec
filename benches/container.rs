//! Frames and pages: compress, hash, check, decompress; seal an index and read it back.

use std::hint::black_box;

use afterimage::{
    Name, Timestamp,
    changelog::{
        Container, ContainerBuilder, Digest, Disk, Epoch, Fidelity, FrameEntry, Header, ObjectId,
        ObjectKind, Row, RowKind, SectorSize, Sequence, container::TAIL_BYTES, count,
        frame::FrameEncoder, length, limits::FRAME_BYTES_DEFAULT, size,
    },
};
use afterimage_testkit::stamp;
use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput};

/// Rows of the index that is sealed and read: those of a full segment.
const ROWS: u64 = 1 << 18;
const ROWS_PER_FRAME: u64 = 16;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    frames(&mut criterion);
    pages(&mut criterion);
    criterion.final_summary();
}

/// A frame of stamped sectors, which zstd makes about half as large.
fn payload() -> Bytes {
    let sectors = u64::from(FRAME_BYTES_DEFAULT) / 512;
    let stamps: Vec<u8> = (0..sectors)
        .flat_map(|sector| stamp(1, 0, sector, 1))
        .collect();
    Bytes::from(stamps)
}

fn frames(criterion: &mut Criterion) {
    let payload = payload();
    let frame = FrameEncoder::new(1).encode(payload.clone());
    let entry = FrameEntry {
        offset: 0,
        stored: u32::try_from(frame.bytes.len()).expect("a frame is small"),
        raw: frame.raw,
        codec: frame.codec,
        layer: 0,
        digest: frame.digest,
    };
    assert_eq!(frame.decode().expect("the frame is intact"), payload);

    let mut group = criterion.benchmark_group("container/frame");
    group.throughput(Throughput::Bytes(length(&payload)));
    let mut encoder = FrameEncoder::new(1);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encoder.encode(black_box(&payload).clone()));
    });
    group.bench_function("hash", |bencher| bencher.iter(|| Digest::of(&payload)));
    group.bench_function("decode", |bencher| bencher.iter(|| frame.decode()));
    // What passes through is hashed as it is stored, and no more.
    group.throughput(Throughput::Bytes(length(&frame.bytes)));
    group.bench_function("check", |bencher| {
        bencher.iter(|| entry.check(frame.bytes.clone()));
    });
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    let object = seal();
    let start = size(count(object.len()).saturating_sub(TAIL_BYTES));
    let open = || {
        let container = Container::open(count(object.len()), &object.slice(start..), |range| {
            Ok::<_, ()>(object.slice(size(range.start)..size(range.end)))
        });
        container.expect("the object is intact")
    };
    let container = open();
    let range = container.index_range();
    let read = || {
        let index =
            container.index(|range| Ok::<_, ()>(object.slice(size(range.start)..size(range.end))));
        index.expect("the index is intact")
    };
    assert_eq!(read().rows, rows().collect::<Vec<_>>());

    let mut group = criterion.benchmark_group("container/index");
    group.throughput(Throughput::Bytes(range.end - range.start));
    group.bench_function("seal", |bencher| {
        let filled = || fill().0;
        bencher.iter_batched(
            filled,
            |builder| builder.finish(Sequence(ROWS)),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("push", |bencher| bencher.iter(fill));
    group.bench_function("open", |bencher| bencher.iter(open));
    group.bench_function("read", |bencher| bencher.iter(read));
    group.finish();
}

/// Writes of eight sectors, scattered.
fn rows() -> impl Iterator<Item = Row> {
    (0..ROWS).map(|number| Row {
        kind: RowKind::Write {
            frame: u32::try_from(number / ROWS_PER_FRAME).expect("frames are few"),
            offset: u16::try_from(number % ROWS_PER_FRAME * 8).expect("a frame is small"),
        },
        continued: false,
        disk: 0,
        sectors: 8,
        start: number * 7919 % ROWS * 8,
    })
}

/// A builder with all rows, and what lies before its index.
fn fill() -> (ContainerBuilder, BytesMut) {
    let name = |text: &str| -> Name { text.parse().expect("the name is valid") };
    let disk = Disk::new(name("root"), 1 << 30, SectorSize::B512);
    let mut builder = ContainerBuilder::new(Header {
        kind: ObjectKind::Segment,
        id: ObjectId([1; 16]),
        fidelity: Fidelity::Data,
        epoch: Epoch(1),
        number: 0,
        first: Sequence::FIRST,
        created: Timestamp(0),
        predecessor: Digest::NONE,
        group: name("bench"),
        stream: name("main"),
        disks: vec![disk.expect("the size is a whole number of sectors")],
    });
    let frame = FrameEncoder::new(1).encode(Bytes::from(vec![1; size(FRAME_BYTES_DEFAULT.into())]));
    let mut object = BytesMut::from(builder.header_bytes());
    for _ in 0..ROWS / ROWS_PER_FRAME {
        builder.push_frame(&frame);
        object.extend_from_slice(&frame.bytes);
    }
    rows().for_each(|row| builder.push_row(&row));
    (builder, object)
}

fn seal() -> Bytes {
    let (builder, mut object) = fill();
    object.extend_from_slice(&builder.finish(Sequence(ROWS)).tail);
    object.freeze()
}
