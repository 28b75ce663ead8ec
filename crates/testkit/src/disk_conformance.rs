//! The contract of [`Disk`], as a suite that every disk runs.

use std::sync::Arc;

use afterimage_storage::{Disk, DiskError, DiskErrorKind};

use crate::{oracle::PlainDisk, random::Random};

/// Checks that the disks which `make` returns keep the contract of [`Disk`]. Each is a fresh one of
/// the given size, full of zeroes.
///
/// # Panics
///
/// Where they do not.
pub fn disk_conformance(make: &dyn Fn(u64) -> Arc<dyn Disk>) {
    a_fresh_disk_is_zero(make(1 << 20).as_ref());
    what_leaves_the_disk_is_refused(make(64 << 10).as_ref());
    pieces_lie_one_behind_the_other(make(1 << 20).as_ref());
    for seed in 0..4 {
        it_agrees_with_a_plain_array(make(256 << 10).as_ref(), seed);
    }
}

fn a_fresh_disk_is_zero(disk: &dyn Disk) {
    assert_eq!(disk.size(), 1 << 20);
    PlainDisk::new(1 << 20).assert_same(disk, "a fresh disk");
}

fn what_leaves_the_disk_is_refused(disk: &dyn Disk) {
    let size = disk.size();
    let mut byte = [7];
    for offset in [size, size + 1, u64::MAX] {
        range_refused(disk.read_at(offset, &mut byte));
        range_refused(disk.write_at(offset, &byte));
        range_refused(disk.write_all_at(offset, &[&[], &byte]));
        range_refused(disk.zero_at(offset, 1));
    }
    range_refused(disk.read_at(size - 1, &mut [0; 2]));
    range_refused(disk.write_at(size - 1, &[7, 7]));
    // The first piece alone would fit.
    range_refused(disk.write_all_at(size - 1, &[&byte, &byte]));
    range_refused(disk.zero_at(size - 1, 2));
    range_refused(disk.zero_at(1, u64::MAX));
    PlainDisk::new(size).assert_same(disk, "a disk after refused writes");

    // Nothing at the very end is on the disk.
    disk.read_at(size, &mut []).expect("it is on the disk");
    disk.write_at(size, &[]).expect("it is on the disk");
    disk.zero_at(size, 0).expect("it is on the disk");
    disk.write_at(size - 1, &byte).expect("it is on the disk");
    let mut found = [0];
    disk.read_at(size - 1, &mut found)
        .expect("it is on the disk");
    assert_eq!(found, byte);
}

fn pieces_lie_one_behind_the_other(disk: &dyn Disk) {
    let mut plain = PlainDisk::new(disk.size());
    let bytes: Vec<u8> = (0..=250).cycle().take(100_000).collect();
    let pieces: Vec<&[u8]> = bytes.chunks(61).collect();
    disk.write_all_at(777, &pieces).expect("it is on the disk");
    plain.write(777, &bytes);
    disk.write_all_at(200_000, &[]).expect("it is on the disk");
    disk.write_all_at(300_000, &[&[], b"a", &[], b"bc", &[]])
        .expect("it is on the disk");
    plain.write(300_000, b"abc");
    plain.assert_same(disk, "a disk after writes in pieces");
}

fn it_agrees_with_a_plain_array(disk: &dyn Disk, seed: u64) {
    let mut random = Random::new(seed);
    let mut plain = PlainDisk::new(disk.size());
    for _ in 0..400 {
        let offset = random.below(disk.size());
        let len_max = if random.percent(10) { 60_000 } else { 3_000 };
        let len = random.below(len_max.min(disk.size() - offset)) + 1;
        if random.percent(30) {
            disk.zero_at(offset, len).expect("it is on the disk");
            plain.zero(offset, len);
        } else {
            let mut data = vec![0; usize::try_from(len).expect("it is small")];
            random.fill(&mut data);
            disk.write_at(offset, &data).expect("it is on the disk");
            plain.write(offset, &data);
        }
        if random.percent(5) {
            disk.flush().expect("the disk can be flushed");
        }
    }
    plain.assert_same(disk, &format!("a disk after random writes, seed {seed}"));
}

fn range_refused(outcome: Result<(), DiskError>) {
    let error = outcome.expect_err("it is not all on the disk");
    assert_eq!(error.kind, DiskErrorKind::Range, "{error}");
}
