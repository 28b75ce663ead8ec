//! Runs that are on their way before anyone asks for them.

use std::{collections::HashMap, ops::Range};

use afterimage_changelog::FrameEntry;
use afterimage_storage::{ReadAhead, StoreError};
use bytes::Bytes;

use crate::{FetchError, FrameSource, run::Run};

/// A source of which certain runs are being fetched, where its store gains from that. All else is as
/// in the source itself.
#[derive(Debug)]
pub struct Ahead<'a> {
    source: &'a dyn FrameSource,
    fetching: Option<(Box<dyn ReadAhead>, Numbers)>,
}

/// The number of each range, by its place and where it begins there.
type Numbers = HashMap<(u32, u64), usize>;

impl Ahead<'_> {
    /// Begins with runs that will be fetched once each, about in this order.
    #[must_use]
    pub fn of<'a>(source: &'a dyn FrameSource, runs: &[Run]) -> Ahead<'a> {
        let wanted: Vec<(u32, Range<u64>)> = runs.iter().filter_map(Run::range).collect();
        let fetching = source.read_ahead(&wanted).map(|fetching| {
            let numbers = wanted.iter().enumerate();
            let numbers = numbers.map(|(number, (place, range))| ((*place, range.start), number));
            (fetching, numbers.collect())
        });
        Ahead { source, fetching }
    }
}

impl FrameSource for Ahead<'_> {
    fn name(&self, place: u32) -> String {
        self.source.name(place)
    }

    fn place(&self, object: u32, entry: &FrameEntry) -> u32 {
        self.source.place(object, entry)
    }

    fn entry(&self, object: u32, frame: u32) -> Result<FrameEntry, FetchError> {
        self.source.entry(object, frame)
    }

    fn is_billed(&self) -> bool {
        self.source.is_billed()
    }

    fn read(&self, place: u32, range: Range<u64>) -> Result<Bytes, StoreError> {
        if let Some((fetching, numbers)) = &self.fetching
            && let Some(number) = numbers.get(&(place, range.start))
            && let Some(fetched) = fetching.take(*number)
        {
            return fetched;
        }
        self.source.read(place, range)
    }
}
