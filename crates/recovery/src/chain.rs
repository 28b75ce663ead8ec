//! The manifest chain: its head, and a check of all that is left of it.

use std::sync::Arc;

use afterimage_changelog::{Digest, Name, count, length};
use afterimage_storage::{Entry, Key, Store, StoreErrorKind};

use crate::{
    error::{RecoveryError, RecoveryErrorKind},
    manifest::{LayerRef, Manifest, PageRef, Point},
    name::{boundary_prefix, manifest_key, manifest_prefix, number, page_key},
    page::Page,
};

/// The newest manifest of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The manifest.
    pub manifest: Manifest,
    /// Its digest: what its successor names as its predecessor.
    pub digest: Digest,
}

/// Loads the head of a group's chain; `None` where the group has no manifest.
///
/// # Errors
///
/// The store failed, or the newest manifest is damaged. An older one is never taken in its place:
/// that would undo commits without a word.
pub fn load_head(store: &dyn Store, group: &Name) -> Result<Option<Head>, RecoveryError> {
    let mut before = None;
    loop {
        let boundary = boundary(store, group)?;
        let newest = numbered(store, &manifest_prefix(group))?.pop();
        let newest = newest.map(|(number, _)| number);
        let newest = newest.filter(|&newest| boundary.is_none_or(|boundary| newest > boundary));
        let Some(newest) = newest else {
            return Ok(None);
        };
        match load(store, group, newest) {
            Ok(Some(head)) => return Ok(Some(head)),
            // It may have been succeeded and collected since it was listed.
            Ok(None) if before != Some(newest) => {}
            Err(error) if error.is_missing() && before != Some(newest) => {}
            other => return other,
        }
        before = Some(newest);
    }
}

/// Loads one manifest; `None` where there is none of this number.
///
/// # Errors
///
/// The store failed, the manifest is damaged, or it is another one.
pub fn load(store: &dyn Store, group: &Name, number: u64) -> Result<Option<Head>, RecoveryError> {
    let key = manifest_key(group, number);
    let bytes = match store.read(&key) {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
        other => other.map_err(RecoveryError::store)?,
    };
    let stored = Manifest::decode(&bytes).map_err(|error| RecoveryError::corrupt(&key, error))?;
    let manifest = stored.partial();
    if manifest.number != number || manifest.group != *group {
        let owner = format!(
            "it is intact but is manifest {} of group {}; someone moved or copied it here",
            manifest.number, manifest.group
        );
        return Err(RecoveryError::new(&key, RecoveryErrorKind::Mismatch(owner)));
    }
    let mut paged = Vec::with_capacity(manifest.paged().min(1 << 20));
    for page in manifest.pages.clone() {
        paged.extend(load_page(store, group, &page)?);
    }
    let manifest = stored.complete(paged);
    let manifest = manifest.map_err(|error| RecoveryError::corrupt(&key, error))?;
    let digest = Digest::of(&bytes);
    Ok(Some(Head { manifest, digest }))
}

fn load_page(
    store: &dyn Store,
    group: &Name,
    page: &PageRef,
) -> Result<impl Iterator<Item = Arc<Point>>, RecoveryError> {
    let LayerRef {
        epoch,
        id,
        object_bytes,
        digest,
    } = page.object;
    let key = page_key(group, epoch, id);
    let bytes = store.read(&key).map_err(RecoveryError::store)?;
    let read = Page::decode(&bytes).map_err(|error| RecoveryError::corrupt(&key, error))?;
    let is_named = (Digest::of(&bytes), length(&bytes)) == (digest, object_bytes)
        && (read.epoch, read.id, &read.group) == (epoch, id, group)
        && count(read.points.len()) == u64::from(page.points);
    if !is_named {
        let what = "it is intact but is not the page that the manifest names".to_owned();
        return Err(RecoveryError::new(&key, RecoveryErrorKind::Mismatch(what)));
    }
    Ok(read.points.into_iter().map(Arc::new))
}

/// The number at and below which manifests do not count any more; `None` where all count.
///
/// # Errors
///
/// The store failed, or what lies under a boundary's name is none: a boundary has no bytes, so that
/// a manifest that was copied there does not end the chain.
pub fn boundary(store: &dyn Store, group: &Name) -> Result<Option<u64>, RecoveryError> {
    let found = numbered(store, &boundary_prefix(group))?;
    if let Some((_, entry)) = found.iter().find(|(_, entry)| entry.size != 0) {
        let what = format!("it has {} bytes, so it is no boundary", entry.size);
        return Err(RecoveryError::new(
            &entry.key,
            RecoveryErrorKind::Mismatch(what),
        ));
    }
    Ok(found.last().map(|(number, _)| *number))
}

/// Checks that the manifests left above the boundary are one chain; gives how many there are.
///
/// # Errors
///
/// The store failed, a manifest is damaged or missing, or does not follow the one before it.
pub fn check_chain(store: &dyn Store, group: &Name) -> Result<u64, RecoveryError> {
    let boundary = boundary(store, group)?;
    let mut before: Option<Head> = None;
    let mut checked = 0;
    for (number, _) in numbered(store, &manifest_prefix(group))? {
        if boundary.is_some_and(|boundary| number <= boundary) {
            continue;
        }
        let Some(head) = load(store, group, number)? else {
            continue;
        };
        let broken = |what: &str| {
            let key = manifest_key(group, number);
            let kind =
                RecoveryErrorKind::Mismatch(format!("the chain of manifests is broken: {what}"));
            Err(RecoveryError::new(&key, kind))
        };
        if let Some(before) = &before {
            if before.manifest.number + 1 != number {
                return broken("the manifest before it is missing");
            }
            if head.manifest.predecessor != before.digest {
                return broken("it names another predecessor");
            }
            if head.manifest.epoch < before.manifest.epoch {
                return broken("its epoch is below its predecessor's");
            }
        }
        checked += 1;
        before = Some(head);
    }
    Ok(checked)
}

/// The objects under a prefix that have numbers, ascending.
pub(crate) fn numbered(
    store: &dyn Store,
    prefix: &Key,
) -> Result<Vec<(u64, Entry)>, RecoveryError> {
    const PAGE: usize = 1000;
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = store
            .list(prefix, after.as_ref(), PAGE)
            .map_err(RecoveryError::store)?;
        let full = count(page.len()) == count(PAGE);
        after = page.last().map(|entry| entry.key.clone());
        let entries = page.into_iter();
        found.extend(entries.filter_map(|entry| Some((number(&entry.key)?, entry))));
        if !full {
            return Ok(found);
        }
    }
}
