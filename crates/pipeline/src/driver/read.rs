//! The reader's loop: segments in order, their indexes only.

use std::time::Duration;

use afterimage_cache::{Segment, StreamReader};
use crossbeam_channel::Sender;

use super::{Flow, Told, ahead::SegmentsAhead};
use crate::{
    figures::{Figures, Stage},
    stages::ReadMark,
    stop::Stop,
};

/// Idle polls after which the cache is listed again to look for a gap.
const POLLS_PER_LISTING: u32 = 64;

/// Whether the cache is to be listed after so many idle polls. Where listings are billed, only when the
/// worker begins and when the source has been silent for long: as long as segments come, none is missing.
const fn is_listing_due(idle: u32, is_first: bool, is_billed: bool) -> bool {
    if is_billed && !is_first {
        idle >= POLLS_PER_LISTING && idle.is_power_of_two()
    } else {
        idle.is_multiple_of(POLLS_PER_LISTING)
    }
}

/// Reads one stream.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) reader: StreamReader,
    pub(super) read: ReadMark,
    /// How often to look for more, and until when; without it the end is the first time that there
    /// is nothing more.
    pub(super) poll: Option<(&'a Stop, Duration)>,
    /// Set when a stage behind it has failed.
    pub(super) failed: &'a Stop,
    pub(super) figures: &'a Figures,
}

impl Reading<'_> {
    /// Ends when caught up, or with `poll` when stopped, or when nobody listens.
    pub(super) fn run(mut self, output: &Sender<Flow<Box<Segment>>>, tell: &Sender<Told>) {
        let mut idle: u32 = 0;
        let is_billed = self.reader.is_billed();
        let mut ahead = SegmentsAhead::default();
        let mut is_first = true;
        let is_stopped = |poll: &Option<(&Stop, Duration)>| {
            let stopped = poll.is_some_and(|(stop, _)| stop.is_stopped());
            stopped || self.failed.is_stopped()
        };
        while !is_stopped(&self.poll) {
            let looked = self.figures.busy(Stage::Read, 0, || {
                let next = self
                    .reader
                    .next_segment_of(&mut |number| ahead.take(number))?;
                if is_billed {
                    ahead.go_on(&self.reader, next.is_some());
                }
                if next.is_none() && is_listing_due(idle, is_first, is_billed) {
                    self.reader.check_no_gap()?;
                    is_first = false;
                }
                Ok::<_, afterimage_cache::CacheError>(next)
            });
            let next = match looked {
                Ok(Some(segment)) => {
                    idle = 0;
                    self.figures.segment();
                    self.read.set(segment.end().segment);
                    Flow::Next(Box::new(segment))
                }
                Ok(None) => {
                    idle += 1;
                    if idle > 1 {
                        // What was said when the last one was sent may be out of date.
                        self.figures.waiting(Stage::Cut, output.len());
                        let stopped = self
                            .poll
                            .is_none_or(|(stop, every)| stop.wait_with(self.failed, every));
                        if stopped {
                            return;
                        }
                        continue;
                    }
                    Flow::CaughtUp
                }
                Err(error) => {
                    let _nobody = tell.send(Told::Failed(error.into()));
                    return;
                }
            };
            let ends = matches!(next, Flow::CaughtUp) && self.poll.is_none();
            if output.send(next).is_err() || ends {
                return;
            }
            self.figures.waiting(Stage::Cut, output.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn billed_listings_are_rare() {
        let due = |is_first, is_billed| -> Vec<u32> {
            let polls = 0..300;
            polls
                .filter(|&idle| is_listing_due(idle, is_first, is_billed))
                .collect()
        };
        assert_eq!(due(false, false), [0, 64, 128, 192, 256]);
        assert_eq!(due(true, true), [0, 64, 128, 192, 256]);
        assert_eq!(due(false, true), [64, 128, 256]);
    }
}
