//! The operator on a million records, all on one thread: from rows to live extents and how much of
//! each frame is live, and layers merged. Rates are in extents that go in.
//!
//! `AFTERIMAGE_BENCH_LOG=vm.log` measures a recorded write log too.

use std::{convert::Infallible, fs::File};

use afterimage::changelog::{Row, RowKind, SECTOR, count, limits::FRAME_BYTES_DEFAULT, size};
use afterimage_benches::word;
use afterimage_capture::log_writes::{Action, LogReader, decompressing};
use afterimage_coalesce::{Coalescer, Density, Extent, Merge, Sweep, coalesce};
use afterimage_testkit::Workload;
use criterion::{BatchSize, Criterion, Throughput};

const RECORDS: usize = 1_000_000;
const DISK_BYTES: u64 = 1 << 30;
const LAYERS: [usize; 2] = [10, 100];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for workload in Workload::ALL {
        let mut rows = Rows::default();
        for write in workload.writes(1, 1, DISK_BYTES, RECORDS) {
            rows.add(
                write.offset / SECTOR,
                u64::from(write.len) / SECTOR,
                write.zero,
            );
        }
        bench(&mut criterion, word(workload), &rows);
    }
    if let Ok(log) = std::env::var("AFTERIMAGE_BENCH_LOG") {
        bench(&mut criterion, "recorded", &recorded(&log));
    }
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, name: &str, rows: &Rows) {
    let extents = rows.extents();
    let (live, _) = interval(rows);
    check(&extents, &live);
    check(&extents, &coalesce(extents.clone()));
    let mut group = criterion.benchmark_group("coalesce");
    group.sample_size(10);
    group.throughput(Throughput::Elements(count(extents.len())));
    group.bench_function(format!("interval/{name}"), |bencher| {
        bencher.iter_with_large_drop(|| interval(rows));
    });
    group.bench_function(format!("at-once/{name}"), |bencher| {
        bencher.iter_batched(|| extents.clone(), coalesce, BatchSize::PerIteration);
    });
    for layers in LAYERS {
        let of_layer = extents.len().div_ceil(layers);
        let runs: Vec<Vec<Extent>> = extents
            .chunks(of_layer)
            .map(|interval| coalesce(interval.to_vec()))
            .collect();
        check(&extents, &merge(&runs));
        let sum = runs.iter().map(Vec::len).sum();
        group.throughput(Throughput::Elements(count(sum)));
        group.bench_function(format!("layers-{layers}/{name}"), |bencher| {
            bencher.iter_with_large_drop(|| merge(&runs));
        });
    }
    group.finish();
}

/// The rows of a segment without an end, their payload in frames as the cache's writer lays it.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    frame: u32,
    /// Sectors of the frame that have payload.
    used: u64,
}

impl Rows {
    fn add(&mut self, start: u64, sectors: u64, zero: bool) {
        let frame_sectors = u64::from(FRAME_BYTES_DEFAULT) / SECTOR;
        if zero {
            self.push(RowKind::Zero, start, sectors);
            return;
        }
        let mut at = start;
        while at < start + sectors {
            let left = (start + sectors - at).min(frame_sectors);
            if self.used + left > frame_sectors {
                (self.frame, self.used) = (self.frame + 1, 0);
            }
            let offset = u16::try_from(self.used).expect("a frame is small");
            let frame = self.frame;
            self.push(RowKind::Write { frame, offset }, at, left);
            self.used += left;
            at += left;
        }
    }

    fn push(&mut self, kind: RowKind, start: u64, sectors: u64) {
        self.rows.push(Row {
            kind,
            continued: false,
            disk: 0,
            sectors: u32::try_from(sectors).expect("writes are small"),
            start,
        });
    }

    fn extents(&self) -> Vec<Extent> {
        let numbered = self.rows.iter().zip(0..);
        let extents = numbered.map(|(row, rank)| Extent {
            rank,
            ..extent(row)
        });
        extents.collect()
    }
}

fn extent(row: &Row) -> Extent {
    let (frame, offset) = match row.kind {
        RowKind::Write { frame, offset } => (frame, offset),
        RowKind::Zero | RowKind::Marker => (Extent::ZERO, 0),
    };
    Extent {
        start: row.start,
        sectors: row.sectors,
        rank: 0,
        object: 0,
        frame,
        offset,
        disk: row.disk,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the log is read as the command reads it"
)]
fn recorded(path: &str) -> Rows {
    let file = File::open(path).expect("AFTERIMAGE_BENCH_LOG names a file");
    let input = decompressing(Box::new(file)).expect("the log can be read");
    let mut log = LogReader::open(input).expect("it is a write log");
    let mut rows = Rows::default();
    while let Some(entry) = log.next_entry().expect("the log is whole") {
        let is_zero = match entry.action {
            Action::Write => false,
            Action::Discard => true,
            Action::Mark(_) | Action::FlushOnly => continue,
        };
        rows.add(entry.start / SECTOR, entry.length / SECTOR, is_zero);
    }
    rows
}

/// What is timed of an interval.
fn interval(rows: &Rows) -> (Vec<Extent>, Density) {
    let mut coalescer = Coalescer::new();
    for row in &rows.rows {
        coalescer.push(extent(row));
    }
    let live = coalescer.finish();
    let density = Density::count(&[size(u64::from(rows.frame)) + 1], &live);
    (live, density)
}

fn merge(layers: &[Vec<Extent>]) -> Vec<Extent> {
    let numbered = layers.iter().zip(0..);
    let runs = numbered.map(|(layer, rank)| {
        let extents = layer.iter();
        extents.map(move |extent| Ok::<_, Infallible>(Extent { rank, ..*extent }))
    });
    let live = Sweep::new(Merge::new(runs.collect()));
    live.map(|extent| match extent {
        Ok(extent) => extent,
        Err(never) => match never {},
    })
    .collect()
}

/// Compares with one entry a sector: where its payload lies.
fn check(written: &[Extent], live: &[Extent]) {
    let end = written.iter().map(Extent::end).max().unwrap_or(0);
    let paint = |extents: &[Extent]| {
        let mut sectors = vec![None; size(end)];
        for extent in extents {
            for (sector, at) in (extent.start..extent.end()).zip(0u64..) {
                let slot = sectors.get_mut(size(sector)).expect("it is on the disk");
                let zero = extent.is_zero();
                let offset = if zero {
                    0
                } else {
                    u64::from(extent.offset) + at
                };
                *slot = Some((extent.frame, offset));
            }
        }
        sectors
    };
    assert!(paint(written) == paint(live), "the live extents are wrong");
    let covered = paint(live).iter().filter(|sector| sector.is_some()).count();
    let sectors: u64 = live.iter().map(|extent| u64::from(extent.sectors)).sum();
    assert_eq!(sectors, count(covered), "extents overlap");
}
