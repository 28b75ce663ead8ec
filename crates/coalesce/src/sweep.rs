//! Sweeping by streaming.

use crate::{extent::Extent, line::Line};

/// Live runs found before one is given.
const FOUND: usize = 64;

/// Live extents, in address order and disjoint, from extents in order of (disk, start).
///
/// Reads ahead until some dozens of runs are live; an error of the input is given at once, and
/// nothing after it. Memory is bounded by the number of extents that lie over one sector.
#[derive(Debug)]
pub struct Sweep<I: Iterator> {
    /// `None` where it has ended or failed.
    input: Option<I>,
    line: Line,
    /// How many of the line's live runs were given.
    given: usize,
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Sweep<I> {
    /// Sweeps `input`, whose extents come in order of (disk, start); no two extents of one rank
    /// overlap.
    pub fn new(input: I) -> Sweep<I> {
        Sweep {
            input: Some(input),
            line: Line::default(),
            given: 0,
        }
    }

    /// The next run that nothing can change any more.
    fn give(&mut self) -> Option<Extent> {
        let open = if self.input.is_some() { 2 } else { 0 };
        let settled = self.line.live().len().saturating_sub(open);
        let run = self.line.live().get(..settled)?.get(self.given).copied();
        self.given += usize::from(run.is_some());
        run
    }
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Iterator for Sweep<I> {
    type Item = Result<Extent, E>;

    fn next(&mut self) -> Option<Result<Extent, E>> {
        loop {
            if let Some(run) = self.give() {
                return Some(Ok(run));
            }
            let input = self.input.as_mut()?;
            self.line.forget(self.given);
            self.given = 0;
            match fill(&mut self.line, input) {
                Ok(true) => {}
                Ok(false) => self.input = None,
                Err(error) => {
                    self.input = None;
                    self.line = Line::default();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Reads on until there are live runs to give; `false` where the input has ended.
fn fill<E>(line: &mut Line, mut input: impl Iterator<Item = Result<Extent, E>>) -> Result<bool, E> {
    while line.live().len() <= FOUND {
        let Some(next) = input.next() else {
            line.end();
            return Ok(false);
        };
        line.push(&next?);
    }
    Ok(true)
}
