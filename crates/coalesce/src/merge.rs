//! Merging runs that are each in address order, by streaming.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::extent::Extent;

/// The extents of several sorted runs in order of (disk, start).
///
/// Holds one extent of each run. Feed it to a [`crate::Sweep`].
#[derive(Debug)]
pub struct Merge<I, E> {
    runs: Vec<I>,
    /// The next place of each run that has one, and the run's number.
    heads: BinaryHeap<Reverse<(u16, u64, usize)>>,
    next: Vec<Option<Extent>>,
    /// Errors met when a run was looked into; given before anything that comes after them.
    errors: VecDeque<E>,
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Merge<I, E> {
    /// Merges `runs`.
    #[must_use]
    pub fn new(runs: Vec<I>) -> Merge<I, E> {
        let mut merge = Merge {
            next: vec![None; runs.len()],
            heads: BinaryHeap::with_capacity(runs.len()),
            runs,
            errors: VecDeque::new(),
        };
        for number in 0..merge.runs.len() {
            merge.pull(number);
        }
        merge
    }

    fn pull(&mut self, number: usize) {
        let (Some(run), Some(slot)) = (self.runs.get_mut(number), self.next.get_mut(number)) else {
            return;
        };
        match run.next() {
            Some(Ok(extent)) => {
                *slot = Some(extent);
                self.heads
                    .push(Reverse((extent.disk, extent.start, number)));
            }
            Some(Err(error)) => self.errors.push_back(error),
            None => {}
        }
    }
}

impl<E, I: Iterator<Item = Result<Extent, E>>> Iterator for Merge<I, E> {
    type Item = Result<Extent, E>;

    fn next(&mut self) -> Option<Result<Extent, E>> {
        if let Some(error) = self.errors.pop_front() {
            return Some(Err(error));
        }
        let Reverse((_, _, number)) = self.heads.pop()?;
        let extent = self.next.get_mut(number).and_then(Option::take)?;
        self.pull(number);
        Some(Ok(extent))
    }
}
