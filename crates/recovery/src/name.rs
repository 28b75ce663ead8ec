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

/// The key of a layer. The epoch is part of it, so workers of two epochs never share a name.
#[must_use]
pub fn layer_key(group: &Name, epoch: Epoch, id: ObjectId) -> Key {
    key(&format!("{group}/layers/{}/{id}.layer", epoch.0))
}
