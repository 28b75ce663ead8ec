//! Ladders that have a name, after the products whose tables they are.
//!
//! | preset | up to | what is kept |
//! | --- | --- | --- |
//! | `asr:Nd` | 2h | all |
//! | | 1d, where N is 1 | one an hour |
//! | | Nd, where N is 2 to 7 | one every 2 hours |
//! | | 7d, then Nd, where N is 8 to 15 | one every 2 hours, then one every 4 |
//! | `drs:Nd` | 1h | one every 10 minutes |
//! | | 1d | one an hour |
//! | | Nd, where N is 2 to 365 | one a day |
//! | `journal:P` | P | all |

use std::fmt;

use super::{
    error::{KeepError, KeepProblem},
    ladder::{Ladder, Step},
    period::Period,
    piece::Piece,
};

/// The name of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Azure Site Recovery.
    Asr,
    /// AWS Elastic Disaster Recovery.
    Drs,
    /// Everything for a window, as a journal of writes keeps it.
    Journal,
}

const PRESETS: [Preset; 3] = [Preset::Asr, Preset::Drs, Preset::Journal];

impl Preset {
    /// The name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Preset::Asr => "asr",
            Preset::Drs => "drs",
            Preset::Journal => "journal",
        }
    }

    /// How far it reaches back where nothing is said.
    #[must_use]
    pub const fn until_default(self) -> Period {
        match self {
            Preset::Asr | Preset::Journal => Period::days(1),
            Preset::Drs => Period::days(7),
        }
    }

    /// How many days it reaches back at most; `None` where it is not bound to whole days.
    #[must_use]
    pub const fn days_max(self) -> Option<u64> {
        match self {
            Preset::Asr => Some(15),
            Preset::Drs => Some(365),
            Preset::Journal => None,
        }
    }

    /// Its ladder up to this age.
    #[must_use]
    pub fn ladder(self, until: Period) -> Ladder {
        let young = (Period::hours(2), Step::All);
        let week = Period::days(7);
        let hourly = Step::Every(Period::hours(1));
        let two_hourly = Step::Every(Period::hours(2));
        match self {
            Preset::Asr if until <= Period::days(1) => Ladder::of_table(&[young], hourly, until),
            Preset::Asr => {
                let four_hourly = Step::Every(Period::hours(4));
                Ladder::of_table(&[young, (week, two_hourly)], four_hourly, until)
            }
            Preset::Drs => {
                let busy = (Period::hours(1), Step::Every(Period::minutes(10)));
                let daily = Step::Every(Period::days(1));
                Ladder::of_table(&[busy, (Period::days(1), hourly)], daily, until)
            }
            Preset::Journal => Ladder::of_table(&[], Step::All, until),
        }
    }

    /// The preset of that name.
    pub(super) fn named(word: &str) -> Option<Preset> {
        PRESETS.into_iter().find(|preset| preset.word() == word)
    }

    /// Reads how far it shall reach back.
    pub(super) fn parse_until(self, piece: Option<Piece<'_>>) -> Result<Period, KeepError> {
        let Some(piece) = piece else {
            return Ok(self.until_default());
        };
        let until = Period::parse(piece)?;
        let fits = self.days_max().is_none_or(|days_max| {
            let days = until.whole_days();
            days.is_some_and(|days| days <= days_max)
        });
        if fits {
            Ok(until)
        } else {
            Err(piece.error(KeepProblem::Days(self)))
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
