//! Upkeep beside one and the same worker.

use afterimage_recovery::{Committer, PointReader, name::kept_key};

use super::*;
use crate::{
    ingest::IngestParts,
    stages::{
        open,
        tests::{committed, parts, sealed},
    },
};

/// Upkeep that had committed an index was told of the head before it, which its queue still held,
/// took the index for garbage and deleted it: the newest manifest named what was not there.
#[test]
fn an_older_head_makes_no_garbage_of_what_was_committed_since() {
    let parts = committed(8);
    let (target, nonces) = (&parts.target, &parts.nonces);
    let mut committer: Committer = open(&parts).unwrap().commits.into_committer();
    let old = committer.head().clone();
    let upkeep = Upkeep {
        index: IndexLimits {
            fan_out: 2,
            ..IndexLimits::default()
        },
        ..Upkeep::default()
    };
    let clock = Arc::clone(&parts.clock);
    let maintenance =
        Maintenance::open(Arc::clone(target), Arc::clone(nonces), clock, upkeep, &old);
    let mut maintenance = maintenance.unwrap();
    let mut newest = old.clone();
    for due in [false, true] {
        let mut commit = |change| {
            newest.clone_from(committer.commit(change, Timestamp(9))?);
            Ok(newest.clone())
        };
        let mut pace = |_bytes| ControlFlow::Continue(());
        maintenance.tend(&old, due, &mut commit, &mut pace).unwrap();
    }
    assert!(!newest.manifest.indexes.is_empty());
    for point in &newest.manifest.points {
        PointReader::open(target, &newest.manifest, point.id).unwrap();
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
    let IngestParts {
        target,
        nonces,
        clock,
        ..
    } = &parts;
    let head = stages.commits.head();
    let (store, ids) = (Arc::clone(target), Arc::clone(nonces));
    let maintenance = Maintenance::open(store, ids, Arc::clone(clock), upkeep, head);
    let mut maintenance = maintenance.unwrap();
    for part in sealed {
        stages.commits.push(part);
        stages.commits.commit().unwrap();
        for trim in [false, true] {
            let head = stages.commits.head().clone();
            if trim {
                let mut commit = |change| Ok(stages.commits.change(change)?.clone());
                let mut pace = |_bytes| ControlFlow::Continue(());
                maintenance
                    .tend(&head, true, &mut commit, &mut pace)
                    .unwrap();
            }
            let head = stages.commits.head();
            let stream = head.manifest.streams.first().unwrap();
            for number in stream.kept_from()..=stream.position.segment {
                let key = kept_key(&parts.group, &stream.name, number);
                assert!(target.size(&key).is_ok(), "{key}");
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
    let head = stages.commits.head().clone();
    let (store, ids) = (Arc::clone(&parts.target), Arc::clone(&parts.nonces));
    let maintenance = Maintenance::open(store, ids, Arc::clone(&parts.clock), upkeep, &head);
    let mut maintenance = maintenance.unwrap();
    let mut commit = |change| Ok(stages.commits.change(change)?.clone());
    let mut pace = |_bytes| ControlFlow::Continue(());
    maintenance
        .tend(&head, true, &mut commit, &mut pace)
        .unwrap();
    let points = &stages.commits.head().manifest.points;
    let ids: Vec<u64> = points.iter().map(|point| point.id).collect();
    assert!(ids.len() < 5 && ids.contains(&9), "{ids:?}");
}
