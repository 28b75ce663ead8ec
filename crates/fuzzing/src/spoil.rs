//! Bytes read as edits of a valid object.

use afterimage_changelog::size;
use afterimage_testkit::Random;

use crate::choices::Choices;

/// Edits taken from one input.
const EDITS_MAX: usize = 32;

/// A copy of `valid` with the edits that `choices` asks for; without any choice it is the same.
pub(crate) fn spoiled(valid: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..EDITS_MAX {
        if choices.is_empty() {
            break;
        }
        edit(&mut bytes, choices);
    }
    bytes
}

/// A copy of an input with a few edits that follow from `random`.
#[must_use]
pub fn spoiled_at_random(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut edits = vec![0; 8 + size(random.below(56))];
    random.fill(&mut edits);
    spoiled(input, &mut Choices::new(&edits))
}

fn edit(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let kind = choices.u8();
    let at = size(choices.below(afterimage_changelog::length(bytes)));
    match kind % 8 {
        0 => put(bytes, at, &[choices.u8()]),
        1 => {
            let bit = 1 << (choices.u8() % 8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        }
        2 => put(bytes, at, &choices.edge().to_le_bytes()),
        3 => put(bytes, at, &choices.u32().to_le_bytes()),
        4 => bytes.truncate(at),
        5 => bytes.insert(at, choices.u8()),
        6 => {
            let end = at + size(choices.below(64)).min(bytes.len() - at);
            bytes.drain(at..end);
        }
        _ => {
            let from = size(choices.below(afterimage_changelog::length(bytes)));
            let end = from + size(choices.below(64)).min(bytes.len() - from);
            let run = bytes.get(from..end).unwrap_or_default().to_vec();
            put(bytes, at, &run);
        }
    }
}

/// Overwrites what there is; never makes the object longer.
fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(new) {
        *to = *from;
    }
}
