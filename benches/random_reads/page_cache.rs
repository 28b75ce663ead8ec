//! Taking files out of the page cache.

use std::{fs, io, path::Path};

use rustix::fs::{Advice, fadvise};

/// Drops what the system keeps of a file, or of all files below a folder. They are durable already:
/// what is not would stay.
#[expect(
    clippy::disallowed_methods,
    reason = "the page cache belongs to files, below the storage crate"
)]
pub(crate) fn drop(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            drop(&entry?.path())?;
        }
        return Ok(());
    }
    Ok(fadvise(fs::File::open(path)?, 0, None, Advice::DontNeed)?)
}
