//! Upkeep beside one and the same worker.

use afterimage_recovery::{
    Committer, IndexLimits, PointReader, compact::CompactionSettings, name::kept_key,
};

use super::*;
use crate::{
    ingest::IngestParts,
    stages::{
        open,
        tests::{committed, parts, sealed},
    },
};

pub(super) fn tools(parts: &IngestParts, upkeep: Upkeep) -> Tools {
    Tools {
        group: parts.group.clone(),
        target: Arc::clone(&parts.target),
        nonces: Arc::clone(&parts.nonces),
        clock: Arc::clone(&parts.clock),
        upkeep,
        memory: 64 << 20,
        in_use: InUse::default(),
    }
}

/// Upkeep that had committed an index was told of the head before it, which its queue still held,
/// took the index for garbage and deleted it: the newest manifest named what was not there.
#[test]
fn an_older_head_makes_no_garbage_of_what_was_committed_since() {
    let parts = committed(8);
    let mut committer: Committer = open(&parts).unwrap().commits.into_committer();
    let upkeep = Upkeep {
        index: IndexLimits {
            fan_out: 2,
            ..IndexLimits::default()
        },
        ..Upkeep::default()
    };
    let old = Arc::new(committer.head().clone());
    let mut maintenance = Maintenance::open(&tools(&parts, upkeep), &old).unwrap();
    let mut newest = Arc::clone(&old);
    for due in [false, true] {
        let mut commit = |change| {
            newest = Arc::new(committer.commit(change, Timestamp(9))?.clone());
            Ok(Arc::clone(&newest))
        };
        maintenance
            .tend(&old, due, &mut Tended::default(), &mut commit)
            .unwrap();
    }
    assert!(!newest.manifest.indexes.is_empty());
    for point in &newest.manifest.points {
        PointReader::open(&parts.target, &newest.manifest, point.id).unwrap();
    }
}

/// Beside one and the same ingest.
#[test]
fn every_kept_segment_that_a_manifest_names_is_there_after_trimming() {
    let parts = IngestParts {
        rewind: true,
        ..parts(12)
    };
    let mut stages = open(&parts).unwrap();
    let sealed = sealed(&parts, &mut stages);
    let upkeep = Upkeep {
        rewind: Some(Duration::from_secs(2)),
        ..Upkeep::default()
    };
    let head = Arc::new(stages.commits.head().clone());
    let mut maintenance = Maintenance::open(&tools(&parts, upkeep), &head).unwrap();
    for part in sealed {
        stages.commits.push(part);
        stages.commits.commit().unwrap();
        for trim in [false, true] {
            let head = Arc::new(stages.commits.head().clone());
            if trim {
                let mut commit = |change| Ok(Arc::new(stages.commits.change(change)?.clone()));
                maintenance
                    .tend(&head, true, &mut Tended::default(), &mut commit)
                    .unwrap();
            }
            let head = stages.commits.head();
            let stream = head.manifest.streams.first().unwrap();
            for number in stream.kept_from()..=stream.position.segment {
                let key = kept_key(&parts.group, &stream.name, number);
                assert!(parts.target.size(&key).is_ok(), "{key}");
            }
            assert!(!trim || stream.kept <= 4, "{} are kept", stream.kept);
            assert!(stream.kept >= 3.min(stream.position.segment + 1));
        }
    }
}

/// A policy let the point go that the oldest writes of the window are reached from.
#[test]
fn the_point_that_the_window_is_reached_from_stays() {
    let parts = IngestParts {
        rewind: true,
        ..parts(12)
    };
    let mut stages = open(&parts).unwrap();
    for part in sealed(&parts, &mut stages) {
        stages.commits.push(part);
    }
    stages.commits.commit().unwrap();
    let upkeep = Upkeep {
        keep: Some("1s:all,4m:2m".parse().unwrap()),
        rewind: Some(Duration::from_secs(3)),
        ..Upkeep::default()
    };
    let head = Arc::new(stages.commits.head().clone());
    let mut maintenance = Maintenance::open(&tools(&parts, upkeep), &head).unwrap();
    let mut commit = |change| Ok(Arc::new(stages.commits.change(change)?.clone()));
    maintenance
        .tend(&head, true, &mut Tended::default(), &mut commit)
        .unwrap();
    let points = &stages.commits.head().manifest.points;
    let ids: Vec<u64> = points.iter().map(|point| point.id).collect();
    assert!(ids.len() < 5 && ids.contains(&9), "{ids:?}");
}

/// A replica was being brought forward while the layers that it read were compacted, and found
/// them deleted.
#[test]
fn what_another_thread_reads_from_stays_until_it_has_read() {
    let parts = committed(8);
    let mut committer: Committer = open(&parts).unwrap().commits.into_committer();
    let upkeep = Upkeep {
        keep: Some("1s:all".parse().unwrap()),
        compact: Some(CompactionSettings {
            runs_max: 2,
            ..CompactionSettings::default()
        }),
        ..Upkeep::default()
    };
    let tools = tools(&parts, upkeep);
    let old = Arc::new(committer.head().clone());
    let mut newest = Arc::clone(&old);
    let mut commit = |change| {
        newest = Arc::new(committer.commit(change, Timestamp(9))?.clone());
        Ok(Arc::clone(&newest))
    };
    let reads = |head: &Head| {
        let point = head.manifest.points.last().unwrap().id;
        let reader = PointReader::open(&parts.target, &head.manifest, point)?;
        reader.read_at(&"root".parse().unwrap(), 0, &mut vec![0; 1 << 20])
    };
    let mut maintenance = Maintenance::open(&tools, &old).unwrap();
    let reading = tools.in_use.read(Arc::clone(&old));
    let tended = maintenance.tend_all(&Stop::default(), &mut commit).unwrap();
    assert!(
        tended.compacted > 0 && tended.collected.held > 0,
        "{tended:?}"
    );
    reads(&old).unwrap();
    drop(reading);
    let late = tools.in_use.read(Arc::clone(&old));
    assert!(late.head().manifest.number > old.manifest.number);
    drop(late);
    let tended = maintenance.tend_all(&Stop::default(), &mut commit).unwrap();
    assert!(tended.collected.objects > 0, "{tended:?}");
    assert!(reads(&old).is_err());
    reads(&newest).unwrap();
}
