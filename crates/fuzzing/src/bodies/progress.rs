//! The record of a replica disk.

use afterimage_changelog::{ObjectId, size};
use afterimage_storage::MemoryDisk;
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
/// there before; and where that write was torn, it finds what the first load found.
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
    let mut found = Progress::load(disk, &group, &name).expect("memory does not fail");
    let standing = |id| {
        Standing::At(Stand {
            id,
            cut: ObjectId([7; 16]),
        })
    };
    // Twice, so that each slot was the one that is written.
    for id in [77, 78] {
        let (standing_before, before) = (found.standing(), disk.content());
        found.record(standing(id)).expect("memory does not fail");
        assert_eq!(load(disk), Some(standing(id)));
        assert_eq!(load(&torn(&before, disk.content())), standing_before);
    }
}

/// The disk where the slot that was written came out as nothing in particular.
fn torn(before: &[u8], mut after: Vec<u8>) -> MemoryDisk {
    for (slot, before) in after.chunks_mut(SLOT_BYTES).zip(before.chunks(SLOT_BYTES)) {
        if slot != before {
            slot.fill(0xff);
        }
    }
    MemoryDisk::from(after)
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
