//! Claims to epochs: whoever takes a group over says so before he commits anything.
//!
//! A worker that finds no claim to the epoch after its own, after a commit of its own, knows that nobody
//! had taken over before that commit, so its number was not one that somebody else had used and
//! collected. That is one request for a name that is known, where a look at the boundary is a list.
//!
//! Claims are never deleted: a worker that slept for long looks for the one that was made in its sleep.

use afterimage_changelog::{Epoch, Name};
use afterimage_storage::{Store, StoreErrorKind};

use crate::{
    error::RecoveryError,
    name::{claim_key, claim_prefix},
};

/// Claims an epoch, durably. Several may claim the same one; the manifest that they race for is one's.
pub(crate) fn claim(store: &dyn Store, group: &Name, epoch: Epoch) -> Result<(), RecoveryError> {
    match store.create(&claim_key(group, epoch), &[]) {
        // Of another's it is only known that it is visible.
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
            let settled = store.settle(&claim_prefix(group));
            settled.map_err(RecoveryError::store)
        }
        created => created.map_err(RecoveryError::store),
    }
}

/// Whether anybody has claimed an epoch.
pub(crate) fn is_claimed(
    store: &dyn Store,
    group: &Name,
    epoch: Epoch,
) -> Result<bool, RecoveryError> {
    let claimed = store.exists(&claim_key(group, epoch));
    claimed.map_err(RecoveryError::store)
}
