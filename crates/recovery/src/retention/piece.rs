//! A piece of a policy's text that knows where it stands, so that an error can say so.

use super::error::{KeepError, KeepProblem};

/// Characters of a piece that an error repeats.
const SHOWN_CHARACTERS_MAX: usize = 40;

/// A piece of a text, without spaces around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Characters of the whole text that stand before it.
    before: usize,
}

impl<'a> Piece<'a> {
    /// A whole text.
    pub(super) fn new(text: &'a str) -> Piece<'a> {
        Piece { text, before: 0 }.trim()
    }

    /// The pieces between the separators; at least one.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut before = self.before;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, before };
            before += text.chars().count() + 1;
            piece.trim()
        })
    }

    /// What stands before the first `:`, and what behind it where there is one.
    pub(super) fn head(self) -> (Piece<'a>, Option<Piece<'a>>) {
        let Some((head, rest)) = self.text.split_once(':') else {
            return (self, None);
        };
        let behind = self.before + head.chars().count() + 1;
        let rest = Piece {
            text: rest,
            before: behind,
        };
        (Piece { text: head, ..self }.trim(), Some(rest.trim()))
    }

    /// An error about this piece.
    pub(super) fn error(self, problem: KeepProblem) -> KeepError {
        KeepError {
            character: self.before + 1,
            text: self.text.chars().take(SHOWN_CHARACTERS_MAX).collect(),
            problem,
        }
    }

    fn trim(self) -> Piece<'a> {
        let text = self.text.trim_start();
        let gone = self.text.chars().count() - text.chars().count();
        Piece {
            text: text.trim_end(),
            before: self.before + gone,
        }
    }
}
