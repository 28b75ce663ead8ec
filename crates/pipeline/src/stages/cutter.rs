//! Segments in, coalesced parts of intervals out.

use std::sync::Arc;

use afterimage_cache::Segment;
use afterimage_changelog::{Disk, Marker, Row, RowKind, limits::ROWS_MAX};
use afterimage_coalesce::coalesce;

use super::part::{BYTES_PER_RECORD, Cut, Part};
use crate::{
    error::Error,
    gather::{Gather, position, split},
};

/// Rows of a layer left for what disks that shrink add.
const ROWS_SPARE: u64 = 65_536;
/// Records that are gathered however little memory there is.
const RECORDS_MIN: u64 = 1024;

/// Gathers records up to a marker, or up to what the memory holds, and coalesces them.
#[derive(Debug)]
pub(crate) struct Cutter {
    gather: Gather,
    /// The segment that is being read.
    open: Option<OpenSegment>,
    /// Parts made so far.
    parts: u64,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    records: usize,
    sources_bytes: u64,
}

#[derive(Debug)]
struct OpenSegment {
    segment: Arc<Segment>,
    rows: Vec<Row>,
    /// The next row.
    at: usize,
    /// The number in the group of each of its disks.
    disks: Vec<u16>,
}

impl OpenSegment {
    fn marker(&self, row: &Row) -> Option<&Marker> {
        if row.kind != RowKind::Marker {
            return None;
        }
        let markers = &self.segment.container.directory.markers;
        let marker = usize::try_from(row.start).ok();
        let marker = marker.and_then(|marker| markers.get(marker));
        Some(marker.expect("rows were checked against the table of markers"))
    }
}

impl Cutter {
    /// Begins behind a point with these disks. A part needs at most `memory` bytes.
    pub(crate) fn new(disks: Vec<Disk>, memory: u64) -> Cutter {
        // What is live of n records is less than 2n runs, and they go into one layer's rows.
        let records_max = ROWS_MAX / 2 - ROWS_SPARE;
        let records = memory / 3 * 2 / BYTES_PER_RECORD;
        let records = records.clamp(RECORDS_MIN, records_max);
        Cutter {
            gather: Gather::new(disks),
            open: None,
            parts: 0,
            limits: Limits {
                records: usize::try_from(records).unwrap_or(usize::MAX),
                sources_bytes: memory / 3,
            },
        }
    }

    /// Takes the next segment; the one before it was read to its end.
    ///
    /// # Errors
    ///
    /// Its disks cannot be those of a group.
    pub(crate) fn push(&mut self, segment: Segment) -> Result<(), Error> {
        let at = segment.covered_rows;
        let (segment, rows) = split(segment);
        let disks = self.gather.add_source(&segment)?;
        self.open = Some(OpenSegment {
            segment,
            rows,
            at,
            disks,
        });
        Ok(())
    }

    /// The next part; `None` where another segment is needed for it.
    ///
    /// # Errors
    ///
    /// Those of `push`.
    pub(crate) fn pull(&mut self) -> Result<Option<Part>, Error> {
        while let Some(open) = &mut self.open {
            let Some(row) = open.rows.get(open.at).copied() else {
                self.open = None;
                break;
            };
            let position = position(&open.segment, open.at);
            open.at += 1;
            if let Some(marker) = open.marker(&row).cloned() {
                let row = (row, position.sequence);
                self.gather.add_row(&row.0, row.1, &open.disks);
                let disks = self.gather.disks().to_vec();
                let cut = Cut {
                    marker,
                    position,
                    disks,
                };
                return Ok(Some(self.part(Some(cut))?));
            }
            let full = self.gather.extents.len() >= self.limits.records
                || self.gather.sources.memory() > self.limits.sources_bytes;
            let part = match full {
                true => Some(self.part(None)?),
                false => None,
            };
            if let Some(open) = &self.open {
                self.gather.add_row(&row, position.sequence, &open.disks);
            }
            if part.is_some() {
                return Ok(part);
            }
        }
        Ok(None)
    }

    /// Makes a part of what was gathered; the segment goes on as the first of the next one.
    fn part(&mut self, cut: Option<Cut>) -> Result<Part, Error> {
        let Gather {
            extents,
            sources,
            first,
            last,
            ..
        } = &mut self.gather;
        let part = Part {
            number: self.parts,
            live: coalesce(std::mem::take(extents)),
            sources: std::mem::take(sources),
            first: first.unwrap_or(*last),
            last: *last,
            widest: self.gather.widest().to_vec(),
            counts: self.gather.counts,
            cut,
        };
        self.parts += 1;
        self.gather.clear();
        if let Some(open) = &mut self.open {
            open.disks = self.gather.add_source(&open.segment)?;
        }
        Ok(part)
    }
}
