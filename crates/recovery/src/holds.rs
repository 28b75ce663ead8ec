//! Holding a point: it is not pruned, and nothing that is needed to read it is collected, while
//! somebody reads it or an operator has pinned it.

use afterimage_changelog::{Name, ObjectId, Timestamp};
use afterimage_storage::{Key, Store, StoreErrorKind};
use bytes::Bytes;

use crate::{
    chain::{Head, boundary, load_head},
    error::{RecoveryError, RecoveryErrorKind},
    hold::{Hold, HoldKind},
    manifest::Manifest,
    name::{hold_key, hold_prefix},
    prune::is_pruning,
};

/// How often a hold is tried again when the points were changed meanwhile.
const ATTEMPTS: u32 = 8;

/// What is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRequest {
    /// Pinned by somebody, or in use.
    pub kind: HoldKind,
    /// From then on it does not count.
    pub until: Timestamp,
    /// Says who and why.
    pub text: String,
}

/// A hold that was taken, and the manifest that it was taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The points as they are held.
    pub head: Head,
    /// Id of the point.
    pub point: u64,
    /// Key of the hold.
    pub key: Key,
}

/// Holds the point that `choose` finds in the newest manifest.
///
/// 1. loads the head and chooses;
/// 2. creates the hold: a crash leaves one that counts until it expires;
/// 3. looks for a mark that points are being pruned, then at boundary and head again: what was
///    collected or pruned before the hold was there is not held, and all begins anew.
///
/// # Errors
///
/// The store failed, there is no such group, or what `choose` says.
pub fn take_hold(
    store: &dyn Store,
    group: &Name,
    mut id: impl FnMut() -> ObjectId,
    request: &HoldRequest,
    mut choose: impl FnMut(&Manifest) -> Result<u64, RecoveryError>,
) -> Result<Held, RecoveryError> {
    for _ in 0..ATTEMPTS {
        let Some(head) = load_head(store, group)? else {
            let kind =
                RecoveryErrorKind::NoSuch("there is no such group at this target".to_owned());
            return Err(RecoveryError::new(group, kind));
        };
        let point = choose(&head.manifest)?;
        let number = head.manifest.number;
        let hold = Hold {
            id: id(),
            group: group.clone(),
            kind: request.kind,
            // A pin is for the point and not for the objects of one manifest.
            manifest: (request.kind == HoldKind::Use).then_some(number),
            point: Some(point),
            until: request.until,
            text: request.text.clone(),
        };
        let key = hold_key(group, hold.id);
        let created = store.create(&key, &[Bytes::from(hold.encode())]);
        created.map_err(RecoveryError::store)?;
        // What is in use is held with its manifest; a pin only stands for the point in the list.
        if request.kind == HoldKind::Pin && is_pruning(store, group)? {
            store.delete(&key).map_err(RecoveryError::store)?;
            let what = "points are being pruned right now".to_owned();
            return Err(RecoveryError::new(group, RecoveryErrorKind::Stale(what)));
        }
        let collected = boundary(store, group)?.is_some_and(|boundary| boundary >= number);
        let newest = load_head(store, group)?;
        let there = newest.is_some_and(|newest| {
            let mut points = newest.manifest.points.iter();
            points.any(|known| known.id == point)
        });
        if there && !collected {
            return Ok(Held { head, point, key });
        }
        store.delete(&key).map_err(RecoveryError::store)?;
    }
    let what = "the points change faster than one of them can be held".to_owned();
    Err(RecoveryError::new(group, RecoveryErrorKind::Stale(what)))
}

/// All holds of a group, expired ones too, and their keys.
///
/// # Errors
///
/// The store failed, or a hold is damaged: whoever would go on without it might delete what is
/// held.
pub fn list_holds(store: &dyn Store, group: &Name) -> Result<Vec<(Key, Hold)>, RecoveryError> {
    const PAGE: usize = 1000;
    let prefix = hold_prefix(group);
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = store.list(&prefix, after.as_ref(), PAGE);
        let page = page.map_err(RecoveryError::store)?;
        let full = page.len() == PAGE;
        after = page.last().map(|entry| entry.key.clone());
        for entry in page {
            let bytes = match store.read(&entry.key) {
                // Released since it was listed.
                Err(error) if error.kind == StoreErrorKind::NotFound => continue,
                other => other.map_err(RecoveryError::store)?,
            };
            let hold = Hold::decode(&bytes);
            let hold = hold.map_err(|error| RecoveryError::corrupt(&entry.key, error))?;
            if hold.group != *group || hold_key(group, hold.id) != entry.key {
                let what = "it is intact but belongs elsewhere".to_owned();
                let kind = RecoveryErrorKind::Mismatch(what);
                return Err(RecoveryError::new(&entry.key, kind));
            }
            found.push((entry.key, hold));
        }
        if !full {
            return Ok(found);
        }
    }
}
