//! Names of the objects at the target.

use afterimage_changelog::{Epoch, Name, ObjectId, limits::NUMBER_MAX};
use afterimage_storage::Key;

/// Digits of a number in a name: text order is number order.
const DIGITS: usize = 20;

fn key(text: &str) -> Key {
    Key::new(text).expect("names and numbers are parts of keys")
}

/// The prefix of a group's manifests.
#[must_use]
pub fn manifest_prefix(group: &Name) -> Key {
    key(&format!("{group}/manifest"))
}

/// The key of a manifest.
#[must_use]
pub fn manifest_key(group: &Name, number: u64) -> Key {
    key(&format!("{group}/manifest/{number:0DIGITS$}"))
}

/// The prefix of a group's boundaries.
#[must_use]
pub fn boundary_prefix(group: &Name) -> Key {
    key(&format!("{group}/boundary"))
}

/// The key of a boundary.
#[must_use]
pub fn boundary_key(group: &Name, number: u64) -> Key {
    key(&format!("{group}/boundary/{number:0DIGITS$}"))
}

/// The number at the end of a manifest's or boundary's key; `None` where there is none, or none
/// that counting could reach.
#[must_use]
pub fn number(key: &Key) -> Option<u64> {
    let digits = key.as_str().rsplit('/').next()?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|&number| plain && number <= NUMBER_MAX)
}

/// The prefix of a group's holds.
#[must_use]
pub fn hold_prefix(group: &Name) -> Key {
    key(&format!("{group}/holds"))
}

/// The key of a hold.
#[must_use]
pub fn hold_key(group: &Name, id: ObjectId) -> Key {
    key(&format!("{group}/holds/{id}.hold"))
}

/// The prefixes of a group's layers, indexes and pages of points: what only manifests name.
#[must_use]
pub fn named_prefixes(group: &Name) -> [Key; 3] {
    ["layers", "indexes", "pages"].map(|kind| key(&format!("{group}/{kind}")))
}

/// The epoch in the key of an object that only manifests name; `None` where there is none.
#[must_use]
pub fn epoch_of(key: &Key) -> Option<Epoch> {
    let digits = key.as_str().split('/').nth(2)?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain).map(Epoch)
}

/// The key of an index. The epoch is part of it, as of a layer's.
#[must_use]
pub fn index_key(group: &Name, epoch: Epoch, id: ObjectId) -> Key {
    key(&format!("{group}/indexes/{}/{id}.index", epoch.0))
}

/// The key of a page of points. The epoch is part of it, as of a layer's.
#[must_use]
pub fn page_key(group: &Name, epoch: Epoch, id: ObjectId) -> Key {
    key(&format!("{group}/pages/{}/{id}.page", epoch.0))
}

/// The prefix of the segments that are kept at the target, named below it as in the cache.
#[must_use]
pub fn kept_prefix(group: &Name) -> Key {
    key(&format!("{group}/kept"))
}

/// The key of a segment that is kept at the target.
#[must_use]
pub fn kept_key(group: &Name, stream: &Name, number: u64) -> Key {
    key(&format!(
        "{group}/kept/{group}/{stream}/{number:0DIGITS$}.seg"
    ))
}

/// The prefix of the marks that points are being pruned.
#[must_use]
pub fn pruning_prefix(group: &Name) -> Key {
    key(&format!("{group}/pruning"))
}

/// The key of a mark that points are being pruned.
#[must_use]
pub fn pruning_key(group: &Name, epoch: Epoch, id: ObjectId) -> Key {
    key(&format!("{group}/pruning/{}/{id}", epoch.0))
}

/// The prefix of the marks of workers that have ended in order.
#[must_use]
pub fn ended_prefix(group: &Name) -> Key {
    key(&format!("{group}/ended"))
}

/// The key of the mark that the worker of an epoch has ended in order.
#[must_use]
pub fn ended_key(group: &Name, epoch: Epoch) -> Key {
    key(&format!("{group}/ended/{}", epoch.0))
}

/// The prefix of the claims to epochs.
#[must_use]
pub fn claim_prefix(group: &Name) -> Key {
    key(&format!("{group}/epochs"))
}

/// The key of the claim to an epoch.
#[must_use]
pub fn claim_key(group: &Name, epoch: Epoch) -> Key {
    key(&format!("{group}/epochs/{}", epoch.0))
}

/// The key of a layer. The epoch is part of it, so workers of two epochs never share a name.
#[must_use]
pub fn layer_key(group: &Name, epoch: Epoch, id: ObjectId) -> Key {
    key(&format!("{group}/layers/{}/{id}.layer", epoch.0))
}
