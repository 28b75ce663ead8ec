//! Segments that are opened before it is their turn. Opening one takes several requests, each of which has to
//! come back before the next is sent; with several segments at once a server's latency counts less.

use std::{collections::BTreeMap, thread::Builder};

use afterimage_cache::{Segment, StreamReader};
use crossbeam_channel::{Receiver, bounded};

/// Segments that are opened at once, at most.
const AHEAD_MAX: u64 = 8;

/// Opens what comes next as long as it keeps coming: with each segment that was there twice as many, and none
/// after one that was not, as asking for what is not there is billed too.
#[derive(Debug, Default)]
pub(super) struct SegmentsAhead {
    coming: BTreeMap<u64, Receiver<Segment>>,
    window: u64,
}

impl SegmentsAhead {
    /// The next segment, if it is on its way and arrives. One that does not is looked for by the reader,
    /// who also says why.
    pub(super) fn take(&mut self, number: u64) -> Option<Segment> {
        self.coming.remove(&number)?.recv().ok()
    }

    /// Begins with those behind the one that was found, or gives up after one that was not.
    pub(super) fn go_on(&mut self, reader: &StreamReader, was_found: bool) {
        if !was_found {
            self.window = 0;
            self.coming.clear();
            return;
        }
        self.window = (2 * self.window).clamp(1, AHEAD_MAX);
        let next = reader.next_number();
        for number in next..next + self.window {
            if self.coming.contains_key(&number) {
                continue;
            }
            let (give, coming) = bounded(1);
            let load = reader.loader(number);
            let work = move || {
                if let Ok(Some(segment)) = load() {
                    // Whoever wanted it may have gone.
                    let _nobody = give.send(segment);
                }
            };
            // Where no thread is to be had the reader opens it when it is its turn.
            if Builder::new()
                .name("segment".to_owned())
                .spawn(work)
                .is_err()
            {
                return;
            }
            self.coming.insert(number, coming);
        }
    }
}
