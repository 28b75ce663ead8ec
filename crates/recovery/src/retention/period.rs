//! Lengths of time: ages and the widths of slots.

use std::fmt;

use super::{
    error::{KeepError, KeepProblem},
    piece::Piece,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// Units that are written, the longest first. Weeks are read only: what is given as seven days stays seven days.
const WRITTEN: [(u64, char); 4] = [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm'), (1, 's')];

/// A length of time in whole seconds. Invariant: from one second to [`Period::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    seconds: u64,
}

impl Period {
    /// A hundred years; what is beyond is a mistake, and forever has a word.
    pub const MAX: Period = Period::seconds_unchecked(36_500 * DAY);

    /// `None` where it is zero or longer than [`Period::MAX`].
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Option<Period> {
        if seconds == 0 || seconds > Period::MAX.seconds {
            return None;
        }
        Some(Period { seconds })
    }

    /// Minutes of a table that is written in the code.
    pub(super) const fn minutes(minutes: u64) -> Period {
        Period::seconds_unchecked(minutes * MINUTE)
    }

    /// Hours of a table that is written in the code.
    pub(super) const fn hours(hours: u64) -> Period {
        Period::seconds_unchecked(hours * HOUR)
    }

    /// Days of a table that is written in the code.
    pub(super) const fn days(days: u64) -> Period {
        Period::seconds_unchecked(days * DAY)
    }

    const fn seconds_unchecked(seconds: u64) -> Period {
        Period { seconds }
    }

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Its length in the unit of a timestamp.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.seconds * 1_000_000
    }

    /// Its length in days, where these are whole.
    pub(super) const fn whole_days(self) -> Option<u64> {
        if self.seconds.is_multiple_of(DAY) {
            Some(self.seconds / DAY)
        } else {
            None
        }
    }

    /// Whether it is made of whole periods of that length.
    pub(super) const fn is_multiple_of(self, other: Period) -> bool {
        self.seconds.is_multiple_of(other.seconds)
    }

    pub(super) fn parse(piece: Piece<'_>) -> Result<Period, KeepError> {
        let seconds = seconds_of(piece.text);
        let period = seconds.and_then(Period::from_seconds);
        period.ok_or_else(|| piece.error(KeepProblem::Period))
    }
}

fn seconds_of(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?;
    let unit_seconds = match unit {
        's' => 1,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        'w' => WEEK,
        _ => return None,
    };
    // The parser of the standard library would take a sign as well.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit_seconds)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut units = WRITTEN.iter();
        let whole = units.find(|(unit_seconds, _)| self.seconds.is_multiple_of(*unit_seconds));
        let (unit_seconds, unit) = whole.expect("every length is made of whole seconds");
        write!(f, "{}{unit}", self.seconds / unit_seconds)
    }
}
