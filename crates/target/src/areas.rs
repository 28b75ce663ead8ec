//! Extents cut to areas: what a rewound disk has to get back.

use afterimage_coalesce::Extent;
use afterimage_fetch::FetchError;

/// The parts of `content` that lie in `areas`; both are in address order and disjoint.
#[derive(Debug)]
pub struct Areas<A, C> {
    areas: A,
    content: C,
    area: Option<Extent>,
    extent: Option<Extent>,
}

impl<A, C> Areas<A, C> {
    /// Cuts `content` to `areas`.
    #[must_use]
    pub const fn new(areas: A, content: C) -> Areas<A, C> {
        Areas {
            areas,
            content,
            area: None,
            extent: None,
        }
    }
}

impl<A, C> Iterator for Areas<A, C>
where
    A: Iterator<Item = Result<Extent, FetchError>>,
    C: Iterator<Item = Result<Extent, FetchError>>,
{
    type Item = Result<Extent, FetchError>;

    fn next(&mut self) -> Option<Result<Extent, FetchError>> {
        loop {
            if self.area.is_none() {
                match self.areas.next()? {
                    Ok(area) => self.area = Some(area),
                    Err(error) => return Some(Err(error)),
                }
            }
            if self.extent.is_none() {
                match self.content.next()? {
                    Ok(extent) => self.extent = Some(extent),
                    Err(error) => return Some(Err(error)),
                }
            }
            let (area, extent) = (self.area?, self.extent?);
            let start = area.start.max(extent.start);
            let end = area.end().min(extent.end());
            // Whichever ends first has nothing left to meet.
            if area.end() <= extent.end() {
                self.area = None;
            }
            if extent.end() <= area.end() {
                self.extent = None;
            }
            if start < end {
                return Some(Ok(extent.part(start, end)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gaps::Gaps;

    const SECTORS: u64 = 64;

    fn runs() -> impl Strategy<Value = Vec<Extent>> {
        prop::collection::vec((1..6u64, 1..6u32), 0..10).prop_map(|steps| {
            let mut at = 0;
            let mut runs = Vec::new();
            for (skip, sectors) in steps {
                let start = at + skip;
                if start + u64::from(sectors) > SECTORS {
                    break;
                }
                let frame = u32::try_from(start).unwrap();
                runs.push(Extent {
                    start,
                    sectors,
                    rank: 0,
                    object: 0,
                    frame,
                    offset: 0,
                    disk: 0,
                });
                at = start + u64::from(sectors);
            }
            runs
        })
    }

    fn plain(runs: &[Extent]) -> Vec<Option<(u32, u64)>> {
        let mut plain = vec![None; usize::try_from(SECTORS).unwrap()];
        for run in runs {
            for at in run.start..run.end() {
                let zero = run.is_zero();
                let offset = u64::from(run.offset) + at - run.start;
                let slot = &mut plain[usize::try_from(at).unwrap()];
                assert!(slot.is_none(), "sector {at} comes twice");
                *slot = Some((run.frame, if zero { 0 } else { offset }));
            }
        }
        plain
    }

    proptest! {
        /// The oracle marks sectors one by one.
        #[test]
        fn the_content_of_the_areas_and_nothing_else_remains(areas in runs(), content in runs()) {
            let ok = |runs: &[Extent]| runs.iter().copied().map(Ok).collect::<Vec<_>>().into_iter();
            let whole = Gaps::new(ok(&content), 0..SECTORS);
            let whole: Vec<Extent> = whole.map(Result::unwrap).collect();
            prop_assert!(plain(&whole).iter().all(Option::is_some), "gaps are filled");
            let cut: Vec<Extent> =
                Areas::new(ok(&areas), ok(&whole)).map(Result::unwrap).collect();
            let inside = plain(&areas);
            let expected: Vec<_> = plain(&whole)
                .into_iter()
                .zip(inside)
                .map(|(content, inside)| inside.and(content))
                .collect();
            prop_assert_eq!(plain(&cut), expected);
        }
    }
}
