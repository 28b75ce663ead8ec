//! A run of sectors and where its bytes lie.

/// A non-empty run of sectors of one disk and the place of its payload.
///
/// 32 bytes, since an interval holds millions of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First sector on the disk, below 2^48.
    pub start: u64,
    /// Length in sectors.
    pub sectors: u32,
    /// Order of writing: of two extents over the same sector the one of higher rank counts.
    pub rank: u32,
    /// Number of the object (segment or layer) that holds the payload; the caller's numbering.
    /// Means nothing where the sectors are zeroes.
    pub object: u32,
    /// Number of the frame in that object, or [`Extent::ZERO`] where the sectors are zeroes.
    pub frame: u32,
    /// Sector of the frame's raw payload where the run begins.
    pub offset: u16,
    /// The disk; the caller's numbering.
    pub disk: u16,
}

impl Extent {
    /// Stands for a frame where the sectors are zeroes and have no payload.
    pub const ZERO: u32 = u32::MAX;

    /// First sector after the run.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.sectors as u64
    }

    /// Whether the sectors are zeroes.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.frame == Extent::ZERO
    }

    /// The part of the run between two sectors.
    ///
    /// # Panics
    ///
    /// Where that part is empty or not inside the run.
    #[must_use]
    pub fn part(&self, start: u64, end: u64) -> Extent {
        assert!(
            self.start <= start && start < end && end <= self.end(),
            "a part lies inside its run"
        );
        let skipped = u16::try_from(start - self.start);
        let offset = if self.is_zero() {
            0
        } else {
            self.offset + skipped.expect("a frame has at most 2048 sectors")
        };
        let sectors = u32::try_from(end - start).expect("a part is no longer than its run");
        Extent {
            start,
            sectors,
            offset,
            ..*self
        }
    }

    /// Appends `next` where it goes on both on the disk and in the payload.
    pub(crate) fn absorb(&mut self, next: &Extent) -> bool {
        if self.disk != next.disk || self.end() != next.start {
            return false;
        }
        let payload_follows = if self.is_zero() {
            next.is_zero()
        } else {
            (self.object, self.frame) == (next.object, next.frame)
                && u32::from(self.offset) + self.sectors == u32::from(next.offset)
        };
        match self.sectors.checked_add(next.sectors) {
            Some(sectors) if payload_follows => {
                self.sectors = sectors;
                true
            }
            _ => false,
        }
    }
}
