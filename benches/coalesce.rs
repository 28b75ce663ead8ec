//! The operator on a million records: from writes to live extents, and layers merged.

use std::convert::Infallible;

use afterimage::changelog::{SECTOR, count, limits::FRAME_BYTES_DEFAULT, size};
use afterimage_benches::word;
use afterimage_coalesce::{Extent, Merge, Sweep, coalesce};
use afterimage_testkit::Workload;
use criterion::{BatchSize, Criterion, Throughput};

const RECORDS: usize = 1_000_000;
const DISK_BYTES: u64 = 1 << 30;
const LAYERS: usize = 10;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for workload in Workload::ALL {
        let extents = extents(workload);
        check(&extents, &coalesce(extents.clone()));
        let mut group = criterion.benchmark_group("coalesce");
        group.sample_size(10);
        group.throughput(Throughput::Bytes(bytes(&extents)));
        let name = format!("interval/{}", word(workload));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(|| extents.clone(), coalesce, BatchSize::PerIteration);
        });

        let layers: Vec<Vec<Extent>> = extents
            .chunks(RECORDS / LAYERS)
            .map(|interval| coalesce(interval.to_vec()))
            .collect();
        check(&extents, &merge(&layers));
        let sum = layers.iter().map(|layer| bytes(layer)).sum();
        group.throughput(Throughput::Bytes(sum));
        let name = format!("layers/{}", word(workload));
        group.bench_function(name, |bencher| bencher.iter(|| merge(&layers)));
        group.finish();
    }
    criterion.final_summary();
}

/// The records of a guest, their payload in frames as the cache's writer would lay it.
fn extents(workload: Workload) -> Vec<Extent> {
    let frame_sectors = u64::from(FRAME_BYTES_DEFAULT) / SECTOR;
    let (mut frame, mut used) = (0, 0);
    let writes = workload.writes(1, 1, DISK_BYTES, RECORDS);
    let records = writes.iter().zip(0u32..).map(|(write, rank)| {
        let sectors = u64::from(write.len) / SECTOR;
        if !write.zero && used + sectors > frame_sectors {
            (frame, used) = (frame + 1, 0);
        }
        let offset = if write.zero { 0 } else { used };
        used += if write.zero { 0 } else { sectors };
        Extent {
            start: write.offset / SECTOR,
            sectors: u32::try_from(sectors).expect("writes are small"),
            rank,
            object: 0,
            frame: if write.zero { Extent::ZERO } else { frame },
            offset: u16::try_from(offset).expect("a frame is small"),
            disk: write.disk,
        }
    });
    records.collect()
}

fn merge(layers: &[Vec<Extent>]) -> Vec<Extent> {
    let run = |layer: &Vec<Extent>| layer.clone().into_iter().map(Ok::<_, Infallible>);
    let runs = layers.iter().map(run).collect();
    let live = Sweep::new(Merge::new(runs));
    live.map(|extent| match extent {
        Ok(extent) => extent,
        Err(never) => match never {},
    })
    .collect()
}

fn bytes(extents: &[Extent]) -> u64 {
    let sectors = extents.iter().map(|extent| u64::from(extent.sectors));
    sectors.sum::<u64>() * SECTOR
}

/// Compares with one entry a sector: where its payload lies.
fn check(written: &[Extent], live: &[Extent]) {
    let paint = |extents: &[Extent]| {
        let mut sectors = vec![None; size(DISK_BYTES / SECTOR)];
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
    assert_eq!(bytes(live), count(covered) * SECTOR, "extents overlap");
}
