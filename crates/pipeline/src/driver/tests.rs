//! What runs beside the stages: it hears of heads and asks for changes.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use afterimage_changelog::{ObjectId, Timestamp};
use afterimage_recovery::{
    Change, Committer, PointReader, Replacement,
    compact::{Limits, Rewrite, Shape, rewrite},
    holds::list_holds,
    load_head,
};
use afterimage_storage::{Disk as _, FileDisk};
use crossbeam_channel::bounded;

use super::{Asker, Driver, Following, Maintain, Told};
use crate::{
    Event, IngestParts, ReplicaSpec, Upkeep,
    error::{Error, ErrorKind},
    figures::Figures,
    maintain::Maintenance,
    stages::{
        open,
        tests::{committed, parts},
    },
    stop::Stop,
};

/// Far longer than any run takes.
const LONG: Duration = Duration::from_secs(120);

/// Runs a pipeline over some intervals with something beside it; gives how many points were made.
fn run(intervals: u8, maintain: &Maintain<'_>) -> (IngestParts, Result<u64, Error>) {
    let parts = parts(intervals);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let figures = Figures::new(&parts.group, Arc::clone(&parts.clock));
    let driver = Driver {
        parts: &parts,
        pool: &pool.unwrap(),
        replicas: &[],
        poll: None,
        figures: &figures,
        maintain,
    };
    let mut points = 0;
    let ran = driver.run(open(&parts).unwrap(), &mut |event| {
        points += u64::from(matches!(event, Event::Point { .. }));
    });
    (parts, ran.map(|()| points))
}

fn keep(policy: &str) -> Change {
    Change {
        keep: Some(policy.to_owned()),
        ..Change::default()
    }
}

/// A change that was decided on layers which are not there.
fn stale() -> Change {
    Change {
        replace: vec![Replacement {
            layers: vec![ObjectId([9; 16])],
            with: Vec::new(),
        }],
        ..Change::default()
    }
}

#[test]
fn changes_that_are_asked_for_are_committed_between_points() {
    let heads_seen = Mutex::new(0);
    let (parts, ran) = run(20, &|heads, asker: &Asker, _| {
        for (number, head) in heads.iter().enumerate() {
            let changed = asker.commit(keep(&format!("{number}d:all"))).unwrap();
            assert!(changed.manifest.number > head.manifest.number);
            assert!(changed.manifest.points.len() >= head.manifest.points.len());
            *heads_seen.lock().unwrap() += 1;
            // The change makes a head too; what is of interest are those with points.
            if changed.manifest.points.len() == 20 {
                break;
            }
        }
    });
    assert_eq!(ran.unwrap(), 20);
    assert!(*heads_seen.lock().unwrap() >= 1);
    let head = load_head(parts.target.as_ref(), &parts.group)
        .unwrap()
        .unwrap();
    assert_eq!(head.manifest.points.len(), 20);
    assert!(
        head.manifest.keep.ends_with("d:all"),
        "{}",
        head.manifest.keep
    );
}

#[test]
fn a_stale_change_is_refused_and_the_points_go_on() {
    let refusals = Mutex::new(Vec::new());
    let (_, ran) = run(20, &|heads, asker: &Asker, _| {
        if heads.recv().is_ok() {
            let refused = asker.commit(stale()).unwrap_err();
            refusals.lock().unwrap().push(refused.kind());
        }
    });
    assert_eq!(ran.unwrap(), 20);
    assert_eq!(*refusals.lock().unwrap(), [ErrorKind::Unavailable]);
}

/// Upkeep ran on the only thread of the stages' pool and waited for the committer, which had failed
/// and waited for the stages: the run never ended.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a run that does not end is left behind"
)]
fn who_asks_of_a_committer_that_failed_is_told_and_the_run_ends() {
    let parts = parts(40);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let (ended, ends) = std::sync::mpsc::channel();
    // Where it fails again the thread stays behind, and the test does not.
    std::thread::spawn(move || {
        let pool = pool.unwrap();
        let figures = Figures::new(&parts.group, Arc::clone(&parts.clock));
        let stages = open(&parts).unwrap();
        // Another worker takes over.
        drop(open(&parts).unwrap());
        let driver = Driver {
            parts: &parts,
            pool: &pool,
            replicas: &[],
            poll: None,
            figures: &figures,
            maintain: &|heads, asker: &Asker, _| {
                for _ in heads {}
                let asked = pool.install(|| asker.commit(keep("1d:all")));
                ended.send(asked.unwrap_err().kind()).unwrap();
            },
        };
        let ran = driver.run(stages, &mut |_| {});
        ended.send(ran.unwrap_err().kind()).unwrap();
    });
    let told: Vec<ErrorKind> = (0..2)
        .map(|_| ends.recv_timeout(LONG).expect("the run ends"))
        .collect();
    assert_eq!(told, [ErrorKind::Stopped, ErrorKind::Fenced]);
}

/// Upkeep compacts and collects what the newest head names while a replica still reads by the one
/// before, and no other head came: the replica failed, and with it the run.
#[test]
fn a_replica_gets_there_though_upkeep_collects_what_it_reads() {
    let parts = committed(8);
    let mut committer: Committer = open(&parts).unwrap().commits.into_committer();
    let drop = (1..8).collect();
    let change = Change {
        drop,
        ..Change::default()
    };
    let old = committer.commit(change, Timestamp(1)).unwrap().clone();
    let IngestParts {
        group,
        target,
        nonces,
        clock,
        ..
    } = &parts;
    let layers = old.manifest.points.first().unwrap().layers.clone();
    let job = Rewrite {
        store: target,
        nonces,
        group,
        epoch: old.manifest.epoch,
        created: Timestamp(2),
        level: 1,
        shape: Shape::Base,
        limits: Limits::of(Shape::Base),
    };
    let mut pace = |_bytes| ControlFlow::Continue(());
    let rewritten = rewrite(&job, &layers, &mut pace).unwrap().unwrap();
    let replacement = Replacement {
        layers: layers.iter().map(|layer| layer.id).collect(),
        with: rewritten.written.layers,
    };
    let change = Change {
        replace: vec![replacement],
        ..Change::default()
    };
    let new = committer.commit(change, Timestamp(2)).unwrap().clone();
    let (store, ids) = (Arc::clone(target), Arc::clone(nonces));
    let upkeep = Upkeep::default();
    let maintenance = Maintenance::open(store, ids, Arc::clone(clock), upkeep, &old);
    let mut commit = |change| Ok(committer.commit(change, Timestamp(2))?.clone());
    let tended = maintenance
        .unwrap()
        .tend(&new, true, &mut commit, &mut pace)
        .unwrap();
    assert!(tended.collected.objects > 3, "{tended:?}");
    assert!(PointReader::open(target, &old.manifest, 8).is_err());

    let folder = tempfile::tempdir().unwrap();
    let replicas = [ReplicaSpec {
        disk: "root".parse().unwrap(),
        path: folder.path().join("disk"),
        record: None,
        take_over: false,
    }];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let following = Following {
        parts: &parts,
        replicas: &replicas,
        pool: &pool.unwrap(),
        stop: &Stop::default(),
    };
    let (heads, heard) = bounded(1);
    heads.send(Arc::new(old)).unwrap();
    std::mem::drop(heads);
    let (tell, told) = bounded(8);
    following.run(&heard, &tell);
    std::mem::drop(tell);
    let told: Vec<Told> = told.iter().collect();
    let [Told::Event(Event::Replica(report))] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(report.point, 8);
    let disk = FileDisk::open(&folder.path().join("disk"), false).unwrap();
    for fill in 1..=8u8 {
        let mut sector = [0; 512];
        disk.read_at(512 * u64::from(fill), &mut sector).unwrap();
        assert_eq!(sector, [fill; 512]);
    }
    assert_eq!(list_holds(target.as_ref(), &parts.group).unwrap().len(), 1);
}

#[test]
fn the_last_head_can_still_be_changed() {
    let (parts, ran) = run(3, &|heads, asker: &Asker, _| {
        let last = heads.iter().last().unwrap();
        assert_eq!(last.manifest.points.len(), 3);
        asker.commit(keep("1d:all")).unwrap();
    });
    assert_eq!(ran.unwrap(), 3);
    let head = load_head(parts.target.as_ref(), &parts.group)
        .unwrap()
        .unwrap();
    assert_eq!(head.manifest.keep, "1d:all");
}
