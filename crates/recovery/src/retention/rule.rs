//! What is kept of the points of one kind.

use std::fmt;

use super::{
    error::{KeepError, KeepProblem},
    ladder::Ladder,
    period::Period,
    piece::Piece,
    preset::Preset,
};

const FOREVER: &str = "forever";

/// A rule. A preset stays what it was called, so that its text says what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nothing goes.
    #[default]
    Forever,
    /// A ladder with a name, and how far it reaches back.
    Preset(Preset, Period),
    /// A ladder that was written out.
    Ladder(Ladder),
}

impl Rule {
    /// Its ladder; `None` where nothing goes.
    #[must_use]
    pub fn ladder(&self) -> Option<Ladder> {
        match self {
            Rule::Forever => None,
            Rule::Preset(preset, until) => Some(preset.ladder(*until)),
            Rule::Ladder(ladder) => Some(ladder.clone()),
        }
    }

    pub(super) fn parse(piece: Piece<'_>) -> Result<Rule, KeepError> {
        let (word, rest) = piece.head();
        if word.text == FOREVER {
            return match rest {
                None => Ok(Rule::Forever),
                Some(rest) => Err(rest.error(KeepProblem::Forever)),
            };
        }
        if let Some(preset) = Preset::named(word.text) {
            return Ok(Rule::Preset(preset, preset.parse_until(rest)?));
        }
        // A ladder begins with an age; anything else is a word that is not known.
        if word.text.starts_with(|first: char| first.is_ascii_digit()) {
            return Ladder::parse(piece).map(Rule::Ladder);
        }
        Err(word.error(KeepProblem::Rule))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Forever => f.write_str(FOREVER),
            Rule::Preset(preset, until) => write!(f, "{preset}:{until}"),
            Rule::Ladder(ladder) => write!(f, "{ladder}"),
        }
    }
}
