//! The record of a replica disk.

use afterimage_changelog::{ObjectId, size};
use afterimage_storage::{Disk, DiskError, DiskErrorKind, DiskOperation, MemoryDisk};
use afterimage_target::{Progress, Stand, Standing, progress::PROGRESS_BYTES};

use crate::{
    choices::Choices,
    rehash,
    sample::{SAMPLES, group, name},
    spoil::spoiled,
};

/// Where the second slot begins, and the bytes that a slot uses.
const SLOT_BYTES: usize = 4096;
const SLOT_USED_BYTES: usize = 512;
/// The highest byte of a slot's counter.
const COUNTER_TOP: usize = 23;

/// Loads a record from any bytes. What is recorded next is what the next load finds, whatever was
/// there before and whichever slot is damaged; and where its first write was torn, the next load
/// finds what the one before it found.
///
/// # Panics
///
/// Where that does not hold.
pub fn progress(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mode = choices.u8() % 3;
    let mut content = vec![0; size(PROGRESS_BYTES)];
    for start in [0, SLOT_BYTES] {
        let valid = SAMPLES
            .progress
            .get(start..start + SLOT_USED_BYTES)
            .unwrap_or_default();
        let count = size(choices.below(48));
        let mut edits = vec![0; count];
        edits.fill_with(|| choices.u8());
        let mut slot = spoiled(valid, &mut Choices::new(&edits));
        slot.resize(SLOT_USED_BYTES, 0);
        if mode == 1 {
            // No replica counts so far that the next number is the last one.
            slot.splice(COUNTER_TOP..=COUNTER_TOP, [0]);
            rehash::progress_slot(&mut slot);
        }
        content.splice(start..start + SLOT_USED_BYTES, slot);
    }
    if mode == 2 {
        for (to, from) in content.iter_mut().zip(choices.rest()) {
            *to = *from;
        }
    }
    check(&MemoryDisk::from(content));
}

fn check(disk: &MemoryDisk) {
    let (group, name) = (group(), name("one"));
    let load = |disk: &MemoryDisk| {
        let found = Progress::load(disk, &group, &name).expect("memory does not fail");
        found.standing()
    };
    let standing = Standing::At(Stand {
        id: 77,
        cut: ObjectId([7; 16]),
    });
    let torn = Torn(MemoryDisk::from(disk.content()));
    let mut found = Progress::load(&torn, &group, &name).expect("memory does not fail");
    let before = found.standing();
    assert!(
        found
            .record(standing, afterimage_storage::Stamp::default())
            .is_err()
    );
    assert_eq!(load(&torn.0), before);

    let mut found = Progress::load(disk, &group, &name).expect("memory does not fail");
    found
        .record(standing, afterimage_storage::Stamp::default())
        .expect("memory does not fail");
    assert_eq!(load(disk), Some(standing));
    for slot in [0, SLOT_BYTES] {
        let mut content = disk.content();
        content.splice(slot..slot + SLOT_USED_BYTES, [0xff; SLOT_USED_BYTES]);
        assert_eq!(load(&MemoryDisk::from(content)), Some(standing));
    }
}

/// A disk that fails at its first write and leaves nothing in particular there.
#[derive(Debug)]
struct Torn(MemoryDisk);

impl Disk for Torn {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.0.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.0.write_at(offset, &vec![0xff; data.len()])?;
        let kind = DiskErrorKind::Full;
        Err(DiskError::new(DiskOperation::Write, "torn", kind))
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.0.zero_at(offset, len)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.0.flush()
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let edited = |mode: u8, edits: &[u8]| {
        let count = u8::try_from(edits.len()).unwrap_or(0);
        [&[mode, 0, 0, count, 0], edits].concat()
    };
    vec![
        edited(0, &[]),
        edited(1, &[0, 9, 0, 3]),
        edited(1, &[2, 16, 0, 3]),
        edited(1, &[0, 72, 0, 4]),
        // A slot at the other's place.
        edited(1, &[0, 16, 0, 6, 0, 9, 0, 1]),
        [&[2], [0; 4].as_slice(), &SAMPLES.progress].concat(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_record_is_found() {
        let disk = MemoryDisk::from(SAMPLES.progress.clone());
        let (group, name) = (group(), name("one"));
        let found = Progress::load(&disk, &group, &name).unwrap();
        assert!(matches!(found.standing(), Some(Standing::Moving { .. })));
        let mut slot = SAMPLES.progress[..SLOT_USED_BYTES].to_vec();
        rehash::progress_slot(&mut slot);
        assert_eq!(slot, SAMPLES.progress[..SLOT_USED_BYTES]);
    }
}
