//! Listing, and deleting many.

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::{Shared, failure::failure};
use crate::{
    error::{Operation, StoreError, StoreErrorKind},
    key::Key,
    store::Entry,
};

/// Entries that servers put on a page.
const PAGE: usize = 1000;

/// Lists what is below a prefix.
///
/// A page is one moment of the server; where there are several, what moves from a later one to an earlier
/// one may be missed, so then the listing is done again until it has found all that it finds anew.
pub(super) async fn list(
    shared: &Shared,
    prefix: &Key,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let mut listed = pages(shared, prefix, after, limit).await?;
    while listed.len() >= PAGE {
        let again = pages(shared, prefix, after, limit).await?;
        let is_known = |entry: &Entry| {
            let at = listed.binary_search_by(|known| known.key.cmp(&entry.key));
            at.is_ok()
        };
        if again.iter().all(is_known) {
            break;
        }
        listed = again;
    }
    Ok(listed)
}

async fn pages(
    shared: &Shared,
    prefix: &Key,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let name = || shared.name(prefix);
    let mut entries: Vec<Entry> = Vec::new();
    if limit == 0 {
        return Ok(entries);
    }
    let below = shared.path(prefix);
    let client = &shared.clients.patient;
    let mut stream = match after {
        // What comes before all that is below would only be skipped.
        Some(after) if after > prefix => client.list_with_offset(Some(&below), &shared.path(after)),
        _ => client.list(Some(&below)),
    };
    while let Some(meta) = stream.next().await {
        let meta = meta.map_err(|error| failure(Operation::List, name(), error))?;
        // What is no key, such as an object that somebody else put there, is not ours.
        let Some(key) = key_of(shared, &meta.location) else {
            continue;
        };
        if !key.is_under(prefix) || after.is_some_and(|after| key <= *after) {
            continue;
        }
        if entries.last().is_some_and(|last| last.key >= key) {
            let unsorted = StoreError::new(Operation::List, name(), StoreErrorKind::Denied);
            let what = "this store does not list in the order of names, so it cannot be used";
            return Err(unsorted.with_source(what));
        }
        entries.push(Entry {
            key,
            size: meta.size,
        });
        if entries.len() == limit {
            break;
        }
    }
    Ok(entries)
}

fn key_of(shared: &Shared, path: &Path) -> Option<Key> {
    let inside = match shared.address.prefix.as_ref() {
        "" => path.as_ref(),
        prefix => path.as_ref().strip_prefix(prefix)?.strip_prefix('/')?,
    };
    Key::new(inside).ok()
}

/// Deletes objects, with as few requests as the provider takes.
pub(super) async fn delete_all(shared: &Shared, keys: &[Key]) -> Result<(), StoreError> {
    let Some(first) = keys.first() else {
        return Ok(());
    };
    let client = &shared.clients.patient;
    let paths: Vec<_> = keys.iter().map(|key| Ok(shared.path(key))).collect();
    let deleted = client.delete_stream(futures_util::stream::iter(paths).boxed());
    let deleted = deleted.filter_map(async |deleted| match deleted {
        Err(object_store::Error::NotFound { .. }) => None,
        other => Some(other),
    });
    let deleted = deleted.try_for_each(async |_| Ok(()));
    let what = || match keys.len() {
        1 => shared.name(first),
        many => format!("{} and {} more", shared.name(first), many - 1),
    };
    deleted
        .await
        .map_err(|error| failure(Operation::Delete, what(), error))
}
