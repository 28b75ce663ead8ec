//! Where cache and points live: URLs.

use std::{path::Path, sync::Arc};

use afterimage_storage::{LocalStore, MemoryStore, Store};

use crate::error::Error;

/// Opens the store that a URL names, making its folder where there is none: a path, `file://PATH`,
/// or `memory://` (one that is gone with the process).
///
/// # Errors
///
/// Another scheme, or a folder that cannot be made.
///
/// ```
/// let store = afterimage::open_store("memory://")?;
/// # Ok::<(), afterimage::Error>(())
/// ```
pub fn open_store(url: &str) -> Result<Arc<dyn Store>, Error> {
    match parse(url)? {
        Location::Memory => Ok(Arc::new(MemoryStore::new())),
        Location::Folder(path) => Ok(Arc::new(LocalStore::open(path)?)),
    }
}

/// Opens the store that a URL names, for commands that only read: a mistyped path is an error.
///
/// # Errors
///
/// Another scheme, or no such folder.
pub fn open_existing_store(url: &str) -> Result<Arc<dyn Store>, Error> {
    if let Location::Folder(path) = parse(url)?
        && !path.is_dir()
    {
        return Err(Error::invalid(format!("{url}: there is no such folder")));
    }
    open_store(url)
}

enum Location<'a> {
    Memory,
    Folder(&'a Path),
}

fn parse(url: &str) -> Result<Location<'_>, Error> {
    let path = match url.split_once("://") {
        Some(("memory", "")) => return Ok(Location::Memory),
        Some(("file", path)) if path.starts_with('/') => path,
        Some(("file", _)) => {
            let what = format!("{url}: file:// takes an absolute path, as in file:///var/cache");
            return Err(Error::invalid(what));
        }
        Some((scheme, _)) => {
            let what = format!("{url}: {scheme}:// is not supported; use a path or file://PATH");
            return Err(Error::invalid(what));
        }
        None if url.is_empty() => return Err(Error::invalid("the URL is empty")),
        None => url,
    };
    Ok(Location::Folder(Path::new(path)))
}
