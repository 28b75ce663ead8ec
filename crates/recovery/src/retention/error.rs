//! What can be wrong with the text of a policy.

use super::{KEEP_BYTES_MAX, period::Period, preset::Preset};

/// A text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {character} of what to keep: {text:?} {problem}")]
pub struct KeepError {
    /// Where the piece begins; the first character is 1.
    pub character: usize,
    /// The piece that is wrong, or its beginning.
    pub text: String,
    /// What is wrong with it.
    pub problem: KeepProblem,
}

/// What is wrong with a piece, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeepProblem {
    /// No length of time.
    #[error(
        "is no length of time: a number and one of s, m, h, d, w, such as 90s or 2h, from 1s to {}",
        Period::MAX
    )]
    Period,
    /// No rule.
    #[error("is no rule: asr, drs, journal, forever, or rungs such as 2h:all,1d:1h")]
    Rule,
    /// No rung.
    #[error("is no rung: an age and what is kept up to it, such as 2h:all or 7d:2h")]
    Rung,
    /// A rung for the ages that the one before it has.
    #[error("has to be more than {0}, up to where the rung before it reaches")]
    Descending(Period),
    /// All is to be kept of what was thinned out before.
    #[error("keeps all, which only the first rung can: what was passed over is gone")]
    AllLater,
    /// Periods that cut those of the rung before into pieces.
    #[error("has to be a multiple of {0}, the period of the rung before it")]
    NoMultiple(Period),
    /// A preset does not have such a length.
    #[error("does not fit: {0} keeps whole days, from 1d to {days}d", days = .0.days_max().unwrap_or(0))]
    Days(Preset),
    /// Something behind a word that stands alone.
    #[error("is too much: forever stands alone")]
    Forever,
    /// No kind of point.
    #[error("is no kind of point: crash, application or user, and then its rule")]
    Kind,
    /// A kind without a rule.
    #[error("has no rule for that kind, such as user:forever")]
    KindAlone,
    /// A kind with two rules.
    #[error("has a rule already")]
    KindTwice,
    /// No rule for the kinds that have none of their own.
    #[error("is for one kind: the first rule is for every kind without its own, such as asr:7d")]
    KindFirst,
    /// A text that the manifest has no room for.
    #[error("and so on takes {0} bytes when written out: at most {KEEP_BYTES_MAX}")]
    Long(u64),
}
