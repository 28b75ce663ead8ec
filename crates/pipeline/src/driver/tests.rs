//! What runs beside the stages: it hears of heads and asks for changes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use afterimage_changelog::ObjectId;
use afterimage_recovery::{Change, Replacement, load_head};

use super::{Beside, Driver, Maintain};
use crate::{
    Event,
    error::{Error, ErrorKind},
    figures::{CREW, Figures},
    in_use::InUse,
    stages::{open, tests::parts},
};

/// Far longer than any run takes.
const LONG: Duration = Duration::from_secs(120);

/// Runs a pipeline over some intervals with something beside it; gives how many points were made.
fn run(intervals: u8, maintain: &Maintain<'_>) -> (crate::IngestParts, Result<u64, Error>) {
    let parts = parts(intervals);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let figures = Figures::new(&parts.group, Arc::clone(&parts.clock), CREW);
    let pool = pool.unwrap();
    let driver = Driver {
        parts: &parts,
        pool: &pool,
        replica_pool: &pool,
        replicas: &[],
        in_use: &InUse::default(),
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
    let (parts, ran) = run(20, &|Beside { heads, asker, .. }| {
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
    let (_, ran) = run(20, &|Beside { heads, asker, .. }| {
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
fn who_asks_of_a_committer_that_failed_is_told_and_the_run_ends() {
    let parts = parts(40);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let (ended, ends) = std::sync::mpsc::channel();
    // Where it fails again the thread stays behind, and the test does not.
    let run = move || {
        let pool = pool.unwrap();
        let figures = Figures::new(&parts.group, Arc::clone(&parts.clock), CREW);
        let stages = open(&parts).unwrap();
        // Another worker takes over.
        drop(open(&parts).unwrap());
        let driver = Driver {
            parts: &parts,
            pool: &pool,
            replica_pool: &pool,
            replicas: &[],
            in_use: &InUse::default(),
            poll: None,
            figures: &figures,
            maintain: &|Beside { heads, asker, .. }| {
                for _ in heads {}
                let asked = pool.install(|| asker.commit(keep("1d:all")));
                ended.send(asked.unwrap_err().kind()).unwrap();
            },
        };
        let ran = driver.run(stages, &mut |_| {});
        ended.send(ran.unwrap_err().kind()).unwrap();
    };
    std::thread::Builder::new().spawn(run).unwrap();
    let told: Vec<ErrorKind> = (0..2)
        .map(|_| ends.recv_timeout(LONG).expect("the run ends"))
        .collect();
    assert_eq!(told, [ErrorKind::Stopped, ErrorKind::Fenced]);
}

#[test]
fn the_last_head_can_still_be_changed() {
    let (parts, ran) = run(3, &|Beside { heads, asker, .. }| {
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
