//! Retention: which points stay. A small language and its decisions, without I/O and without a clock.
//!
//! ```text
//! keep   = rule { ";" kind ":" rule }              the first rule is for every kind without its own
//! kind   = "crash" | "application" | "user"
//! rule   = "forever" | preset | rung { "," rung }
//! preset = ("asr" | "drs" | "journal") [ ":" period ]
//! rung   = period ":" ("all" | period)             up to that age: all, or one in each such period
//! period = number ("s" | "m" | "h" | "d" | "w")
//! ```
//!
//! `docs/retention.md` says the same to operators, with the tables of the presets.
//!
//! | module | what |
//! | --- | --- |
//! | `period` | lengths of time |
//! | `ladder` | rungs, and what must hold among them |
//! | `preset` | the ladders that have a name |
//! | `rule` | what is kept of one kind of point |
//! | `slot` | the periods that time is cut into |
//! | `decide` | points in, a decision for each out |
//! | `reason` | why, in words |

mod decide;
mod error;
mod ladder;
mod period;
mod piece;
mod preset;
mod reason;
mod rule;
mod slot;

use std::{fmt, str::FromStr};

use afterimage_changelog::{MarkerKind, length};

pub use decide::{Candidate, Decision, Hold, HoldReason, decide};
pub use error::{KeepError, KeepProblem};
pub use ladder::{Ladder, Rung, Step};
pub use period::Period;
use piece::Piece;
pub use preset::Preset;
pub use reason::Reason;
pub use rule::Rule;
pub use slot::Slot;

/// Bytes of the longest policy, as [`Keep`] writes it.
pub const KEEP_BYTES_MAX: u64 = 200;

/// The kinds, in the order in which their rules are written.
const KINDS: [MarkerKind; 3] = [MarkerKind::Crash, MarkerKind::Application, MarkerKind::User];

/// A policy: what is kept of the points of each kind.
///
/// Its text is canonical: equal policies have equal texts, and reading one's text gives it back.
///
/// ```
/// use afterimage_recovery::retention::Keep;
/// let keep: Keep = "asr:1w; user:forever".parse().unwrap();
/// assert_eq!(keep.to_string(), "asr:7d; user:forever");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    main: Rule,
    /// In the order of [`KINDS`].
    own: [Option<Rule>; KINDS.len()],
}

impl Keep {
    /// The rule for points of every kind that has none of its own.
    #[must_use]
    pub fn main(&self) -> &Rule {
        &self.main
    }

    /// The rule that is only for points of this kind.
    #[must_use]
    pub fn own(&self, kind: MarkerKind) -> Option<&Rule> {
        let mut rules = KINDS.iter().zip(&self.own);
        rules.find_map(|(known, rule)| rule.as_ref().filter(|_| *known == kind))
    }
}

impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Keep, KeepError> {
        let whole = Piece::new(text);
        let mut parts = whole.split(';');
        let first = parts.next().unwrap_or(whole);
        if kind_of(first.head().0).is_some() {
            return Err(first.error(KeepProblem::KindFirst));
        }
        let mut keep = Keep {
            main: Rule::parse(first)?,
            ..Keep::default()
        };
        for part in parts {
            let (word, rule) = part.head();
            let kind = kind_of(word).ok_or_else(|| word.error(KeepProblem::Kind))?;
            let rule = rule.ok_or_else(|| part.error(KeepProblem::KindAlone))?;
            let mut places = KINDS.iter().zip(&mut keep.own);
            let place = places.find_map(|(known, own)| (*known == kind).then_some(own));
            let place = place.expect("every kind that is found is one of KINDS");
            if place.replace(Rule::parse(rule)?).is_some() {
                return Err(word.error(KeepProblem::KindTwice));
            }
        }
        let bytes = length(keep.to_string().as_bytes());
        if bytes > KEEP_BYTES_MAX {
            return Err(whole.error(KeepProblem::Long(bytes)));
        }
        Ok(keep)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.main)?;
        for (kind, rule) in KINDS.iter().zip(&self.own) {
            if let Some(rule) = rule {
                write!(f, "; {}:{rule}", kind.word())?;
            }
        }
        Ok(())
    }
}

fn kind_of(word: Piece<'_>) -> Option<MarkerKind> {
    KINDS.into_iter().find(|kind| kind.word() == word.text)
}
