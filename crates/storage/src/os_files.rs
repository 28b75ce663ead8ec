//! The files of the operating system.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use bytes::Bytes;
use rustix::{fs::OFlags, io::Errno};

use crate::{
    direct::Direct,
    disk::count,
    draft_file::{self, DraftFile},
    early_writeback::Appended,
    files::{Contents, Draft, Files, Listed},
    mapped,
    part::Part,
    vectored,
};

/// Reads up to this many bytes are copied, as to map and unmap pages one by one costs more. Measured
/// with all in the page cache: 16 KiB in 4 us against 11, 256 KiB in 9 us against 25. Larger ones are
/// mapped all the same, so that they take no memory beside the page cache.
const COPIED_BYTES_MAX: u64 = 256 << 10;

/// The real file system. Directories are made 0700, files 0600.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl Files for OsFiles {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        draft_file::sync_dir(path)
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(OsDraft {
            file: DraftFile::create(dir)?,
            appended: Appended::default(),
            way: Way::Small,
        }))
    }

    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents> {
        let file = open_object(path)?;
        let metadata = file.metadata()?;
        check_is_file(&metadata)?;
        let size = metadata.len();
        let range = part.within(size).ok_or(io::ErrorKind::UnexpectedEof)?;
        let wanted = range.end - range.start;
        let len = usize::try_from(wanted).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let bytes = if wanted <= COPIED_BYTES_MAX {
            let mut copy = vec![0; len];
            file.read_exact_at(&mut copy, range.start)?;
            Bytes::from(copy)
        } else {
            mapped::map(&file, range.start, len)?
        };
        Ok(Contents { size, bytes })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let metadata = fs::symlink_metadata(path)?;
        check_is_file(&metadata)?;
        Ok(metadata.len())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A name that is no text is no part of a key; links and devices are no objects.
            if let Ok(name) = entry.file_name().into_string()
                && (kind.is_file() || kind.is_dir())
            {
                listed.push(Listed {
                    name,
                    is_dir: kind.is_dir(),
                });
            }
        }
        Ok(listed)
    }

    #[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Bytes of an object that go through the page cache before the others go past it: most objects are
/// not that large, and are read again soon.
const SMALL_BYTES: u64 = 4 << 20;

/// A draft. It takes no memory beside the page cache, or a few buffers.
#[derive(Debug)]
struct OsDraft {
    file: DraftFile,
    appended: Appended,
    way: Way,
}

/// How what comes next is written.
#[derive(Debug)]
enum Way {
    /// Through the page cache, as long as it is not much.
    Small,
    /// Past it.
    Direct(Box<Direct>),
    /// Through the page cache, as there is no other way here.
    Buffered,
}

impl Draft for OsDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        vectored::write_all(pieces, |_, slices| self.append(slices))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut file = self.file.file();
        if let Way::Direct(direct) = std::mem::replace(&mut self.way, Way::Buffered) {
            direct.finish(file)?;
            file.seek(SeekFrom::End(0))?;
        }
        file.sync_all()
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        self.file.link(path)
    }
}

impl OsDraft {
    /// Appends the first of the slices; says how many bytes.
    fn append(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let file = self.file.file();
        let mut step = Appended::STEP_BYTES;
        if let Way::Small = self.way {
            let left = SMALL_BYTES - self.appended.bytes();
            if left == 0 {
                let direct = Direct::begin(file, SMALL_BYTES);
                self.way = direct.map_or(Way::Buffered, |direct| Way::Direct(Box::new(direct)));
            } else {
                step = step.min(left);
            }
        }
        if let Way::Direct(direct) = &mut self.way {
            return direct.append(file, slices);
        }
        let written = write_step(file, slices, step)?;
        self.appended.wrote(file, count(written));
        Ok(written)
    }
}

/// Writes what one step of writeback takes, as the disk is to be busy before all of it is copied.
fn write_step(mut file: &File, slices: &[IoSlice<'_>], step: u64) -> io::Result<usize> {
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    match (vectored::at_most(step, slices), slices.first()) {
        ([], Some(large)) => file.write(large.get(..step).unwrap_or(large)),
        (several, _) => file.write_vectored(several),
    }
}

/// Opens for reading, without following a link and without waiting for the writer of a pipe.
#[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
fn open_object(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = flags.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => not_a_file(),
        _ => error,
    })
}

fn check_is_file(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(not_a_file())
    }
}

fn not_a_file() -> io::Error {
    let reason = "it is neither a file nor a directory";
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests look at what is on the disk"
)]
mod tests {
    use super::*;
    use crate::disk::length;

    #[test]
    fn a_symbolic_link_is_not_an_object() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("secret");
        fs::write(&target, b"secret").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();

        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(
            OsFiles.read(&link, &Part::Whole).unwrap_err().kind(),
            denied
        );
        assert_eq!(OsFiles.size(&link).unwrap_err().kind(), denied);
        let listed = OsFiles.list(dir.path()).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, "secret");
    }

    #[test]
    fn copied_and_mapped_reads_agree_at_every_edge() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object");
        let content: Vec<u8> = (0..600_003u32).map(|at| (at % 251) as u8).collect();
        fs::write(&path, &content).unwrap();
        let size = length(&content);
        let edges = [
            0,
            1,
            4095,
            4096,
            COPIED_BYTES_MAX,
            COPIED_BYTES_MAX + 1,
            300_000,
            size - 1,
            size,
        ];
        for start in edges {
            for end in edges.into_iter().filter(|&end| end >= start) {
                let found = OsFiles.read(&path, &Part::Range(start..end)).unwrap();
                let (from, to) = (
                    usize::try_from(start).unwrap(),
                    usize::try_from(end).unwrap(),
                );
                assert!(found.bytes == content[from..to], "{start}..{end}");
                assert_eq!(found.size, size);
            }
        }
    }

    /// What is written first goes another way than the rest, and so may what comes after a sync.
    #[test]
    fn a_draft_holds_what_was_written_whatever_way_it_went() {
        let dir = tempfile::tempdir().unwrap();
        let small = usize::try_from(SMALL_BYTES).unwrap();
        let length = small + (3 << 20) + 4097;
        let content: Vec<u8> = (0..=250u8).cycle().take(length).collect();
        for end in [
            0,
            small - 1,
            small,
            small + 1,
            small + (1 << 20),
            content.len(),
        ] {
            for piece in [5_000, 1 << 20, content.len()] {
                let path = dir.path().join(format!("{end}-{piece}"));
                let mut draft = OsFiles.draft(dir.path()).unwrap();
                let (before, after) = content[..end].split_at(end - end / 3);
                for part in [before, after] {
                    for piece in part.chunks(piece) {
                        draft.write(&[piece]).unwrap();
                    }
                    draft.sync().unwrap();
                }
                draft.link(&path).unwrap();
                assert!(
                    fs::read(&path).unwrap() == content[..end],
                    "{end} by {piece}"
                );
            }
        }
    }

    /// What was read stays readable when the object is deleted.
    #[test]
    fn bytes_outlive_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object");
        fs::write(&path, vec![7; 600_000]).unwrap();
        let found = OsFiles.read(&path, &Part::Whole).unwrap();
        OsFiles.unlink(&path).unwrap();
        assert!(found.bytes.iter().all(|&byte| byte == 7));
    }
}
