//! A ladder: the further back, the fewer points.
//!
//! A rung reaches from where the one before it ends up to an age, and keeps all points of these ages or one
//! in each slot of time. Slots lie at whole multiples of their width since 1970-01-01 UTC, so they do not move as
//! points age, and because the width of each rung is a multiple of the one before, a slot is made of whole slots
//! of the rung below. What stands for a slot therefore stands for the smaller one that it is in as well: a
//! point that was passed over is never wanted again, and it does not matter how often one prunes.

use std::fmt;

use super::{
    error::{KeepError, KeepProblem},
    period::Period,
    piece::Piece,
};

/// Which points a rung keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// All of them.
    All,
    /// One in each slot of this width: the one with the latest time.
    Every(Period),
}

/// One rung of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rung {
    /// The age up to which it reaches, inclusive.
    pub until: Period,
    /// Which points it keeps.
    pub step: Step,
}

/// A ladder. Invariants: it has a rung; each reaches further back than the one before it; only the first keeps
/// all; each width is a multiple of the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ladder {
    rungs: Vec<Rung>,
}

impl Ladder {
    /// A table's rungs up to an age; the last of the table reaches as far as is asked for.
    pub(super) fn of_table(table: &[(Period, Step)], last: Step, until: Period) -> Ladder {
        let below = table.iter().take_while(|(end, _)| *end < until);
        let mut rungs: Vec<Rung> = below.map(|&(until, step)| Rung { until, step }).collect();
        let step = table.get(rungs.len()).map_or(last, |(_, step)| *step);
        rungs.push(Rung { until, step });
        Ladder { rungs }
    }

    /// Its rungs, the youngest ages first.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// The age beyond which nothing is kept.
    pub(super) fn until(&self) -> Period {
        let last = self.rungs.last();
        last.expect("a ladder has a rung").until
    }

    /// The rung for an age; `None` beyond the last one.
    pub(super) fn rung(&self, age_micros: u64) -> Option<Rung> {
        let mut rungs = self.rungs.iter();
        let found = rungs.find(|rung| age_micros <= rung.until.micros());
        found.copied()
    }

    pub(super) fn parse(piece: Piece<'_>) -> Result<Ladder, KeepError> {
        let mut rungs: Vec<Rung> = Vec::new();
        for rung in piece.split(',') {
            rungs.push(parse_rung(rung, rungs.last())?);
        }
        Ok(Ladder { rungs })
    }
}

fn parse_rung(piece: Piece<'_>, before: Option<&Rung>) -> Result<Rung, KeepError> {
    let (until, Some(step)) = piece.head() else {
        return Err(piece.error(KeepProblem::Rung));
    };
    let rung = Rung {
        until: Period::parse(until)?,
        step: match step.text {
            "all" => Step::All,
            _ => Step::Every(Period::parse(step)?),
        },
    };
    let Some(before) = before else {
        return Ok(rung);
    };
    if rung.until <= before.until {
        return Err(until.error(KeepProblem::Descending(before.until)));
    }
    match (before.step, rung.step) {
        (_, Step::All) => Err(piece.error(KeepProblem::AllLater)),
        (Step::Every(finer), Step::Every(every)) if !every.is_multiple_of(finer) => {
            Err(step.error(KeepProblem::NoMultiple(finer)))
        }
        _ => Ok(rung),
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Rung { until, step }) in self.rungs.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match step {
                Step::All => write!(f, "{comma}{until}:all")?,
                Step::Every(every) => write!(f, "{comma}{until}:{every}")?,
            }
        }
        Ok(())
    }
}
