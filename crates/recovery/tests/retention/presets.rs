//! The presets, against golden files and against their tables read by hand.
//!
//! A golden file lists, newest first, runs of points that stay at the same distance from each other. They can be
//! checked without a computer: of `14:00` to `16:00`, the last of points every five minutes is the one of `15:55`.

use std::{collections::BTreeSet, fmt::Write};

use crate::series::{DAY, HOUR, JANUARY, LATER, MINUTE, keep, kept, points_at};

const ASR: &str = include_str!("../golden/asr.txt");
const DRS: &str = include_str!("../golden/drs.txt");
const JOURNAL: &str = include_str!("../golden/journal.txt");

const POINT_EVERY_MINUTES: u64 = 5;
/// From 2026-01-01 00:00 to 2026-01-17 10:35: neither a whole hour nor a whole day.
const LAST_MINUTE: u64 = (16 * 24 + 10) * 60 + 35;

/// What a table says of an age.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    All,
    OneIn(u64),
    Nothing,
}

/// The table of Azure Site Recovery, line by line.
fn asr(days: u64, age: u64) -> Says {
    match (days, age) {
        _ if age <= 2 * HOUR => Says::All,
        _ if age > days * DAY => Says::Nothing,
        (1, _) => Says::OneIn(HOUR),
        (2..=7, _) => Says::OneIn(2 * HOUR),
        (8..=15, _) if age <= 7 * DAY => Says::OneIn(2 * HOUR),
        (8..=15, _) => Says::OneIn(4 * HOUR),
        _ => panic!("the table ends at 15 days"),
    }
}

/// The table of AWS Elastic Disaster Recovery.
fn drs(days: u64, age: u64) -> Says {
    match age {
        _ if age <= HOUR => Says::OneIn(10 * MINUTE),
        _ if age <= DAY => Says::OneIn(HOUR),
        _ if age <= days * DAY => Says::OneIn(DAY),
        _ => Says::Nothing,
    }
}

/// Which of ascending times stay, by a look at the neighbour: the last one of a slot is followed by one of another slot.
fn by_hand(times: &[u64], says: impl Fn(u64) -> Says) -> BTreeSet<u64> {
    let newest = *times.last().unwrap();
    let stays = |at: usize| {
        let Some(next) = times.get(at + 1) else {
            return true;
        };
        match says(newest - times[at]) {
            Says::All => true,
            Says::OneIn(width) => times[at] / width != next / width,
            Says::Nothing => false,
        }
    };
    let ids = (1..).zip(0..times.len()).filter(|(_, at)| stays(*at));
    ids.map(|(id, _)| id).collect()
}

fn sixteen_days() -> Vec<u64> {
    let minutes = (0..=LAST_MINUTE).step_by(usize::try_from(POINT_EVERY_MINUTES).unwrap());
    minutes.map(|minute| JANUARY + minute * MINUTE).collect()
}

fn agrees(text: &str, times: &[u64], says: impl Fn(u64) -> Says) {
    let points = points_at(times.iter().copied());
    let stays = kept(&points, &keep(text), &[], LATER);
    assert_eq!(stays, by_hand(times, says), "{text}");
}

fn day_and_time(minute: u64) -> String {
    let day = minute / 1_440 + 1;
    format!("Jan {day:02} {:02}:{:02}", minute / 60 % 24, minute % 60)
}

/// Minutes as `1d 3h 20m`, without what is zero.
fn in_units(minutes: u64) -> String {
    let parts = [
        (minutes / 1_440, 'd'),
        (minutes / 60 % 24, 'h'),
        (minutes % 60, 'm'),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let words: Vec<String> = parts
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if words.is_empty() {
        "0m".to_owned()
    } else {
        words.join(" ")
    }
}

/// The runs of equal distance among the points that stay, the newest first.
fn runs(text: &str) -> String {
    let points = points_at(sixteen_days());
    let stays = kept(&points, &keep(text), &[], LATER);
    let minutes: Vec<u64> = stays
        .iter()
        .rev()
        .map(|id| (id - 1) * POINT_EVERY_MINUTES)
        .collect();
    let mut out = format!("\n{text}: {} points\n", minutes.len());
    let mut at = 0;
    while at < minutes.len() {
        let first = minutes[at];
        let age = in_units(LAST_MINUTE - first);
        let Some(second) = minutes.get(at + 1) else {
            writeln!(out, "  {} (age {age})", day_and_time(first)).unwrap();
            break;
        };
        let distance = first - second;
        let same = minutes[at..]
            .windows(2)
            .take_while(|pair| pair[0] - pair[1] == distance);
        let end = at + same.count();
        let last = minutes[end];
        writeln!(
            out,
            "  {} back to {} (age {age} to {}), every {}: {}",
            day_and_time(first),
            day_and_time(last),
            in_units(LAST_MINUTE - last),
            in_units(distance),
            end - at + 1,
        )
        .unwrap();
        at = end + 1;
    }
    out
}

/// Compares with the file behind its comment.
fn is_golden(golden: &str, policies: &[&str]) {
    let plain: Vec<&str> = golden
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let made: String = policies.iter().map(|policy| runs(policy)).collect();
    assert_eq!(plain.join("\n").trim(), made.trim(), "made:\n{made}");
}

#[test]
fn asr_keeps_what_its_golden_file_says() {
    is_golden(ASR, &["asr:1d", "asr:2d", "asr:7d", "asr:8d", "asr:15d"]);
}

#[test]
fn drs_keeps_what_its_golden_file_says() {
    is_golden(DRS, &["drs:1d", "drs:2d", "drs:7d", "drs:30d"]);
}

#[test]
fn journal_keeps_what_its_golden_file_says() {
    is_golden(JOURNAL, &["journal:90s", "journal:2h", "journal:10d"]);
}

#[test]
fn asr_agrees_with_its_table_for_each_number_of_days() {
    let times = sixteen_days();
    for days in 1..=15 {
        agrees(&format!("asr:{days}d"), &times, |age| asr(days, age));
    }
}

#[test]
fn drs_agrees_with_its_table_for_each_number_of_days() {
    let times: Vec<u64> = (0..400 * 24)
        .map(|hour| JANUARY + hour * HOUR + 7 * MINUTE)
        .collect();
    for days in 1..=365 {
        agrees(&format!("drs:{days}d"), &times, |age| drs(days, age));
    }
    let times = sixteen_days();
    for days in 1..=16 {
        agrees(&format!("drs:{days}d"), &times, |age| drs(days, age));
    }
}

#[test]
fn journal_keeps_everything_for_its_window_and_nothing_beyond() {
    let times = sixteen_days();
    for minutes in [5, 119, 120, 121, 1_440, 9_999, 40_000] {
        agrees(&format!("journal:{minutes}m"), &times, |age| {
            if age <= minutes * MINUTE {
                Says::All
            } else {
                Says::Nothing
            }
        });
    }
}

#[test]
fn a_preset_without_a_length_keeps_what_is_documented() {
    for (short, long) in [
        ("asr", "asr:1d"),
        ("drs", "drs:7d"),
        ("journal", "journal:1d"),
    ] {
        assert_eq!(keep(short).to_string(), long);
    }
}

#[test]
fn a_preset_is_the_ladder_that_its_table_says() {
    for (preset, rungs) in [
        ("asr:1d", "2h:all,1d:1h"),
        ("asr:2d", "2h:all,2d:2h"),
        ("asr:7d", "2h:all,7d:2h"),
        ("asr:8d", "2h:all,7d:2h,8d:4h"),
        ("asr:15d", "2h:all,7d:2h,15d:4h"),
        ("drs:1d", "1h:10m,1d:1h"),
        ("drs:2d", "1h:10m,1d:1h,2d:1d"),
        ("drs:365d", "1h:10m,1d:1h,365d:1d"),
        ("journal:2h", "2h:all"),
    ] {
        assert_eq!(keep(preset).main().ladder(), keep(rungs).main().ladder());
    }
}
