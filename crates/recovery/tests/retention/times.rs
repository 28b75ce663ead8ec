//! Clocks that are wrong, clocks that stand still, and points on a grid.

use afterimage_changelog::Timestamp;

use crate::series::{DAY, HOUR, JANUARY, LATER, MINUTE, crash, keep, kept, points_at};

#[test]
fn no_points_are_no_decisions() {
    assert!(kept(&[], &keep("asr"), &[], LATER).is_empty());
}

#[test]
fn a_lone_point_stays_however_old_it_is() {
    let stays = kept(&[crash(5, 1)], &keep("1s:all"), &[], LATER);
    assert_eq!(Vec::from_iter(stays), [5]);
}

/// Nobody makes points any more; a year later the same ones are there.
#[test]
fn where_no_new_point_can_be_made_the_old_ones_stay() {
    let points = points_at((0..500).map(|at| JANUARY + at * 10 * MINUTE));
    let newest = points.last().unwrap().time;
    let then = kept(&points, &keep("asr:2d"), &[], newest);
    let a_year_later = Timestamp(newest.0 + 365 * DAY);
    assert_eq!(kept(&points, &keep("asr:2d"), &[], a_year_later), then);
}

/// An age that is the end of a rung belongs to it.
#[test]
fn the_end_of_a_rung_is_inclusive() {
    let newest = JANUARY + 10 * DAY;
    let ages = [DAY + 1, DAY, 2 * HOUR + 1, 2 * HOUR, 0];
    let points = points_at(ages.map(|age| newest - age));
    // Points 1 and 2 are apart by a microsecond and midnight, and so are not rivals.
    let stays = kept(&points, &keep("2h:all,1d:1h"), &[], LATER);
    assert_eq!(Vec::from_iter(stays), [2, 3, 4, 5]);
}

/// The source's clock was set to 2040 for one point. Counted from that point, all others would be too old.
#[test]
fn a_clock_that_ran_ahead_does_not_make_the_other_points_old() {
    let mut points = points_at((0..20).map(|at| JANUARY + at * 5 * MINUTE));
    let now = Timestamp(JANUARY + 100 * MINUTE);
    points.push(crash(21, JANUARY + 14 * 365 * DAY));
    assert_eq!(kept(&points, &keep("journal:2h"), &[], now).len(), 21);
    // Time goes on as it should, and the odd point is only one among others.
    points.push(crash(22, JANUARY + 150 * MINUTE));
    let now = Timestamp(JANUARY + 151 * MINUTE);
    let stays = kept(&points, &keep("journal:2h"), &[], now);
    assert_eq!(Vec::from_iter(stays), Vec::from_iter(7..=22));
}

/// The source's clock fell back to 1970: nothing has an age, and nothing becomes too old.
#[test]
fn a_clock_that_was_set_back_lets_nothing_become_too_old() {
    let mut points = points_at((0..20).map(|at| JANUARY + at * DAY));
    points.push(crash(21, 0));
    assert_eq!(kept(&points, &keep("asr:1d"), &[], LATER).len(), 21);
}

#[test]
fn of_points_at_the_same_time_the_newest_stands_for_the_slot() {
    let mut points = points_at([JANUARY; 5]);
    points.push(crash(6, JANUARY + DAY));
    let stays = kept(&points, &keep("2d:1h"), &[], LATER);
    assert_eq!(Vec::from_iter(stays), [5, 6]);
}

/// On a grid too, pruning after each point leaves what pruning once at the end does.
#[test]
fn on_a_grid_it_does_not_matter_how_often_one_prunes() {
    for text in ["asr:1d", "asr:2d", "drs:2d", "1h:all,3h:1h,1d:6h,3d:1d"] {
        for every in [10 * MINUTE, 17 * MINUTE] {
            let points = points_at((0..700).map(|at| JANUARY + at * every));
            let mut left = Vec::new();
            for point in &points {
                left.push(*point);
                let stays = kept(&left, &keep(text), &[], LATER);
                left.retain(|point| stays.contains(&point.id));
            }
            let once = kept(&points, &keep(text), &[], LATER);
            assert_eq!(kept(&left, &keep(text), &[], LATER), once, "{text}");
            assert!(once.len() < 80, "{text} keeps {} of 700", once.len());
        }
    }
}
