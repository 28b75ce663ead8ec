//! Copying bytes that are there already: what the disk allows at best.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
};

use rustix::fs::{SeekFrom, copy_file_range, seek};

/// Copies every file in `from`, but not the folders in it, into `to`, a new folder, and makes it
/// durable: each copy is synced, then the folder.
///
/// # Errors
///
/// Whatever the system reports.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench compares with plain files, below the storage crate"
)]
pub fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        File::open(&copy)?.sync_all()?;
    }
    File::open(to)?.sync_all()
}

/// Copies a raw image to a new file, its data only and not its holes, and makes it durable.
///
/// # Errors
///
/// Whatever the system reports.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench compares with plain files, below the storage crate"
)]
pub fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let image = File::open(from)?;
    let copy = OpenOptions::new().write(true).create_new(true).open(to)?;
    let size = image.metadata()?.len();
    copy.set_len(size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(&image, SeekFrom::Data(at)) {
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            start => start?,
        };
        let end = seek(&image, SeekFrom::Hole(start))?;
        copy_range(&image, &copy, start, end)?;
        at = end;
    }
    copy.sync_all()?;
    let folder = to.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Makes a new file of these bytes, durable with its name on return.
///
/// # Errors
///
/// Whatever the system reports.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench compares with plain files, below the storage crate"
)]
pub fn create_durable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(usize::MAX);
        let (source, copy) = (Some(&mut read_at), Some(&mut write_at));
        if copy_file_range(from, source, to, copy, length)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at plain files")]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_sparse_copy_has_the_bytes_and_the_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let image = File::create(&from).unwrap();
        image.set_len(64 << 20).unwrap();
        image.write_all_at(b"begin", 0).unwrap();
        image.write_all_at(b"middle", 40 << 20).unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        let allocated = fs::metadata(&to).unwrap().blocks() * 512;
        assert!(allocated < 8 << 20, "{allocated} bytes are allocated");
    }

    #[test]
    fn every_file_of_a_folder_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("deep/to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("a"), "first").unwrap();
        fs::write(from.join("b"), "second").unwrap();
        copy_files(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("a")).unwrap(), b"first");
        assert_eq!(fs::read(to.join("b")).unwrap(), b"second");
    }
}
