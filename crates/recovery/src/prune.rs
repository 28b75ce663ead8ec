//! Pruning: points go, what they hold stays for the next one, and nobody's pin is passed over.

use afterimage_changelog::{Epoch, Name, ObjectId, Timestamp};
use afterimage_storage::{Key, Store};

use crate::{
    collect::each,
    error::RecoveryError,
    hold::{Hold, HoldKind},
    manifest::Manifest,
    name::{epoch_of, pruning_key, pruning_prefix},
    retention::{self, Candidate, Decision, HoldReason, Keep, decide},
};

/// Decides which points of a manifest go, by a policy and the holds there are.
#[must_use]
pub fn plan_prune(
    manifest: &Manifest,
    keep: &Keep,
    holds: &[Hold],
    now: Timestamp,
) -> Vec<Decision> {
    let points = manifest.points.iter();
    let candidates: Vec<Candidate> = points
        .map(|point| Candidate::from(point.as_ref()))
        .collect();
    let holds: Vec<retention::Hold> = holds
        .iter()
        .filter_map(|hold| {
            let reason = match hold.kind {
                HoldKind::Pin => HoldReason::Pinned(hold.text.clone()),
                HoldKind::Use => HoldReason::InUse(hold.text.clone()),
            };
            Some(retention::Hold {
                point: hold.point?,
                reason,
                until: Some(hold.until).filter(|until| until.0 < u64::MAX),
            })
        })
        .collect();
    decide(&candidates, keep, &holds, now)
}

/// Says that points are being pruned, before the holds are listed: who pins a point looks for this
/// after the pin is there, so either the pin is seen or the mark is. Gives its key.
///
/// # Errors
///
/// The store failed.
pub fn mark_pruning(
    store: &dyn Store,
    group: &Name,
    epoch: Epoch,
    id: ObjectId,
) -> Result<Key, RecoveryError> {
    let key = pruning_key(group, epoch, id);
    store.create(&key, &[]).map_err(RecoveryError::store)?;
    Ok(key)
}

/// Takes back the marks of workers before `epoch`: they commit nothing any more. That of a later one
/// stays, for it may be deciding right now.
///
/// # Errors
///
/// The store failed.
pub fn unmark_pruning_before(
    store: &dyn Store,
    group: &Name,
    epoch: Epoch,
) -> Result<(), RecoveryError> {
    let mut marks = Vec::new();
    each(store, &pruning_prefix(group), |key| {
        if epoch_of(&key).is_none_or(|of| of < epoch) {
            marks.push(key);
        }
    })?;
    for key in marks {
        store.delete(&key).map_err(RecoveryError::store)?;
    }
    Ok(())
}

/// Whether points are being pruned.
pub(crate) fn is_pruning(store: &dyn Store, group: &Name) -> Result<bool, RecoveryError> {
    let listed = store.list(&pruning_prefix(group), None, 1);
    Ok(!listed.map_err(RecoveryError::store)?.is_empty())
}
