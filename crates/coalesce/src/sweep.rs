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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coalesce;

    /// So many that runs are given while others are read; what they hold often goes on, since a
    /// place is written from one of two frames.
    fn writes() -> impl Strategy<Value = Vec<Extent>> {
        let write = (0..2u32, 0..500u16, 1..9u32);
        prop::collection::vec(write, 0..600).prop_map(|writes| {
            let numbered = writes.into_iter().zip(0u32..);
            let extents = numbered.map(|((frame, start, sectors), rank)| Extent {
                start: u64::from(start),
                sectors,
                rank,
                object: 0,
                frame,
                offset: start,
                disk: 0,
            });
            extents.collect()
        })
    }

    proptest! {
        /// Where two begin at one sector the older comes first, as no sort of ours has it.
        #[test]
        fn a_sweep_gives_what_coalescing_gives(extents in writes()) {
            let mut sorted = extents.clone();
            sorted.sort_by_key(|extent| extent.start);
            let swept: Vec<Extent> = Sweep::new(sorted.into_iter().map(Ok::<_, ()>)).map(Result::unwrap).collect();
            let place = |run: &Extent| (run.start, run.sectors, run.frame, run.offset);
            let swept: Vec<_> = swept.iter().map(place).collect();
            let live: Vec<_> = coalesce(extents).iter().map(place).collect();
            prop_assert_eq!(swept, live);
        }

        #[test]
        fn an_error_ends_a_sweep(extents in writes(), good in 0..600usize) {
            let mut sorted = extents;
            sorted.sort_by_key(|extent| extent.start);
            let input = sorted.into_iter().map(Ok).take(good).chain([Err("damaged")]);
            let given: Vec<_> = Sweep::new(input.chain([Err("asked again")])).collect();
            let (last, runs) = given.split_last().expect("there is an error");
            prop_assert_eq!(last, &Err("damaged"));
            prop_assert!(runs.iter().all(Result::is_ok));
        }
    }
}
