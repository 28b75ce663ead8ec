//! The bytes of a replica's record do not move.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use afterimage_changelog::{Name, ObjectId};
use afterimage_storage::{Disk, MemoryDisk, Stamp};
use afterimage_target::{Progress, Stand, Standing, progress::PROGRESS_BYTES};

const PROGRESS: &str = include_str!("../golden/progress.hex");

/// The bytes of a hex file; `#` begins a comment.
fn bytes_of(hex: &str) -> Vec<u8> {
    let words = hex.lines().flat_map(|line| {
        let plain = line.split('#').next().unwrap_or_default();
        plain.split_whitespace()
    });
    words
        .map(|word| u8::from_str_radix(word, 16).unwrap())
        .collect()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The standing of the slot in the golden file.
fn standing() -> Standing {
    let stand = |id: u64, first: u8| Stand {
        id,
        cut: ObjectId(std::array::from_fn(|at| first + u8::try_from(at).unwrap())),
    };
    Standing::Moving {
        from: stand(0x91, 0x10),
        to: stand(0x92, 0x30),
    }
}

/// What the disk was then.
const fn stamp() -> Stamp {
    Stamp {
        file: 0x93,
        content: 0x94,
    }
}

#[test]
fn the_bytes_of_a_replicas_record_do_not_move() {
    let golden = bytes_of(PROGRESS);
    let disk = MemoryDisk::new(PROGRESS_BYTES);
    let mut progress = Progress::load(&disk, &name("shop"), &name("root")).unwrap();
    progress.record(standing(), stamp()).unwrap();
    let slot = disk.content()[..512].to_vec();
    assert_eq!(slot[..golden.len()], golden);
    assert!(slot[golden.len()..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_golden_record_is_read() {
    let disk = MemoryDisk::new(PROGRESS_BYTES);
    disk.write_at(0, &bytes_of(PROGRESS)).unwrap();
    let progress = Progress::load(&disk, &name("shop"), &name("root")).unwrap();
    assert_eq!(progress.standing(), Some(standing()));
    assert_eq!(progress.stamp(), stamp());
}
