//! The whole of a disk: sectors that no extent covers were never written and are zeroes.

use std::ops::Range;

use afterimage_coalesce::Extent;
use afterimage_fetch::FetchError;

/// Longest zeroed extent, a whole number of 4096-byte sectors.
const SECTORS_MAX: u64 = (u32::MAX - 7) as u64;

/// Puts a zeroed extent wherever the extents it is given leave a gap.
#[derive(Debug)]
pub struct Gaps<I> {
    input: I,
    at: u64,
    end: u64,
    next: Option<Extent>,
}

impl<I> Gaps<I> {
    /// Fills the gaps of `input`, whose extents are in order, between two sectors.
    #[must_use]
    pub const fn new(input: I, sectors: Range<u64>) -> Gaps<I> {
        Gaps {
            input,
            at: sectors.start,
            end: sectors.end,
            next: None,
        }
    }
}

impl<I: Iterator<Item = Result<Extent, FetchError>>> Iterator for Gaps<I> {
    type Item = Result<Extent, FetchError>;

    fn next(&mut self) -> Option<Result<Extent, FetchError>> {
        if self.next.is_none() {
            match self.input.next() {
                Some(Ok(extent)) => self.next = Some(extent),
                Some(Err(error)) => return Some(Err(error)),
                None => {}
            }
        }
        let until = self.next.map_or(self.end, |next| next.start);
        if self.at < until {
            let sectors = u32::try_from((until - self.at).min(SECTORS_MAX));
            let gap = Extent {
                start: self.at,
                sectors: sectors.expect("cut to the longest above"),
                rank: 0,
                object: 0,
                frame: Extent::ZERO,
                offset: 0,
                disk: 0,
            };
            self.at = gap.end();
            return Some(Ok(gap));
        }
        let extent = self.next.take()?;
        self.at = extent.end();
        Some(Ok(extent))
    }
}
