//! The stages in a loop.

use std::sync::Arc;

use afterimage_cache::{SegmentLimits, StreamReader, StreamWriter, WriterOptions};
use afterimage_changelog::{Disk, MarkerKind, Name, ObjectId, SectorSize, Timestamp};
use afterimage_recovery::name::manifest_prefix;
use afterimage_storage::{Key, MemoryStore, Nonces, Store};

use super::{Sealed, Stages, open};
use crate::ingest::IngestParts;

/// A cache with so many intervals of one write, each in a segment of its own, and an empty target.
pub(crate) fn parts(intervals: u8) -> IngestParts {
    let cache: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let nonces = Arc::new(Nonces::from_os());
    let name = |text: &str| text.parse::<Name>().unwrap();
    let options = WriterOptions {
        group: name("shop"),
        stream: name("main"),
        disks: vec![Disk::new(name("root"), 1 << 20, SectorSize::B512).unwrap()],
        limits: SegmentLimits::default(),
        level: 1,
    };
    let mut writer = StreamWriter::open(Arc::clone(&cache), Arc::clone(&nonces), options).unwrap();
    for fill in 1..=intervals {
        let now = Timestamp(1_000_000 * u64::from(fill));
        // Backwards, so that no layer goes on where the one before ended.
        let sector = 256 - u64::from(fill);
        writer.write(0, sector, &[fill; 512], now).unwrap();
        let cut = ObjectId(nonces.next());
        writer.mark(MarkerKind::Crash, "", cut, now).unwrap();
        writer.seal().unwrap();
    }
    IngestParts {
        group: name("shop"),
        stream: name("main"),
        cache,
        target: Arc::new(MemoryStore::new()),
        nonces,
        clock: Arc::new(|| Timestamp(300_000_000)),
        memory: 64 << 20,
        rewind: false,
    }
}

/// All that is in the cache, sealed.
pub(crate) fn sealed(parts: &IngestParts, stages: &mut Stages) -> Vec<Sealed> {
    let IngestParts {
        group,
        stream,
        cache,
        target,
        ..
    } = parts;
    let mut reader = StreamReader::new(
        Arc::clone(cache),
        group.clone(),
        stream.clone(),
        stages.position,
    );
    let mut sealed = Vec::new();
    while let Some(segment) = reader.next_segment().unwrap() {
        stages.read.set(segment.end().segment);
        stages.cutter.push(segment).unwrap();
        while let Some(part) = stages.cutter.pull().unwrap() {
            let moved = stages.mover.move_part(part).unwrap();
            sealed.push(moved.seal(target.as_ref(), group).unwrap());
        }
    }
    sealed
}

/// A cache and a target where everything in the cache is points.
pub(crate) fn committed(intervals: u8) -> IngestParts {
    let parts = parts(intervals);
    let mut stages = open(&parts).unwrap();
    for part in sealed(&parts, &mut stages) {
        stages.commits.push(part);
    }
    stages.commits.commit().unwrap();
    parts
}

fn objects(parts: &IngestParts, prefix: &Key) -> usize {
    parts.target.list(prefix, None, usize::MAX).unwrap().len()
}

fn layers() -> Key {
    Key::new("shop/layers").unwrap()
}

#[test]
fn what_is_ready_is_one_manifest() {
    let parts = parts(7);
    let mut stages = open(&parts).unwrap();
    for part in sealed(&parts, &mut stages) {
        stages.commits.push(part);
    }
    let committed = stages.commits.commit().unwrap().unwrap();
    let ids: Vec<u64> = committed.reports.iter().map(|point| point.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7]);
    assert!(committed.reports.iter().all(|point| point.manifest == 1));
    assert!(committed.reports.iter().all(|point| point.records == 2));
    assert_eq!(committed.position.segment, 6);
    assert_eq!(objects(&parts, &manifest_prefix(&parts.group)), 2);
    assert!(stages.commits.commit().unwrap().is_none());
}

#[test]
#[should_panic(expected = "parts are committed in their order")]
fn a_part_that_overtakes_another_is_not_committed() {
    let parts = parts(2);
    let mut stages = open(&parts).unwrap();
    for part in sealed(&parts, &mut stages).into_iter().rev() {
        stages.commits.push(part);
    }
}

#[test]
fn what_is_sealed_and_not_committed_is_deleted() {
    let parts = parts(3);
    let mut stages = open(&parts).unwrap();
    for part in sealed(&parts, &mut stages) {
        stages.commits.push(part);
    }
    assert_eq!(objects(&parts, &layers()), 3);
    stages.commits.abandon();
    assert_eq!(objects(&parts, &layers()), 0);
}
