//! One row of an index: which sectors of which disk lie where.
//!
//! ```text
//! offset  size  field
//!      0     1  kind      1 write, 2 zero, 3 marker
//!      1     1  flags     bit 0: belongs to the same source write as the row before it
//!      2     2  disk      number in the object's table of disks
//!      4     4  sectors   length on the disk; 0 for a marker
//!      8     8  start     first sector; for a marker its number in the table of markers
//!     16     4  frame     number of the frame that holds the payload; 0 unless a write
//!     20     2  offset    sector of the frame's raw payload where it begins
//!     22     2  reserved  zero
//!     24
//! ```

use crate::{
    error::{DecodeError, Fault},
    units::SECTOR,
    wire::Take,
};

/// Encoded length of a row.
pub const ROW_BYTES: usize = 24;

/// One row of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it does.
    pub kind: RowKind,
    /// Whether it goes on with the source write of the row before it. A write that is larger than
    /// a frame becomes several rows; only the last of them is a state the disk was ever in.
    pub continued: bool,
    /// Number of the disk in the object's table.
    pub disk: u16,
    /// Sectors on the disk.
    pub sectors: u32,
    /// First sector on the disk.
    pub start: u64,
}

/// What a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// Replaces the sectors with payload.
    Write {
        /// Number of the frame that holds the payload.
        frame: u32,
        /// Sector of the frame's raw payload where it begins.
        offset: u16,
    },
    /// Fills the sectors with zeroes: a discard or a write of zeroes.
    Zero,
    /// A point may be cut here; `start` is the number of the marker.
    Marker,
}

impl Row {
    /// First sector after the run.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.sectors))
    }

    /// Bytes of the run.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.sectors) * SECTOR
    }

    /// Encodes the row.
    #[must_use]
    pub fn encode(&self) -> [u8; ROW_BYTES] {
        let Row {
            kind,
            continued,
            disk,
            sectors,
            start,
        } = *self;
        let (code, frame, offset) = match kind {
            RowKind::Write { frame, offset } => (1u8, frame, offset),
            RowKind::Zero => (2, 0, 0),
            RowKind::Marker => (3, 0, 0),
        };
        let [d0, d1] = disk.to_le_bytes();
        let [n0, n1, n2, n3] = sectors.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = start.to_le_bytes();
        let [f0, f1, f2, f3] = frame.to_le_bytes();
        let [o0, o1] = offset.to_le_bytes();
        [
            code,
            u8::from(continued),
            d0,
            d1,
            n0,
            n1,
            n2,
            n3, //
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7, //
            f0,
            f1,
            f2,
            f3,
            o0,
            o1,
            0,
            0,
        ]
    }

    /// Decodes a row.
    ///
    /// # Errors
    ///
    /// A kind or flag that is not known, a field set that the kind does not have, an empty run,
    /// an end past the number space.
    pub fn take(input: &mut Take<'_>) -> Result<Row, DecodeError> {
        let here = input.clone();
        let [code, flags] = input.array()?;
        let disk = input.u16()?;
        let sectors = input.u32()?;
        let start = input.u64()?;
        let frame = input.u32()?;
        let offset = input.u16()?;
        input.reserved::<2>()?;
        let invalid = |what| Err(here.error(Fault::Field(what)));
        if flags > 1 {
            return invalid("a row's flags");
        }
        let kind = match code {
            1 => RowKind::Write { frame, offset },
            2 => RowKind::Zero,
            3 => RowKind::Marker,
            _ => return invalid("a row's kind"),
        };
        let is_write = code == 1;
        let is_marker = code == 3;
        if !is_write && (frame, offset) != (0, 0) {
            return invalid("a row's frame");
        }
        if is_marker != (sectors == 0) || is_marker && (disk != 0 || flags != 0) {
            return invalid("a row's length");
        }
        if start.checked_add(u64::from(sectors)).is_none() {
            return invalid("a row's end");
        }
        Ok(Row {
            kind,
            continued: flags == 1,
            disk,
            sectors,
            start,
        })
    }
}
