//! Where cache and points live: URLs.

use std::{path::Path, sync::Arc};

use afterimage_storage::{
    Address, LocalStore, MemoryStore, Nonces, ProbeError, RemoteStore, Store, probe,
};

use crate::error::Error;

/// Opens the store that a URL names, making its folder where there is none: a path, `file://PATH`,
/// `memory://` (one that is gone with the process), or a place in an object store as
/// [`Address`] reads it: `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `gs://BUCKET/PREFIX`.
///
/// An object store is asked for an object that cannot be there, to learn that it answers, has the
/// bucket and takes the credentials.
///
/// # Errors
///
/// Another scheme, a folder that cannot be made, or an object store that cannot be used.
///
/// ```
/// let store = afterimage::open_store("memory://")?;
/// # Ok::<(), afterimage::Error>(())
/// ```
pub fn open_store(url: &str) -> Result<Arc<dyn Store>, Error> {
    match parse(url)? {
        Location::Memory => Ok(Arc::new(MemoryStore::new())),
        Location::Folder(path) => Ok(Arc::new(LocalStore::open(path)?)),
        Location::Remote(address) => {
            let store = open_remote(*address)?;
            Ok(Arc::new(store))
        }
    }
}

/// Connects to a place in an object store and asks it for something.
pub(crate) fn open_remote(address: Address) -> Result<RemoteStore, Error> {
    let store = RemoteStore::connect(address)?;
    store.check()?;
    Ok(store)
}

/// Opens the store that a URL names, for a worker or an agent: one in an object store is probed, unless
/// nobody else will ever work there.
///
/// # Errors
///
/// Those of [`open_store`], and a store in which two workers could both believe that they had
/// committed.
pub fn open_worker_store(url: &str, is_sole: bool) -> Result<Arc<dyn Store>, Error> {
    let store = open_store(url)?;
    if !is_sole && matches!(parse(url)?, Location::Remote(_)) {
        probe(&store, &Nonces::from_os()).map_err(|error| match error {
            ProbeError::Store(error) => Error::from(error),
            broken @ ProbeError::Broken { .. } => Error::invalid(format!(
                "{url} does not keep the contract of a store: {broken}; no more than one worker may \
                 ever use it, and --sole-worker says that there is only this one"
            )),
        })?;
    }
    Ok(store)
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

pub(crate) enum Location<'a> {
    Memory,
    Folder(&'a Path),
    Remote(Box<Address>),
}

pub(crate) fn parse(url: &str) -> Result<Location<'_>, Error> {
    if let Some(address) = Address::parse(url) {
        let address = address.map_err(|error| Error::invalid(error.to_string()))?;
        return Ok(Location::Remote(Box::new(address)));
    }
    let path = match url.split_once("://") {
        Some(("memory", "")) => return Ok(Location::Memory),
        Some(("file", path)) if path.starts_with('/') => path,
        Some(("file", _)) => {
            let what = format!("{url}: file:// takes an absolute path, as in file:///var/cache");
            return Err(Error::invalid(what));
        }
        Some((scheme, _)) => {
            let what = format!(
                "{url}: {scheme}:// is not supported; use a path, file://PATH, s3://BUCKET/PREFIX, \
                 az://CONTAINER/PREFIX or gs://BUCKET/PREFIX"
            );
            return Err(Error::invalid(what));
        }
        None if url.is_empty() => return Err(Error::invalid("the URL is empty")),
        None => url,
    };
    Ok(Location::Folder(Path::new(path)))
}
