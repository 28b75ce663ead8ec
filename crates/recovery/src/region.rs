//! A resolved region of a disk: where each of its runs of bytes lies, so that reading one of them
//! asks for nothing but the frame.

use std::{collections::HashMap, ops::Range};

use afterimage_changelog::count;
use afterimage_coalesce::Extent;
use afterimage_fetch::{FetchError, FrameRef};

/// Sectors of a region: 4 MiB.
pub(crate) const REGION_SECTORS: u64 = 8192;

/// The runs of a region that have payload, in order, and the frames that they lie in. Everything
/// between them is zeroes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    pieces: Box<[Piece]>,
    frames: Box<[FrameRef]>,
}

/// A run of sectors. A search in a region of a thousand of them looks at a few lines of memory,
/// which is why it is 8 bytes and not the 32 of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// First sector, counted from the start of the region.
    start: u16,
    sectors: u16,
    /// Sector of the frame's payload where the run begins.
    offset: u16,
    /// Number of the frame in the region's list.
    frame: u16,
}

/// A run of sectors of the disk, and where its payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed<'a> {
    /// Sectors of the disk.
    pub(crate) sectors: Range<u64>,
    /// Sector of the frame's payload where they begin.
    pub(crate) offset: u64,
    /// The frame.
    pub(crate) frame: &'a FrameRef,
}

impl Region {
    /// Resolves a region of its live extents, which are in order and lie inside it. `frame` finds
    /// the index entry of an extent's frame.
    ///
    /// # Errors
    ///
    /// Those of the extents and of `frame`.
    pub(crate) fn resolve(
        number: u64,
        extents: impl Iterator<Item = Result<Extent, FetchError>>,
        mut frame: impl FnMut(&Extent) -> Result<FrameRef, FetchError>,
    ) -> Result<Region, FetchError> {
        const INSIDE: &str = "extents lie inside their region, which is one of 8192 sectors";
        let first = number * REGION_SECTORS;
        let mut pieces = Vec::new();
        let mut frames = Vec::new();
        let mut known = HashMap::new();
        for extent in extents {
            let extent = extent?;
            if extent.is_zero() {
                continue;
            }
            let place = match known.get(&(extent.object, extent.frame)) {
                Some(&place) => place,
                None => {
                    let place = u16::try_from(frames.len()).expect(INSIDE);
                    frames.push(frame(&extent)?);
                    known.insert((extent.object, extent.frame), place);
                    place
                }
            };
            pieces.push(Piece {
                start: u16::try_from(extent.start - first).expect(INSIDE),
                sectors: u16::try_from(extent.sectors).expect(INSIDE),
                offset: extent.offset,
                frame: place,
            });
        }
        Ok(Region {
            pieces: pieces.into(),
            frames: frames.into(),
        })
    }

    /// The runs that hold any of these sectors of the disk, whole; `number` is the region's.
    pub(crate) fn placed(
        &self,
        number: u64,
        sectors: Range<u64>,
    ) -> impl Iterator<Item = Placed<'_>> {
        let first = number * REGION_SECTORS;
        let placed = move |piece: &Piece| {
            let start = first + u64::from(piece.start);
            start..start + u64::from(piece.sectors)
        };
        let behind = |piece: &Piece| placed(piece).end <= sectors.start;
        let from = self.pieces.partition_point(behind);
        let pieces = self.pieces.get(from..).unwrap_or_default().iter();
        pieces
            .map(move |piece| (placed(piece), piece))
            .take_while(move |(run, _)| run.start < sectors.end)
            .filter_map(|(sectors, piece)| {
                Some(Placed {
                    sectors,
                    offset: u64::from(piece.offset),
                    frame: self.frames.get(usize::from(piece.frame))?,
                })
            })
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        count(size_of_val(&*self.pieces)) + count(size_of_val(&*self.frames))
    }
}

#[cfg(test)]
mod tests {
    use afterimage_changelog::{Codec, Digest, FrameEntry};
    use proptest::prelude::*;

    use super::*;

    fn frame_of(extent: &Extent) -> FrameRef {
        FrameRef {
            object: extent.object,
            frame: extent.frame,
            place: extent.object + 100,
            entry: FrameEntry {
                offset: u64::from(extent.frame) * 10,
                stored: 7,
                raw: 1 << 20,
                codec: Codec::Zstd,
                layer: 0,
                digest: Digest::NONE,
            },
        }
    }

    prop_compose! {
        /// Extents of one region in order, with holes between some of them.
        fn extents()(
            number in 0u64..(1 << 30),
            steps in prop::collection::vec((0u64..40, 1u32..300, 0u32..3, 0u32..4, 0u16..1700, any::<bool>()), 0..80),
        ) -> (u64, Vec<Extent>) {
            let end = (number + 1) * REGION_SECTORS;
            let mut at = number * REGION_SECTORS;
            let mut extents = Vec::new();
            for (hole, sectors, object, frame, offset, zero) in steps {
                let start = at + hole;
                if start >= end {
                    break;
                }
                let sectors = sectors.min(u32::try_from(end - start).unwrap_or(u32::MAX));
                at = start + u64::from(sectors);
                let (frame, offset) = if zero { (Extent::ZERO, 0) } else { (frame, offset) };
                extents.push(Extent { start, sectors, rank: 0, object, frame, offset, disk: 0 });
            }
            (number, extents)
        }
    }

    proptest! {
        /// Beside a look at each extent.
        #[test]
        fn a_region_says_what_its_extents_said(
            (number, extents) in extents(),
            from in 0..REGION_SECTORS,
            sectors in 1..200u64,
        ) {
            let given = extents.iter().copied().map(Ok);
            let region = Region::resolve(number, given, |extent| Ok(frame_of(extent))).unwrap();
            let start = number * REGION_SECTORS + from;
            let asked = start..start + sectors;
            let found: Vec<_> = region
                .placed(number, asked.clone())
                .map(|run| (run.sectors, run.offset, *run.frame))
                .collect();
            let expected: Vec<_> = extents
                .iter()
                .filter(|extent| !extent.is_zero())
                .filter(|extent| extent.start < asked.end && extent.end() > asked.start)
                .map(|extent| (extent.start..extent.end(), u64::from(extent.offset), frame_of(extent)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// One frame a sector, the most there can be, and one extent over all of it.
    #[test]
    fn the_smallest_and_the_largest_extents_fit() {
        let extent = |start, sectors, frame| Extent {
            start,
            sectors,
            rank: 0,
            object: 1,
            frame,
            offset: 0,
            disk: 0,
        };
        let sectors = u32::try_from(REGION_SECTORS).unwrap();
        let small: Vec<Extent> = (0..sectors)
            .map(|at| extent(u64::from(at), 1, at))
            .collect();
        let given = small.iter().copied().map(Ok);
        let region = Region::resolve(0, given, |extent| Ok(frame_of(extent))).unwrap();
        assert_eq!(region.placed(0, 0..REGION_SECTORS).count(), 8192);
        let last = region.placed(0, 8191..8192).next().unwrap();
        assert_eq!(
            (last.sectors.clone(), last.frame.frame),
            (8191..8192, sectors - 1)
        );

        let large = extent(0, sectors, 3);
        let region = Region::resolve(0, [Ok(large)].into_iter(), |extent| Ok(frame_of(extent)));
        let region = region.unwrap();
        let mut found = region.placed(0, 8000..8001);
        assert_eq!(found.next().unwrap().sectors, 0..REGION_SECTORS);
    }
}
