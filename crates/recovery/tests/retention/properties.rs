//! What holds for any points, any policy and any holds.

use std::collections::BTreeSet;

use afterimage_changelog::{MarkerKind, Timestamp};
use afterimage_recovery::retention::{
    Candidate, Hold, HoldReason, Keep, Reason, Rule, Step, decide,
};
use proptest::prelude::*;

use crate::series::{SECOND, kept};

const KINDS: [MarkerKind; 3] = [MarkerKind::Crash, MarkerKind::Application, MarkerKind::User];

/// Ladders of seconds, so that a few dozen points reach over all rungs and their borders.
fn ladder() -> impl Strategy<Value = String> {
    let rungs = prop::collection::vec((1..40u64, 1..4u64), 1..5);
    (any::<bool>(), 1..6u64, rungs).prop_map(|(all, first, rungs)| {
        let (mut until, mut every) = (0, first);
        let texts = rungs.iter().enumerate().map(|(at, (further, times))| {
            until += further;
            if at == 0 && all {
                return format!("{until}s:all");
            }
            every *= times;
            format!("{until}s:{every}s")
        });
        texts.collect::<Vec<_>>().join(",")
    })
}

fn rule() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => ladder(),
        1 => (1..60u64).prop_map(|seconds| format!("journal:{seconds}s")),
        1 => Just("forever".to_owned()),
    ]
}

fn policy() -> impl Strategy<Value = Keep> {
    let own = || prop::option::weighted(0.3, rule());
    (rule(), own(), own(), own()).prop_map(|(mut text, crash, application, user)| {
        for (kind, rule) in KINDS.iter().zip([crash, application, user]) {
            if let Some(rule) = rule {
                text += &format!("; {}:{rule}", kind.word());
            }
        }
        text.parse().unwrap()
    })
}

fn with_ids(points: Vec<(u64, usize)>) -> Vec<Candidate> {
    let points = (1..).zip(points);
    let candidates = points.map(|(id, (time, kind))| Candidate {
        id,
        kind: KINDS[kind],
        time: Timestamp(time),
    });
    candidates.collect()
}

/// Points as a good clock makes them: now and then two at the same time, now and then a long pause.
fn orderly() -> impl Strategy<Value = Vec<Candidate>> {
    let gap = prop_oneof![
        1 => Just(0),
        4 => 0..3 * SECOND,
        4 => (1..4u64).prop_map(|seconds| seconds * SECOND),
        1 => 0..60 * SECOND,
    ];
    let point = (gap, 0..KINDS.len());
    (0..1_000 * SECOND, prop::collection::vec(point, 1..60)).prop_map(|(mut time, mut points)| {
        for (gap, _) in &mut points {
            time += *gap;
            *gap = time;
        }
        with_ids(points)
    })
}

/// Points as a broken clock makes them.
fn disorderly() -> impl Strategy<Value = Vec<Candidate>> {
    let time = prop_oneof![
        8 => 0..100 * SECOND,
        1 => any::<u64>(),
        1 => (0..10u64).prop_map(|before| u64::MAX - before),
    ];
    prop::collection::vec((time, 0..KINDS.len()), 0..40).prop_map(with_ids)
}

fn holds() -> impl Strategy<Value = Vec<Hold>> {
    let until = prop::option::of((0..1_200 * SECOND).prop_map(Timestamp));
    let hold = (0..70u64, any::<bool>(), until).prop_map(|(point, pinned, until)| Hold {
        point,
        reason: if pinned {
            HoldReason::Pinned("a pin".to_owned())
        } else {
            HoldReason::InUse("a drill".to_owned())
        },
        until,
    });
    prop::collection::vec(hold, 0..5)
}

fn any_now() -> impl Strategy<Value = Timestamp> {
    let now = prop_oneof![0..120 * SECOND, any::<u64>(), Just(u64::MAX)];
    now.prop_map(Timestamp)
}

fn rule_of(kind: MarkerKind, keep: &Keep) -> &Rule {
    keep.own(kind).unwrap_or(keep.main())
}

/// Whether two points are under the same rule.
fn rivals(left: &Candidate, right: &Candidate, keep: &Keep) -> bool {
    left.kind == right.kind || (keep.own(left.kind).is_none() && keep.own(right.kind).is_none())
}

fn held(point: &Candidate, holds: &[Hold], now: Timestamp) -> bool {
    holds
        .iter()
        .any(|hold| hold.point == point.id && (hold.until.is_none() || hold.until.unwrap() > now))
}

/// The points of its field that share a point's slot, and the point itself; nothing where it is too old, and it
/// alone where all stay.
fn slot_of<'a>(
    point: &'a Candidate,
    points: &'a [Candidate],
    keep: &Keep,
    now: Timestamp,
) -> Vec<&'a Candidate> {
    let newest = points.iter().max_by_key(|point| point.id).unwrap();
    let Some(ladder) = rule_of(point.kind, keep).ladder() else {
        return vec![point];
    };
    let age = i128::from(newest.time.min(now).0) - i128::from(point.time.0);
    for rung in ladder.rungs() {
        if age > i128::from(rung.until.seconds()) * 1_000_000 {
            continue;
        }
        return match rung.step {
            Step::All => vec![point],
            Step::Every(every) => {
                let slot = |point: &Candidate| point.time.0 / (every.seconds() * 1_000_000);
                let same =
                    |other: &&Candidate| rivals(point, other, keep) && slot(other) == slot(point);
                points.iter().filter(same).collect()
            }
        };
    }
    Vec::new()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_point_and_the_held_ones_never_go(
        points in disorderly(), keep in policy(), holds in holds(), now in any_now(),
    ) {
        let stays = kept(&points, &keep, &holds, now);
        if let Some(newest) = points.iter().map(|point| point.id).max() {
            prop_assert!(stays.contains(&newest));
        }
        for point in &points {
            prop_assert!(!held(point, &holds, now) || stays.contains(&point.id));
        }
    }

    #[test]
    fn no_slot_that_was_promised_is_empty(
        points in disorderly(), keep in policy(), holds in holds(), now in any_now(),
    ) {
        let stays = kept(&points, &keep, &holds, now);
        for point in &points {
            let slot = slot_of(point, &points, &keep, now);
            let stands = slot.iter().any(|point| stays.contains(&point.id));
            prop_assert!(slot.is_empty() || stands, "{:?}", point);
        }
    }

    /// All of the rule at once, read slowly.
    #[test]
    fn a_point_stays_exactly_where_the_rule_says_so(
        points in disorderly(), keep in policy(), holds in holds(), now in any_now(),
    ) {
        let stays = kept(&points, &keep, &holds, now);
        for point in &points {
            let newest = points.iter().all(|other| other.id <= point.id);
            let slot = slot_of(point, &points, &keep, now);
            let latest = slot.iter().max_by_key(|point| (point.time, point.id));
            let stands = latest.is_some_and(|latest| latest.id == point.id);
            let expected = newest || held(point, &holds, now) || stands;
            prop_assert_eq!(stays.contains(&point.id), expected, "{:?}", point);
        }
    }

    #[test]
    fn a_point_is_passed_over_only_for_one_that_stays(
        points in disorderly(), keep in policy(), holds in holds(), now in any_now(),
    ) {
        let stays = kept(&points, &keep, &holds, now);
        for decision in decide(&points, &keep, &holds, now) {
            if let Reason::PassedOver { by, .. } = decision.reason {
                prop_assert!(stays.contains(&by));
            }
        }
    }

    #[test]
    fn what_stayed_stays_when_decided_again(
        points in disorderly(), keep in policy(), holds in holds(), now in any_now(),
    ) {
        let stays = kept(&points, &keep, &holds, now);
        let left: Vec<Candidate> =
            points.into_iter().filter(|point| stays.contains(&point.id)).collect();
        prop_assert_eq!(kept(&left, &keep, &holds, now), stays);
    }

    #[test]
    fn the_order_in_which_points_are_given_does_not_matter(
        (points, shuffled) in disorderly().prop_flat_map(|points| {
            (Just(points.clone()), Just(points).prop_shuffle())
        }),
        keep in policy(), holds in holds(), now in any_now(),
    ) {
        prop_assert_eq!(kept(&points, &keep, &holds, now), kept(&shuffled, &keep, &holds, now));
    }

    /// A hold adds itself and nothing else, so one that ends leaves no trace.
    #[test]
    fn a_hold_changes_nothing_but_its_own_point(
        points in disorderly(), keep in policy(), holds in holds(), now in any_now(),
    ) {
        let mut expected = kept(&points, &keep, &[], now);
        let counts = points.iter().filter(|point| held(point, &holds, now));
        expected.extend(counts.map(|point| point.id));
        prop_assert_eq!(kept(&points, &keep, &holds, now), expected);
    }

    #[test]
    fn what_goes_once_is_never_wanted_again(
        points in orderly(), keep in policy(), at in any::<prop::sample::Index>(),
    ) {
        let (early, _) = points.split_at(at.index(points.len()) + 1);
        let now = points.last().unwrap().time;
        let stayed = kept(early, &keep, &[], now);
        let stays = kept(&points, &keep, &[], now);
        let early: BTreeSet<u64> = early.iter().map(|point| point.id).collect();
        prop_assert!(stays.intersection(&early).all(|id| stayed.contains(id)));
    }

    /// Pruning after each point, after some of them, and once at the end leave the same points. The worker's
    /// clock may be behind the source's or before it.
    #[test]
    fn it_does_not_matter_how_often_one_prunes(
        points in orderly(),
        keep in policy(),
        holds in holds(),
        prunes in prop::collection::vec(any::<bool>(), 60),
        behind in prop_oneof![Just(0), 0..50 * SECOND],
        before in prop_oneof![Just(0), 0..50 * SECOND],
    ) {
        let now = |point: &Candidate| Timestamp((point.time.0 + before).saturating_sub(behind));
        let mut always: Vec<Candidate> = Vec::new();
        let mut sometimes: Vec<Candidate> = Vec::new();
        for (point, prune) in points.iter().zip(&prunes) {
            always.push(*point);
            let stays = kept(&always, &keep, &holds, now(point));
            always.retain(|point| stays.contains(&point.id));
            sometimes.push(*point);
            if *prune {
                let stays = kept(&sometimes, &keep, &holds, now(point));
                sometimes.retain(|point| stays.contains(&point.id));
            }
        }
        let end = now(points.last().unwrap());
        let once = kept(&points, &keep, &holds, end);
        prop_assert_eq!(kept(&always, &keep, &holds, end), once.clone());
        prop_assert_eq!(kept(&sometimes, &keep, &holds, end), once);
    }

    /// The worker's clock can only make points younger.
    #[test]
    fn whatever_now_is_what_is_kept_without_it_stays(
        points in disorderly(), keep in policy(), now in any_now(),
    ) {
        let plain = kept(&points, &keep, &[], Timestamp(u64::MAX));
        prop_assert!(kept(&points, &keep, &[], now).is_superset(&plain));
    }
}
