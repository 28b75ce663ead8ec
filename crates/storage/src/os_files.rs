//! The files of the operating system.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use bytes::Bytes;
use rustix::{fs::OFlags, io::Errno};

use crate::{
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

/// A draft, written through the page cache; it takes no other memory.
#[derive(Debug)]
struct OsDraft {
    file: DraftFile,
    appended: Appended,
}

impl Draft for OsDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let file = self.file.file();
        vectored::write_all(pieces, |_, slices| {
            let written = append(file, slices)?;
            self.appended.wrote(file, count(written));
            Ok(written)
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.file().sync_all()
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        self.file.link(path)
    }
}

/// Appends what one step of writeback takes, as the disk is to be busy before all of it is copied.
fn append(mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let step = usize::try_from(Appended::STEP_BYTES).unwrap_or(usize::MAX);
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
