//! A record that lost its newest slot to damage does not fall back on what was true before.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use afterimage_changelog::{Name, ObjectId};
use afterimage_storage::{Disk, MemoryDisk, Stamp};
use afterimage_target::{Progress, Stand, Standing, progress::PROGRESS_BYTES};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The disk stood at point 3 and was half on its way to point 4 when the slot that says so went bad.
/// The older slot still says that it stands at point 3; believed, it would be left as the mix that it
/// is by whoever turns it back to point 3.
#[test]
fn a_disk_on_its_way_is_not_taken_for_one_that_stands() {
    let stand = |id: u8| Stand {
        id: u64::from(id),
        cut: ObjectId([id; 16]),
    };
    let (from, to) = (stand(3), stand(4));
    let record = MemoryDisk::new(PROGRESS_BYTES);
    let (group, disk) = (name("shop"), name("root"));
    let mut progress = Progress::load(&record, &group, &disk).unwrap();
    progress
        .record(Standing::At(from), Stamp::default())
        .unwrap();
    progress
        .record(Standing::Moving { from, to }, Stamp::default())
        .unwrap();
    for slot in [0, 4096] {
        let mut counter = [0];
        record.read_at(slot + 16, &mut counter).unwrap();
        record.write_at(slot + 16, &[counter[0] ^ 1]).unwrap();
        let again = Progress::load(&record, &group, &disk).unwrap();
        assert_eq!(again.standing(), Some(Standing::Moving { from, to }));
        record.write_at(slot + 16, &counter).unwrap();
    }
}
