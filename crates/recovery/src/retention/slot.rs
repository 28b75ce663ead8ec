//! The slots that time is cut into, and times in words.

use std::fmt;

use afterimage_changelog::Timestamp;

use super::period::Period;

const SECOND_MICROS: u64 = 1_000_000;
const DAY_SECONDS: u64 = 86_400;

/// A run of time, half-open. It begins at a whole multiple of its width since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    start: Timestamp,
    width: Period,
}

impl Slot {
    /// The slot of this width that a time is in.
    #[must_use]
    pub const fn of(time: Timestamp, width: Period) -> Slot {
        let start = Timestamp(time.0 - time.0 % width.micros());
        Slot { start, width }
    }

    /// The first time in it.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The last time in it. Inclusive, as the slot at the end of all times has no end that a timestamp can say.
    #[must_use]
    pub const fn last(self) -> Timestamp {
        Timestamp(self.start.0.saturating_add(self.width.micros() - 1))
    }
}

/// Times of one day are written `2026-01-15 14:00-16:00 UTC`, a whole day is its date, and what is longer has a date at
/// both ends.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Civil::of(self.start);
        let end_seconds = (self.start.0 / SECOND_MICROS).saturating_add(self.width.seconds());
        let end = Civil::of_seconds(end_seconds);
        let whole_minute = |civil: Civil| civil.second_of_day.is_multiple_of(60);
        let seconds = !(whole_minute(start) && whole_minute(end));
        let clock = |second_of_day| Clock {
            second_of_day,
            seconds,
        };
        let start_clock = clock(start.second_of_day);
        let until_midnight = end.second_of_day == 0 && end.day == start.day + 1;
        if until_midnight && start.second_of_day == 0 {
            return write!(f, "{start} UTC");
        }
        if until_midnight {
            return write!(f, "{start} {start_clock}-{} UTC", clock(DAY_SECONDS));
        }
        let end_clock = clock(end.second_of_day);
        if start.day == end.day {
            return write!(f, "{start} {start_clock}-{end_clock} UTC");
        }
        write!(f, "{start} {start_clock} to {end} {end_clock} UTC")
    }
}

/// A time in words, to the second.
pub(super) struct InWords(pub(super) Timestamp);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.0);
        let clock = Clock {
            second_of_day: civil.second_of_day,
            seconds: true,
        };
        write!(f, "{civil} {clock} UTC")
    }
}

/// A day since 1970-01-01 and a second in it; its text is the date.
#[derive(Clone, Copy)]
struct Civil {
    day: u64,
    second_of_day: u64,
}

impl Civil {
    const fn of(time: Timestamp) -> Civil {
        Civil::of_seconds(time.0 / SECOND_MICROS)
    }

    const fn of_seconds(seconds: u64) -> Civil {
        Civil {
            day: seconds / DAY_SECONDS,
            second_of_day: seconds % DAY_SECONDS,
        }
    }
}

/// Howard Hinnant's `civil_from_days`: years that begin in March have their leap day at the end, so the
/// month follows from the day of the year by a straight line.
impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days since 0000-03-01, in eras of 400 years.
        let days = self.day + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let (month, next_year) = match month_from_march {
            0..10 => (month_from_march + 3, 0),
            _ => (month_from_march - 9, 1),
        };
        let year = era * 400 + year_of_era + next_year;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A second of a day as a clock shows it.
struct Clock {
    second_of_day: u64,
    /// Whether the seconds are shown.
    seconds: bool,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hour = self.second_of_day / 3_600;
        let minute = self.second_of_day / 60 % 60;
        write!(f, "{hour:02}:{minute:02}")?;
        if self.seconds {
            write!(f, ":{:02}", self.second_of_day % 60)?;
        }
        Ok(())
    }
}
