//! The mark of a worker that has ended in order: nobody need wait to see whether it is still at work.
//!
//! It names the epoch, which is one worker's alone, so it never speaks of a later one. It is made
//! when the worker does nothing more. One that crashed leaves none; then only time tells.

use afterimage_changelog::{Epoch, Name};
use afterimage_storage::{Store, StoreErrorKind};

use crate::{
    collect::each,
    error::RecoveryError,
    name::{ended_key, ended_prefix, epoch_of},
};

/// Says that the worker of an epoch does nothing more.
///
/// # Errors
///
/// The store failed; the mark only saves others a wait.
pub fn mark_ended(store: &dyn Store, group: &Name, epoch: Epoch) -> Result<(), RecoveryError> {
    match store.create(&ended_key(group, epoch), &[]) {
        Err(error) if error.kind != StoreErrorKind::AlreadyExists => {
            Err(RecoveryError::store(error))
        }
        _ => Ok(()),
    }
}

/// Whether the worker of an epoch has said that it does nothing more.
///
/// # Errors
///
/// The store failed.
pub fn has_ended(store: &dyn Store, group: &Name, epoch: Epoch) -> Result<bool, RecoveryError> {
    let ended = store.exists(&ended_key(group, epoch));
    ended.map_err(RecoveryError::store)
}

/// Deletes the marks of workers before an epoch: they say nothing any more.
///
/// # Errors
///
/// The store failed.
pub fn forget_ended(store: &dyn Store, group: &Name, epoch: Epoch) -> Result<(), RecoveryError> {
    let mut old = Vec::new();
    each(store, &ended_prefix(group), |key| {
        if epoch_of(&key).is_some_and(|of| of < epoch) {
            old.push(key);
        }
    })?;
    for key in old {
        store.delete(&key).map_err(RecoveryError::store)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use afterimage_storage::MemoryStore;

    use super::*;

    #[test]
    fn a_mark_speaks_of_one_epoch_and_goes_with_a_later_one() {
        let store = MemoryStore::new();
        let group: Name = "shop".parse().unwrap();
        for epoch in [9, 10, 10] {
            mark_ended(&store, &group, Epoch(epoch)).unwrap();
        }
        let ended = || [8, 9, 10, 11].map(|at| has_ended(&store, &group, Epoch(at)).unwrap());
        assert_eq!(ended(), [false, true, true, false]);
        forget_ended(&store, &group, Epoch(10)).unwrap();
        assert_eq!(ended(), [false, false, true, false]);
    }
}
