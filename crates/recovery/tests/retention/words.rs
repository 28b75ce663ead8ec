//! What an operator reads.

use afterimage_changelog::{Digest, Epoch, MarkerKind, ObjectId, Timestamp};
use afterimage_recovery::{
    LayerRef, Point,
    retention::{Candidate, Hold, HoldReason, Period, Slot, decide},
};

use crate::series::{DAY, HOUR, JANUARY, LATER, MINUTE, SECOND, crash, keep};

fn words(points: &[Candidate], policy: &str, holds: &[Hold], now: Timestamp) -> Vec<String> {
    let decisions = decide(points, &keep(policy), holds, now);
    let line = |decision: &afterimage_recovery::retention::Decision| {
        let verb = if decision.keep { "keep" } else { "drop" };
        format!("{verb} {}: {}", decision.id, decision.reason)
    };
    decisions.iter().map(line).collect()
}

fn hold(point: u64, reason: HoldReason, until: Option<u64>) -> Hold {
    Hold {
        point,
        reason,
        until: until.map(Timestamp),
    }
}

fn pinned(text: &str) -> HoldReason {
    HoldReason::Pinned(text.to_owned())
}

#[test]
fn each_decision_says_why() {
    let user = |id, time| Candidate {
        kind: MarkerKind::User,
        ..crash(id, time)
    };
    let newest = JANUARY + 20 * DAY + 16 * HOUR;
    let points = [
        crash(1, newest - 16 * DAY),
        crash(2, newest - 16 * DAY + MINUTE),
        crash(3, newest - 16 * DAY + 2 * MINUTE),
        user(4, newest - 16 * DAY + 3 * MINUTE),
        crash(5, newest - 3 * DAY - 2 * HOUR),
        crash(6, newest - 3 * DAY - 7 * MINUTE),
        crash(7, newest - HOUR),
        crash(8, newest),
    ];
    let holds = [
        hold(2, pinned("before upgrade"), Some(newest + DAY)),
        hold(3, HoldReason::InUse("the replica r1.img".to_owned()), None),
    ];
    assert_eq!(
        words(&points, "asr:15d; user:forever", &holds, Timestamp(newest)),
        [
            "drop 1: older than 15d",
            "keep 2: pinned until 2026-01-22 16:00:00 UTC (\"before upgrade\")",
            "keep 3: in use by the replica r1.img",
            "keep 4: all user points, forever",
            "drop 5: passed over: point 6 stands for 2026-01-18 14:00-16:00 UTC",
            "keep 6: the one of 2026-01-18 14:00-16:00 UTC (every 2h up to 7d)",
            "keep 7: all points younger than 2h",
            "keep 8: newest",
        ]
    );
    assert_eq!(
        words(&points[..2], "forever", &[], LATER),
        ["keep 1: all points, forever", "keep 2: newest"]
    );
}

#[test]
fn a_hold_counts_until_it_ends_and_the_longest_is_named() {
    let points = [crash(1, JANUARY), crash(2, JANUARY + DAY)];
    let end = JANUARY + 2 * DAY;
    let short = hold(1, pinned("short"), Some(end - 1));
    let long = hold(1, pinned(""), Some(end));
    let endless = hold(1, HoldReason::InUse("a drill".to_owned()), None);
    let first =
        |holds: &[Hold], now: u64| words(&points, "journal:1h", holds, Timestamp(now)).remove(0);
    let both = [long.clone(), short.clone()];
    assert_eq!(
        first(&both, end - 1),
        "keep 1: pinned until 2026-01-03 00:00:00 UTC"
    );
    assert_eq!(first(&both, end), "drop 1: older than 1h");
    assert_eq!(
        first(&[short, endless, long], end - 2),
        "keep 1: in use by a drill"
    );
    assert_eq!(
        first(&[hold(1, pinned("a"), None)], end),
        "keep 1: pinned (\"a\")"
    );
}

fn slot(time: u64, width: u64) -> String {
    let width = Period::from_seconds(width / SECOND).unwrap();
    Slot::of(Timestamp(time), width).to_string()
}

#[test]
fn a_slot_is_said_with_no_more_than_it_needs() {
    let time = JANUARY + 14 * DAY + 15 * HOUR + 59 * MINUTE;
    assert_eq!(slot(time, 2 * HOUR), "2026-01-15 14:00-16:00 UTC");
    assert_eq!(slot(time, 10 * MINUTE), "2026-01-15 15:50-16:00 UTC");
    assert_eq!(slot(time, 90 * SECOND), "2026-01-15 15:58:30-16:00:00 UTC");
    assert_eq!(
        slot(time + 7 * HOUR, 4 * HOUR),
        "2026-01-15 20:00-24:00 UTC"
    );
    assert_eq!(slot(time, DAY), "2026-01-15 UTC");
    assert_eq!(
        slot(time, 7 * DAY),
        "2026-01-15 00:00 to 2026-01-22 00:00 UTC"
    );
    assert_eq!(slot(time, 5 * HOUR), "2026-01-15 13:00-18:00 UTC");
    assert_eq!(
        slot(time + 5 * HOUR, 5 * HOUR),
        "2026-01-15 18:00-23:00 UTC"
    );
    assert_eq!(
        slot(time + 8 * HOUR, 5 * HOUR),
        "2026-01-15 23:00 to 2026-01-16 04:00 UTC"
    );
}

#[test]
fn a_slot_at_the_end_of_all_times_can_be_said() {
    let last = Slot::of(Timestamp(u64::MAX), Period::MAX);
    assert_eq!(last.last(), Timestamp(u64::MAX));
    assert!(last.start() < Timestamp(u64::MAX));
    assert!(last.to_string().starts_with("58"), "{last}");
}

/// Days counted one by one through the months, as on a calendar.
#[test]
fn dates_are_those_of_a_calendar_walked_day_by_day() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let mut number = 0;
    while year < 2600 {
        let date = format!("{year:04}-{month:02}-{day:02} UTC");
        assert_eq!(slot(number * DAY + HOUR, DAY), date);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 31,
        };
        (number, day) = (number + 1, day + 1);
        if day > days {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
}

#[test]
fn a_point_of_a_manifest_can_be_decided_on() {
    let point = Point {
        id: 7,
        kind: MarkerKind::Application,
        name: "nightly".to_owned(),
        time: Timestamp(JANUARY),
        cut: ObjectId([1; 16]),
        table: 0,
        changed_bytes: 512,
        sequences: Vec::new(),
        layers: vec![LayerRef {
            epoch: Epoch(1),
            id: ObjectId([2; 16]),
            object_bytes: 1,
            digest: Digest::NONE,
        }],
    };
    let candidate = Candidate {
        id: 7,
        kind: MarkerKind::Application,
        time: Timestamp(JANUARY),
    };
    assert_eq!(Candidate::from(&point), candidate);
}
