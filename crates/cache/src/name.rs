//! Names of segments.

use afterimage_changelog::{Epoch, Name, limits::NUMBER_MAX};
use afterimage_storage::{Key, Store};

use crate::error::CacheError;

/// Digits of a number in a name: text order is number order.
const DIGITS: usize = 20;

/// The part of a key that claims have.
const CLAIMS: &str = "epochs";

/// The prefix of a stream's segments.
///
/// # Panics
///
/// Never: names are valid parts of a key.
#[must_use]
pub fn stream_prefix(group: &Name, stream: &Name) -> Key {
    Key::new(&format!("{group}/{stream}")).expect("names are parts of keys")
}

/// The key of a segment.
///
/// # Panics
///
/// Never: names and numbers are valid parts of a key.
#[must_use]
pub fn segment_key(group: &Name, stream: &Name, number: u64) -> Key {
    let name = format!("{group}/{stream}/{number:0DIGITS$}.seg");
    Key::new(&name).expect("names and numbers are parts of keys")
}

/// The key of a writer's claim to an epoch. All of a stream's claims are behind all of its segments.
///
/// # Panics
///
/// Never: names and numbers are valid parts of a key.
#[must_use]
pub fn claim_key(group: &Name, stream: &Name, epoch: Epoch) -> Key {
    let name = format!("{group}/{stream}/{CLAIMS}/{:0DIGITS$}", epoch.0);
    Key::new(&name).expect("names and numbers are parts of keys")
}

/// The epoch in the key of a claim; `None` where it is no such key.
#[must_use]
pub fn claimed_epoch(key: &Key) -> Option<Epoch> {
    let mut parts = key.as_str().rsplit('/');
    let number = number_of(parts.next()?).filter(|&number| number <= NUMBER_MAX)?;
    (parts.next() == Some(CLAIMS)).then_some(Epoch(number))
}

/// The number in a segment's key; `None` where it is no such key.
#[must_use]
pub fn segment_number(key: &Key) -> Option<u64> {
    number_of(key.as_str().rsplit('/').next()?.strip_suffix(".seg")?)
}

/// The number that has all of its digits, and nothing else.
fn number_of(digits: &str) -> Option<u64> {
    let plain = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// The streams of a group that have segments in the cache, in order of name.
///
/// # Errors
///
/// The store failed.
///
/// # Panics
///
/// Never: a name is a valid key.
pub fn streams(store: &dyn Store, group: &Name) -> Result<Vec<Name>, CacheError> {
    let prefix = Key::new(group.as_str()).expect("a name is a key");
    let mut names: Vec<Name> = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = store
            .list(&prefix, after.as_ref(), 1)
            .map_err(CacheError::store)?;
        let Some(entry) = page.into_iter().next() else {
            return Ok(names);
        };
        let stream = entry
            .key
            .parts()
            .nth(1)
            .and_then(|part| Name::new(part).ok());
        // Past everything of this stream, where it is one.
        after = Some(match stream {
            Some(stream) if segment_number(&entry.key).is_some() => {
                let last = claim_key(group, &stream, Epoch(u64::MAX));
                if names.last() != Some(&stream) {
                    names.push(stream);
                }
                last.max(entry.key)
            }
            // Of a stream that has no segment yet.
            Some(stream) if claimed_epoch(&entry.key).is_some() => {
                claim_key(group, &stream, Epoch(u64::MAX)).max(entry.key)
            }
            _ => entry.key,
        });
    }
}
