//! A file that has no name until it is linked.
//!
//! Where the file system has nameless files (`O_TMPFILE`) that is what it is, and a crash leaves
//! nothing. Elsewhere it is a file named `.draft-` and 32 random digits, which is unlinked when the
//! draft is dropped; a crash leaves it behind under a name that is no part of any key.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};

use crate::nonce::Nonces;

/// Where the system shows open files as links, which is how a nameless one gets its name.
const OPEN_FILES: &str = "/proc/self/fd";

/// A file on its way to a name.
#[derive(Debug)]
pub(crate) struct DraftFile {
    file: File,
    /// Its name where the file system has no nameless files.
    named: Option<PathBuf>,
}

impl DraftFile {
    /// Begins a file on the file system of `dir`.
    pub(crate) fn create(dir: &Path) -> io::Result<DraftFile> {
        if !Path::new(OPEN_FILES).exists() {
            return DraftFile::create_named(dir);
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(DraftFile {
                file: File::from(file),
                named: None,
            }),
            // The ways of file systems and old kernels to say that they have no nameless files. A
            // directory that is not there says NOENT too, and again when the named one is tried.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => DraftFile::create_named(dir),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a file with a draft name in `dir`.
    #[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
    pub(crate) fn create_named(dir: &Path) -> io::Result<DraftFile> {
        let path = dir.join(draft_name());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(DraftFile {
            file,
            named: Some(path),
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file a name that is not taken.
    pub(crate) fn link(&self, path: &Path) -> io::Result<()> {
        match &self.named {
            Some(named) => rustix::fs::linkat(CWD, named, CWD, path, AtFlags::empty())?,
            None => {
                let open = format!("{OPEN_FILES}/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
            }
        }
        Ok(())
    }

    /// Gives the file the name, in place of whatever file has it.
    ///
    /// There is no call that links over a name, so the file goes through a draft name beside it.
    #[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
    pub(crate) fn replace(mut self, path: &Path) -> io::Result<()> {
        let passing = match &self.named {
            Some(named) => named.clone(),
            None => {
                let passing = parent_of(path).join(draft_name());
                self.link(&passing)?;
                // From here on dropping the draft unlinks it, should the rename fail.
                self.named = Some(passing.clone());
                passing
            }
        };
        std::fs::rename(passing, path)?;
        self.named = None;
        Ok(())
    }
}

impl Drop for DraftFile {
    #[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
    fn drop(&mut self) {
        if let Some(named) = &self.named {
            // Nobody waits for it and nothing depends on it: the name is no part of any key.
            drop(std::fs::remove_file(named));
        }
    }
}

/// The directory of `path`.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Makes the names in `dir` durable.
#[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn draft_name() -> String {
    let value = u128::from_le_bytes(Nonces::from_os().next());
    format!(".draft-{value:032x}")
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests look at what is on the disk"
)]
mod tests {
    use super::*;
    use std::{fs, io::Write, os::unix::fs::PermissionsExt};

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    type Begin = fn(&Path) -> io::Result<DraftFile>;
    const BOTH: [Begin; 2] = [DraftFile::create, DraftFile::create_named];

    #[test]
    fn both_ways_leave_nothing_but_the_linked_name() {
        for begin in BOTH {
            let dir = tempfile::tempdir().unwrap();
            drop(begin(dir.path()).unwrap());
            assert!(names(dir.path()).is_empty());

            let draft = begin(dir.path()).unwrap();
            draft.file().write_all(b"content").unwrap();
            draft.link(&dir.path().join("a")).unwrap();
            drop(draft);
            assert_eq!(names(dir.path()), ["a"]);
            assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"content");
            let mode = fs::metadata(dir.path().join("a"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn both_ways_refuse_a_name_that_is_taken() {
        for begin in BOTH {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("a"), b"first").unwrap();
            let refusal = begin(dir.path())
                .unwrap()
                .link(&dir.path().join("a"))
                .unwrap_err();
            assert_eq!(refusal.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"first");
        }
    }

    #[test]
    fn both_ways_replace_a_file_whole_and_leave_nothing_beside_it() {
        for begin in BOTH {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("a"), b"the longer first").unwrap();
            let draft = begin(dir.path()).unwrap();
            draft.file().write_all(b"second").unwrap();
            draft.replace(&dir.path().join("a")).unwrap();
            assert_eq!(names(dir.path()), ["a"]);
            assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"second");

            fs::create_dir(dir.path().join("b")).unwrap();
            begin(dir.path())
                .unwrap()
                .replace(&dir.path().join("b"))
                .unwrap_err();
            assert_eq!(names(dir.path()), ["a", "b"]);
        }
    }
}
