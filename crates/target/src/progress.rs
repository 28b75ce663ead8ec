//! What a replica's disk holds, in a record of two slots that never share a sector.
//!
//! ```text
//! offset  size  field
//!      0     8  magic      "AFTRREP" and a zero byte
//!      8     1  version    1
//!      9     1  state      1 stands at a point, 2 moves between two, 3 is being rebuilt
//!     10     6  reserved   zero
//!     16     8  counter    of the record; the slot with the higher one counts
//!     24     8  at         id of the point it stands at or comes from; zero: the blank disk
//!     32    16  at cut     that point's cut
//!     48     8  to         id of the point it moves to
//!     56    16  to cut     that point's cut
//!     72     8  file       which file the disk was then
//!     80     8  content    its size and the time of its last change then, mixed
//!     88     -  group      name behind its one-byte length
//!      -     -  disk       name behind its one-byte length
//!      -    32  digest     BLAKE3 of all bytes before it
//! ```

use afterimage_changelog::{
    DecodeError, Digest, Fault, Name, ObjectId,
    limits::NUMBER_MAX,
    wire::{Put, Take},
};
use afterimage_storage::{Disk, DiskError, Stamp};

const MAGIC: [u8; 8] = *b"AFTRREP\0";
const VERSION: u8 = 1;
const PART: &str = "replica progress";
/// Bytes from one slot to the other.
const SLOT_BYTES: u64 = 4096;
/// Bytes of a slot that are used.
const SLOT_USED_BYTES: usize = 512;
/// Bytes of the whole record.
pub const PROGRESS_BYTES: u64 = 2 * SLOT_BYTES;

/// A point, so that another one of the same number is not taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The point's id; zero stands for the blank disk before the first point.
    pub id: u64,
    /// The point's cut.
    pub cut: ObjectId,
}

/// What is known of the disk's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is this point.
    At(Stand),
    /// Every sector holds what some point from `from` to `to` has there.
    Moving {
        /// The older end.
        from: Stand,
        /// The newer end.
        to: Stand,
    },
    /// It may be anything, on the way to `to`.
    Rebuilding {
        /// Where it goes.
        to: Stand,
    },
}

/// The record of one replica disk.
#[derive(Debug)]
pub struct Progress<'a> {
    disk: &'a dyn Disk,
    group: Name,
    name: Name,
    counter: u64,
    standing: Option<Standing>,
    /// What the disk was when that was recorded.
    stamp: Stamp,
    /// Whether the record is of this disk of this group.
    is_ours: bool,
}

impl<'a> Progress<'a> {
    /// Reads the record of disk `name` of a group from `disk`, which is at least 8 KiB large. It is
    /// made durable before it is believed.
    ///
    /// # Errors
    ///
    /// The disk failed. Slots that are not whole are no error: the other one counts, and without
    /// any the disk's content is unknown.
    pub fn load(disk: &'a dyn Disk, group: &Name, name: &Name) -> Result<Progress<'a>, DiskError> {
        disk.flush()?;
        let mut progress = Progress {
            disk,
            group: group.clone(),
            name: name.clone(),
            counter: 0,
            standing: None,
            stamp: Stamp::default(),
            is_ours: false,
        };
        for place in [0, 1] {
            let mut slot = [0; SLOT_USED_BYTES];
            disk.read_at(place * SLOT_BYTES, &mut slot)?;
            // One at the other's place would have the next record written over the one that counts.
            if let Ok((counter, standing, stamp)) = progress.decode(&slot)
                && counter % 2 == place
                && counter > progress.counter
            {
                progress.counter = counter;
                progress.standing = Some(standing);
                progress.stamp = stamp;
                progress.is_ours = true;
            }
        }
        Ok(progress)
    }

    /// What is known of the disk's content; `None` where nothing is.
    #[must_use]
    pub const fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// What the disk was when its standing was recorded.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the record is one of this disk of this group, whatever it says.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Believes the record no more: the disk is not what it was.
    pub const fn distrust(&mut self) {
        self.standing = None;
    }

    /// Records where the disk stands, durably, in both slots, so that what one of them says stays
    /// known when the other one is damaged. A slot with an older record could not be told from the
    /// newest one then, and may be of a time before the disk was moved.
    ///
    /// 1. writes the slot that does not count now: a crash leaves the other one, which counts;
    /// 2. flushes: from here on the new record counts;
    /// 3. writes the other slot: a crash leaves the first one, which counts;
    /// 4. flushes: from here on one damaged slot changes nothing.
    ///
    /// # Errors
    ///
    /// The disk failed; the old record or the new one counts then.
    pub fn record(&mut self, standing: Standing, stamp: Stamp) -> Result<(), DiskError> {
        self.record_once(standing, stamp)?;
        self.record_once(standing, stamp)
    }

    fn record_once(&mut self, standing: Standing, stamp: Stamp) -> Result<(), DiskError> {
        let counter = self.counter + 1;
        let bytes = self.encode(counter, standing, stamp);
        self.disk.write_at(counter % 2 * SLOT_BYTES, &bytes)?;
        self.disk.flush()?;
        self.counter = counter;
        self.standing = Some(standing);
        self.stamp = stamp;
        self.is_ours = true;
        Ok(())
    }

    fn encode(&self, counter: u64, standing: Standing, stamp: Stamp) -> [u8; SLOT_USED_BYTES] {
        let (state, at, to) = match standing {
            Standing::At(at) => (1, at, Stand::default()),
            Standing::Moving { from, to } => (2, from, to),
            Standing::Rebuilding { to } => (3, Stand::default(), to),
        };
        let mut out = Put::default();
        out.bytes(&MAGIC);
        out.u8(VERSION);
        out.u8(state);
        out.bytes(&[0; 6]);
        out.u64(counter);
        for stand in [at, to] {
            out.u64(stand.id);
            out.bytes(&stand.cut.0);
        }
        out.u64(stamp.file);
        out.u64(stamp.content);
        out.text(self.group.as_str());
        out.text(self.name.as_str());
        let digest = Digest::of(&out.0);
        out.bytes(&digest.0);
        let mut slot = [0; SLOT_USED_BYTES];
        let used = slot.get_mut(..out.0.len());
        used.expect("two names fit a slot").copy_from_slice(&out.0);
        slot
    }

    fn decode(&self, slot: &[u8]) -> Result<(u64, Standing, Stamp), DecodeError> {
        let mut input = Take::new(PART, slot);
        if input.array()? != MAGIC {
            return Err(input.error(Fault::Magic));
        }
        let version = input.u8()?;
        if version != VERSION {
            return Err(input.error(Fault::Version(version)));
        }
        let state = input.u8()?;
        input.reserved::<6>()?;
        let counter = input.u64()?;
        if counter > NUMBER_MAX {
            return Err(input.error(Fault::Limit("the counter")));
        }
        let mut stand = || -> Result<Stand, DecodeError> {
            let id = input.u64()?;
            let cut = ObjectId(input.array()?);
            Ok(Stand { id, cut })
        };
        let (at, to) = (stand()?, stand()?);
        let standing = match state {
            1 => Standing::At(at),
            2 => Standing::Moving { from: at, to },
            3 => Standing::Rebuilding { to },
            _ => return Err(input.error(Fault::Field("a replica's state"))),
        };
        let stamp = Stamp {
            file: input.u64()?,
            content: input.u64()?,
        };
        let (group, name) = (input.name()?, input.name()?);
        let covered = slot.len() - input.left();
        let digest = Digest(input.array()?);
        if Digest::of(slot.get(..covered).unwrap_or_default()) != digest {
            return Err(input.error(Fault::Digest));
        }
        if (&group, &name) != (&self.group, &self.name) {
            return Err(input.error(Fault::Field("a replica's owner")));
        }
        Ok((counter, standing, stamp))
    }
}
