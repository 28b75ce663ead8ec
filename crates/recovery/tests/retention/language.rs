//! The text of a policy, there and back.

use afterimage_changelog::MarkerKind;
use afterimage_recovery::retention::{Keep, Rule, Step};
use proptest::prelude::*;

use crate::series::keep;

#[test]
fn a_policy_is_written_in_one_way() {
    for (read, written) in [
        ("2h:all,1d:1h,7d:2h,15d:4h", "2h:all,1d:1h,7d:2h,15d:4h"),
        (" 120m : all , 24h : 60m ,1w:7200s ", "2h:all,1d:1h,7d:2h"),
        ("90s:all,36h:90m", "90s:all,36h:90m"),
        ("1h:10m,1d:10m", "1h:10m,1d:10m"),
        ("007d:02h", "7d:2h"),
        ("asr", "asr:1d"),
        ("asr:48h", "asr:2d"),
        ("drs:52w", "drs:364d"),
        ("journal:120m", "journal:2h"),
        ("forever", "forever"),
        (
            "asr:7d;user:forever;application:30d:all",
            "asr:7d; application:30d:all; user:forever",
        ),
        (
            "forever; crash:drs; user : asr : 2d",
            "forever; crash:drs:7d; user:asr:2d",
        ),
        (
            "1d:1h; application:2h:all,1d:1h; user:asr",
            "1d:1h; application:2h:all,1d:1h; user:asr:1d",
        ),
    ] {
        assert_eq!(keep(read).to_string(), written);
        assert_eq!(keep(written), keep(read));
    }
}

#[test]
fn each_kind_has_its_own_rule_or_the_main_one() {
    let keep = keep("asr:7d; user:forever");
    assert_eq!(keep.own(MarkerKind::User), Some(&Rule::Forever));
    assert_eq!(keep.own(MarkerKind::Crash), None);
    assert_eq!(keep.own(MarkerKind::Application), None);
    assert_eq!(keep.main().to_string(), "asr:7d");
}

#[test]
fn nothing_goes_where_nothing_was_said() {
    assert_eq!(Keep::default().to_string(), "forever");
}

/// The texts between backquotes, line by line, of the part of the docs that begins with `start`.
fn quoted_in_docs(start: &str) -> Vec<Vec<&'static str>> {
    let docs = include_str!("../../../../docs/retention.md");
    let (_, part) = docs.split_once(start).unwrap();
    let rows = part
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let quoted = |line: &'static str| line.split('`').skip(1).step_by(2).collect();
    rows.map(quoted).collect()
}

#[test]
fn the_policies_of_the_docs_can_be_read() {
    let examples = quoted_in_docs("| policy | what it keeps |");
    assert_eq!(examples.len(), 5);
    for row in examples {
        keep(row[0]);
    }
    let presets = quoted_in_docs("| written out | preset |");
    assert_eq!(presets.len(), 5);
    for row in presets {
        let written_out = keep(row[0]).main().ladder();
        assert_eq!(written_out, keep(row[1]).main().ladder(), "{row:?}");
    }
}

const NO_PERIOD: &str = "is no length of time: a number and one of s, m, h, d, w, such as 90s or \
                         2h, from 1s to 36500d";
const NO_RULE: &str = "is no rule: asr, drs, journal, forever, or rungs such as 2h:all,1d:1h";
const NO_RUNG: &str = "is no rung: an age and what is kept up to it, such as 2h:all or 7d:2h";
const NO_KIND: &str = "is no kind of point: crash, application or user, and then its rule";

/// Each text is refused at that character, with those words about that piece.
fn refused(cases: &[(&str, usize, &str, &str)]) {
    for (text, character, piece, words) in cases {
        assert_eq!(
            text.parse::<Keep>().unwrap_err().to_string(),
            format!("character {character} of what to keep: \"{piece}\" {words}"),
            "{text}"
        );
    }
}

#[test]
fn a_length_of_time_is_refused_where_it_is_wrong() {
    refused(&[
        ("2x:all", 1, "2x", NO_PERIOD),
        ("2h:", 4, "", NO_PERIOD),
        ("2h:all,1d:0h", 11, "0h", NO_PERIOD),
        ("5215w:all", 1, "5215w", NO_PERIOD),
        ("9999999999999999w:all", 1, "9999999999999999w", NO_PERIOD),
        (
            "99999999999999999999s:all",
            1,
            "99999999999999999999s",
            NO_PERIOD,
        ),
        ("2h:+1h", 4, "+1h", NO_PERIOD),
        ("2h:h", 4, "h", NO_PERIOD),
        ("2h:1h30m", 4, "1h30m", NO_PERIOD),
        ("2h:1ä", 4, "1ä", NO_PERIOD),
        ("journal:", 9, "", NO_PERIOD),
    ]);
}

#[test]
fn a_rung_is_refused_where_it_is_wrong() {
    refused(&[
        ("2h:all, 1d", 9, "1d", NO_RUNG),
        ("2h:all,", 8, "", NO_RUNG),
        // A space of three bytes is one character.
        ("2h:all\u{3000},1d\u{3000}", 9, "1d", NO_RUNG),
        ("2h\u{3000}:x", 5, "x", NO_PERIOD),
        (
            "1d:1h,24h:2h",
            7,
            "24h",
            "has to be more than 1d, up to where the rung before it reaches",
        ),
        (
            "1h:all,1d:all",
            8,
            "1d:all",
            "keeps all, which only the first rung can: what was passed over is gone",
        ),
        (
            "1d:2h,7d:3h",
            10,
            "3h",
            "has to be a multiple of 2h, the period of the rung before it",
        ),
    ]);
}

#[test]
fn a_rule_is_refused_where_it_is_wrong() {
    let asr_days = "does not fit: asr keeps whole days, from 1d to 15d";
    let drs_days = "does not fit: drs keeps whole days, from 1d to 365d";
    refused(&[
        ("", 1, "", NO_RULE),
        ("  hourly", 3, "hourly", NO_RULE),
        ("Asr:7d", 1, "Asr", NO_RULE),
        ("asr:16d", 5, "16d", asr_days),
        ("asr:36h", 5, "36h", asr_days),
        ("drs:366d", 5, "366d", drs_days),
        ("drs:1h", 5, "1h", drs_days),
        ("forever:2h", 9, "2h", "is too much: forever stands alone"),
    ]);
}

#[test]
fn a_rule_for_a_kind_is_refused_where_it_is_wrong() {
    refused(&[
        ("asr; ä; b", 6, "ä", NO_KIND),
        ("asr;ä:asr; b", 5, "ä", NO_KIND),
        ("asr; user:drs; ä:1", 16, "ä", NO_KIND),
        ("asr;", 5, "", NO_KIND),
        ("asr; user:", 11, "", NO_RULE),
        (
            "asr; user",
            6,
            "user",
            "has no rule for that kind, such as user:forever",
        ),
        (
            "asr; user:drs; user:forever",
            16,
            "user",
            "has a rule already",
        ),
        (
            "user:forever",
            1,
            "user:forever",
            "is for one kind: the first rule is for every kind without its own, such as asr:7d",
        ),
    ]);
}

/// Rungs of seven bytes and their commas, one after the other.
fn long(rungs: u64) -> String {
    let rungs: Vec<String> = (100..100 + rungs).map(|day| format!("{day}d:1d")).collect();
    rungs.join(",")
}

#[test]
fn a_policy_has_at_most_200_bytes_as_it_is_written() {
    let longest = format!("{},1000d:2d", long(24));
    assert_eq!(keep(&longest).to_string().len(), 200);
    let error = format!("{},1000d:24d", long(24))
        .parse::<Keep>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "character 1 of what to keep: \"100d:1d,101d:1d,102d:1d,103d:1d,104d:1d,\" and so on takes \
         201 bytes when written out: at most 200"
    );
}

/// What counts is the text that is stored, not the spaces that someone typed.
#[test]
fn spaces_do_not_make_a_policy_too_long() {
    let spaces = format!("asr{}; user:drs", " ".repeat(1_000));
    assert_eq!(keep(&spaces).to_string(), "asr:1d; user:drs:7d");
}

/// Words and signs of the language in any order: most are wrong, in ways that are near to right.
fn almost_policy() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[0-9]{1,3}[smhdw]",
        "(2h:all|1d:1h|7d:2h|1h:10m|all|forever|asr|drs|journal|user|crash|application)",
        "[ä:,; ]",
        Just(":".to_owned()),
        Just(",".to_owned()),
        Just("; ".to_owned()),
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

/// Rungs of which about one in three does not fit to the one before it.
fn almost_ladder() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        1 => Just("all".to_owned()),
        4 => (1..9u64).prop_map(|hours| format!("{hours}h")),
    ];
    let rung = (1..9u64, step).prop_map(|(days, step)| format!("{days}d:{step}"));
    prop::collection::vec(rung, 1..4).prop_map(|rungs| rungs.join(","))
}

fn reads_the_same_again(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Keep>() {
        Ok(keep) => {
            let written = keep.to_string();
            prop_assert!(written.len() <= 200);
            prop_assert_eq!(written.parse::<Keep>(), Ok(keep));
        }
        Err(error) => {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.character));
            let behind: String = text.chars().skip(error.character - 1).collect();
            prop_assert!(behind.starts_with(&error.text), "{} in {:?}", error, text);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_where_it_is_wrong(text in any::<String>()) {
        reads_the_same_again(&text)?;
    }

    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(text in almost_policy()) {
        reads_the_same_again(&text)?;
    }

    /// The invariants that decisions rest on.
    #[test]
    fn a_ladder_that_is_read_goes_further_back_in_multiples(text in almost_ladder()) {
        let Ok(keep) = text.parse::<Keep>() else {
            return Ok(());
        };
        let ladder = keep.main().ladder().unwrap();
        prop_assert!(!ladder.rungs().is_empty());
        for pair in ladder.rungs().windows(2) {
            prop_assert!(pair[0].until < pair[1].until);
            match (pair[0].step, pair[1].step) {
                (Step::All, Step::Every(_)) => {}
                (Step::Every(finer), Step::Every(every)) => {
                    prop_assert_eq!(every.seconds() % finer.seconds(), 0);
                }
                (_, Step::All) => prop_assert!(false, "only the first keeps all"),
            }
        }
    }
}
