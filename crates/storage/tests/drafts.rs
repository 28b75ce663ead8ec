//! A draft of the real file system holds what was written, however it was cut into pieces.

use std::path::{Path, PathBuf};

use afterimage_storage::{Disk, DraftDisk, FileDisk, Files, OsFiles, Part};
use afterimage_testkit::{PlainDisk, Random};

/// Where the system begins to write out, and where its own blocks end.
const EDGES: [usize; 15] = [
    0,
    1,
    511,
    512,
    4095,
    4096,
    4097,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (2 << 20) - 1,
    2 << 20,
    (2 << 20) + 1,
    (5 << 20) + 77,
    (9 << 20) + 4096,
];

/// A folder on a disk, and one in memory where there is such a file system.
fn folders() -> Vec<tempfile::TempDir> {
    let mut folders = vec![tempfile::tempdir().expect("there is a folder for tests")];
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        folders.push(tempfile::tempdir_in(memory).expect("anybody may write there"));
    }
    folders
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    Random::new(9).fill(&mut noise);
    noise
}

fn check(folder: &Path, name: String, writes: &[Vec<&[u8]>]) {
    let path: PathBuf = folder.join(name);
    let mut draft = OsFiles.draft(folder).expect("a draft can begin");
    for pieces in writes {
        draft.write(pieces).expect("there is room");
    }
    draft.sync().expect("the disk works");
    draft.link(&path).expect("the name is free");
    let found = OsFiles.read(&path, &Part::Whole).expect("it is there");
    assert!(found.bytes == writes.concat().concat(), "{path:?}");
}

#[test]
fn a_draft_holds_what_was_written_at_every_edge() {
    for folder in folders() {
        for edge in EDGES {
            let content = noise(edge);
            check(folder.path(), format!("one-{edge}"), &[vec![&content]]);
            // Frames, and so many small ones that one call does not take all.
            for piece in [16_411, 1021] {
                let pieces: Vec<&[u8]> = content.chunks(piece).collect();
                let name = format!("pieces-{piece}-{edge}");
                check(folder.path(), name, std::slice::from_ref(&pieces));
                let writes: Vec<Vec<&[u8]>> = pieces.chunks(70).map(<[_]>::to_vec).collect();
                check(folder.path(), format!("writes-{piece}-{edge}"), &writes);
            }
            // A large piece among small and empty ones.
            let (head, tail) = content.split_at(edge.min(3));
            let mixed: [&[u8]; 6] = [&[], &[], head, &[], tail, &[]];
            check(folder.path(), format!("mixed-{edge}"), &[mixed.to_vec()]);
            check(
                folder.path(),
                format!("last-{edge}"),
                &[vec![&[], &content]],
            );
        }
    }
}

/// Enough for several steps of writeback, in and out of order, at any sector.
#[test]
fn a_disk_holds_what_was_written_while_it_was_written_out() {
    const SIZE: u64 = 48 << 20;
    for folder in folders() {
        let path = folder.path().join("disk");
        let draft = DraftDisk::new(&path, SIZE).unwrap();
        let file = FileDisk::create_new(&folder.path().join("file"), SIZE).unwrap();
        let mut plain = PlainDisk::new(SIZE);
        let mut random = Random::new(3);
        let mut data = noise(1 << 20);
        for number in 0..90u8 {
            let len = 512 * (random.below(2047) + 1);
            let offset = 512 * random.below((SIZE - len) / 512);
            let part = &mut data[..usize::try_from(len).unwrap()];
            part[0] = number;
            draft.write_at(offset, part).unwrap();
            file.write_at(offset, part).unwrap();
            plain.write(offset, part);
            if random.percent(5) {
                file.flush().unwrap();
            }
        }
        plain.assert_same(&draft, "the draft");
        plain.assert_same(&file, "the file");
        draft.publish(false).unwrap();
        plain.assert_same(&FileDisk::open(&path, false).unwrap(), "the disk");
    }
}
