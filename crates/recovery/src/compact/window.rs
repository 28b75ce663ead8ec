//! A window's live bytes on their way from the old layers into the new ones.

use afterimage_changelog::{
    EncodedFrame, Row, RowKind, SECTOR, count, length, row::ROW_BYTES, size,
};
use afterimage_coalesce::Extent;
use afterimage_fetch::{Ahead, FrameRef, FrameSource, runs};
use rayon::prelude::*;

use super::{
    Limits, Rewritten,
    fate::{Fates, Needed},
    sources::Sources,
};
use crate::{error::RecoveryError, output::LayerOutput, pack::pack};

/// Where the payload of an extent went.
#[derive(Clone, Copy, Debug)]
struct Placed {
    layer: u32,
    frame: u32,
    offset: u16,
}

/// Bytes held for each live extent of a window at most: itself, its key while fates are decided,
/// a frame of its own, its number, the sectors before it, where it goes. Lists that grow have room
/// for twice as many.
pub(super) fn row_bytes_held() -> u64 {
    let growing = size_of::<Extent>() + size_of::<(u32, u32, u32)>() + size_of::<Needed>();
    let fixed = size_of::<u32>() + size_of::<u64>() + size_of::<Option<Placed>>();
    count(2 * growing + fixed)
}

/// A window, what becomes of its frames, and where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) window: &'a [Extent],
    pub(super) fates: &'a Fates,
    pub(super) source: &'a Sources,
}

/// What is taken of a frame.
#[derive(Debug)]
pub(super) enum Taken {
    /// All of it, as it is stored.
    Whole(EncodedFrame),
    /// The payload of its live extents, one behind the other.
    Live(Vec<u8>),
}

impl Taken {
    fn bytes(&self) -> u64 {
        match self {
            Taken::Whole(frame) => length(&frame.bytes),
            Taken::Live(payload) => length(payload),
        }
    }
}

impl View<'_> {
    /// Fetches and checks frames, and takes the live bytes out of those that do not pass.
    pub(super) fn take(&self, batch: &[Needed]) -> Result<Vec<Taken>, RecoveryError> {
        let runs = runs(self.source, batch.iter().map(|frame| frame.at));
        let source = Ahead::of(self.source, &runs);
        let fetched = runs
            .par_iter()
            .map(|run| run.fetch(&source))
            .collect::<Result<Vec<_>, _>>()?;
        let frames: Vec<(FrameRef, EncodedFrame)> = runs
            .iter()
            .zip(fetched)
            .flat_map(|(run, frames)| run.frames.iter().copied().zip(frames))
            .collect();
        assert!(
            frames
                .iter()
                .map(|(at, _)| at)
                .eq(batch.iter().map(|needed| &needed.at)),
            "runs keep the order of their frames"
        );
        batch
            .par_iter()
            .zip(frames)
            .map(|(needed, (_, frame))| {
                if needed.passes {
                    Ok(Taken::Whole(frame))
                } else {
                    self.live_of(needed, &frame).map(Taken::Live)
                }
            })
            .collect()
    }

    fn live_of(&self, needed: &Needed, frame: &EncodedFrame) -> Result<Vec<u8>, RecoveryError> {
        let payload = frame
            .decode()
            .map_err(|error| RecoveryError::corrupt(&self.source.name(needed.at.object), error))?;
        let mut live = Vec::with_capacity(size(needed.live_bytes()));
        for extent in self.extents_of(needed) {
            let start = size(u64::from(extent.offset) * SECTOR);
            let piece = payload.get(start..start + bytes_of(extent));
            live.extend_from_slice(piece.expect("rows were checked against their frames"));
        }
        Ok(live)
    }

    fn extents_of(&self, needed: &Needed) -> impl Iterator<Item = &Extent> {
        let numbers = self.fates.extents_of(needed).iter();
        numbers.filter_map(|number| self.window.get(size(u64::from(*number))))
    }
}

fn bytes_of(extent: &Extent) -> usize {
    size(u64::from(extent.sectors) * SECTOR)
}

/// Gathers the frames of a window, and writes them in address order.
#[derive(Debug)]
pub(super) struct WindowWriter<'w, 'a> {
    view: View<'w>,
    limits: Limits,
    level: i32,
    output: &'w mut LayerOutput<'a>,
    rewritten: &'w mut Rewritten,
    /// Where each extent went.
    places: Vec<Option<Placed>>,
    gathered: Vec<(Needed, Taken)>,
    gathered_bytes: u64,
}

impl<'w, 'a> WindowWriter<'w, 'a> {
    pub(super) fn begin(
        view: View<'w>,
        limits: Limits,
        level: i32,
        output: &'w mut LayerOutput<'a>,
        rewritten: &'w mut Rewritten,
    ) -> Result<WindowWriter<'w, 'a>, RecoveryError> {
        // Layers that end between windows hold one address range each.
        let expected = view.fates.frames.iter().map(Needed::gathered_bytes).sum();
        if !output.has_room(count(view.window.len()), expected) {
            output.seal()?;
        }
        let changed = view.window.iter().map(|extent| u64::from(extent.sectors));
        rewritten.written.changed_bytes += changed.sum::<u64>() * SECTOR;
        Ok(WindowWriter {
            places: vec![None; view.window.len()],
            view,
            limits,
            level,
            output,
            rewritten,
            gathered: Vec::new(),
            gathered_bytes: 0,
        })
    }

    /// Takes the frames of a batch in.
    pub(super) fn gather(&mut self, batch: &[Needed], taken: Vec<Taken>) {
        let mut fetched = 0;
        for (needed, taken) in batch.iter().zip(taken) {
            let written = &mut self.rewritten.written;
            fetched += needed.fetched_bytes();
            written.fetched_bytes += u64::from(needed.at.entry.stored);
            match &taken {
                Taken::Whole(_) => {
                    written.passed_frames += 1;
                    written.passed_bytes += taken.bytes();
                }
                Taken::Live(_) => {
                    written.repacked_frames += 1;
                    written.repacked_bytes += taken.bytes();
                }
            }
            self.gathered_bytes += taken.bytes();
            self.gathered.push((*needed, taken));
        }
        let (rows, frames) = self.output.held();
        let held = count(self.view.window.len()) * row_bytes_held()
            + 2 * self.gathered_bytes
            + fetched
            + 2 * (rows * count(ROW_BYTES) + frames * 64);
        self.rewritten.held_bytes_max = self.rewritten.held_bytes_max.max(held);
    }

    pub(super) fn write_if_full(&mut self) -> Result<(), RecoveryError> {
        if self.gathered_bytes < self.limits.gather_bytes {
            return Ok(());
        }
        self.write()
    }

    /// Packs what was gathered and writes it, frames in the order of their first bytes on the disks.
    fn write(&mut self) -> Result<(), RecoveryError> {
        self.gathered_bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let mut frames: Vec<(EncodedFrame, Vec<(u32, u16)>)> = self.packed(&gathered);
        for (needed, taken) in gathered {
            let Taken::Whole(frame) = taken else {
                continue;
            };
            let numbers = self.view.fates.extents_of(&needed).iter();
            let offsets = self.view.extents_of(&needed).map(|extent| extent.offset);
            frames.push((frame, numbers.copied().zip(offsets).collect()));
        }
        frames.sort_by_key(|(_, extents)| extents.first().map(|(number, _)| *number));
        for (frame, extents) in frames {
            let rows = count(self.view.window.len());
            if !self.output.has_room(rows, length(&frame.bytes)) {
                self.put_rows(false)?;
                self.output.seal()?;
            }
            let layer = self.output.number();
            let frame = self.output.put_frame(frame)?;
            for (number, offset) in extents {
                let place = self.places.get_mut(size(u64::from(number)));
                *place.expect("extents have their numbers from the window") = Some(Placed {
                    layer,
                    frame,
                    offset,
                });
            }
        }
        Ok(())
    }

    /// New frames of the live pieces, each with the extents in it and where they lie in it.
    fn packed(&self, gathered: &[(Needed, Taken)]) -> Vec<(EncodedFrame, Vec<(u32, u16)>)> {
        let mut pieces: Vec<(u32, &[u8])> = Vec::new();
        for (needed, taken) in gathered {
            let Taken::Live(payload) = taken else {
                continue;
            };
            let mut rest = payload.as_slice();
            let numbers = self.view.fates.extents_of(needed).iter();
            for (number, extent) in numbers.zip(self.view.extents_of(needed)) {
                let (piece, behind) = rest
                    .split_at_checked(bytes_of(extent))
                    .expect("the payload was put together from these extents");
                pieces.push((*number, piece));
                rest = behind;
            }
        }
        pieces.sort_unstable_by_key(|(number, _)| *number);
        let packed = pack(&pieces, self.limits.frame_bytes, self.level);
        let extents = |inside: Vec<crate::pack::Packed>| {
            let extents = inside.iter().map(|piece| (piece.extent, piece.offset));
            extents.collect()
        };
        packed
            .into_iter()
            .map(|(frame, inside)| (frame, extents(inside)))
            .collect()
    }

    /// Writes what is left, and the rows.
    pub(super) fn end(mut self) -> Result<(), RecoveryError> {
        self.write()?;
        self.put_rows(true)
    }

    /// The rows of the extents whose frames are in the open layer, in address order; neighbours that
    /// go on in the same frame become one. Zeroed runs have no frame and go into the last layer.
    fn put_rows(&mut self, last: bool) -> Result<(), RecoveryError> {
        let layer = self.output.number();
        let mut pending: Option<Row> = None;
        for (extent, place) in self.view.window.iter().zip(&self.places) {
            let kind = match place {
                Some(place) if place.layer == layer => RowKind::Write {
                    frame: place.frame,
                    offset: place.offset,
                },
                None if last && extent.is_zero() => RowKind::Zero,
                _ => continue,
            };
            let row = Row {
                kind,
                continued: false,
                disk: extent.disk,
                sectors: extent.sectors,
                start: extent.start,
            };
            if let Some(before) = &mut pending {
                if goes_on(before, &row) {
                    before.sectors += row.sectors;
                    continue;
                }
                self.output.put_row(before)?;
            }
            pending = Some(row);
        }
        pending.map_or(Ok(()), |row| self.output.put_row(&row))
    }
}

/// Whether `next` goes on where `row` ends, on the disk and in the frame.
fn goes_on(row: &Row, next: &Row) -> bool {
    let payload = match (row.kind, next.kind) {
        (
            RowKind::Write { frame, offset },
            RowKind::Write {
                frame: next_frame,
                offset: next_offset,
            },
        ) => frame == next_frame && u32::from(offset) + row.sectors == u32::from(next_offset),
        _ => false,
    };
    payload && row.disk == next.disk && row.end() == next.start
}
