//! Frames and their entries.

use afterimage_changelog::{
    Codec, Digest, EncodedFrame, FrameEntry,
    frame::{FRAME_ENTRY_BYTES, FrameEncoder},
    limits::FRAME_BYTES_MAX,
    wire::{Put, Take},
};
use bytes::Bytes;

use crate::{choices::Choices, spoil::spoiled};

/// Decodes an entry, and stored bytes that match it. What is accepted encodes to the same bytes, and
/// a payload has the length that the entry says.
///
/// # Panics
///
/// Where any of that does not hold.
pub fn frame(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (entry, stored) = match choices.u8() % 3 {
        // An entry, and whatever stored bytes follow it.
        0 => {
            let input = choices.rest();
            let (entry, stored) = input.split_at(input.len().min(FRAME_ENTRY_BYTES));
            (entry.to_vec(), stored.to_vec())
        }
        1 => {
            let (entry, stored) = valid(4096);
            (spoiled(&entry, &mut choices), stored)
        }
        // Spoiled stored bytes under an entry that fits them.
        _ => {
            let (_, stored) = valid(1 + choices.below(200 << 10));
            let raw = match choices.u8() % 4 {
                0 => FRAME_BYTES_MAX,
                1 => 512,
                _ => 512 * (1 + u32::from(choices.u8())),
            };
            let stored = spoiled(&stored, &mut choices);
            (entry(&stored, raw, Codec::Zstd), stored)
        }
    };
    let mut input = Take::new("entry", &entry);
    let Ok(found) = FrameEntry::take(&mut input) else {
        return;
    };
    let mut again = Put::default();
    found.put(&mut again);
    assert_eq!(entry.get(..FRAME_ENTRY_BYTES), Some(again.0.as_slice()));
    assert!(found.raw <= FRAME_BYTES_MAX && found.stored <= found.raw);
    if let Ok(frame) = found.check(Bytes::from(stored)) {
        decode(&frame);
    }
}

fn decode(frame: &EncodedFrame) {
    if let Ok(payload) = frame.decode() {
        assert_eq!(afterimage_changelog::length(&payload), u64::from(frame.raw));
    }
}

/// An entry for stored bytes, at an offset of no meaning.
fn entry(stored: &[u8], raw: u32, codec: Codec) -> Vec<u8> {
    let mut out = Put::default();
    let entry = FrameEntry {
        offset: 4096,
        stored: u32::try_from(stored.len()).unwrap_or(u32::MAX),
        raw,
        codec,
        layer: 0,
        digest: Digest::of(stored),
    };
    entry.put(&mut out);
    out.0
}

/// A frame of about so many bytes of payload: its entry and its stored bytes.
fn valid(bytes: u64) -> (Vec<u8>, Vec<u8>) {
    let bytes = afterimage_changelog::size(bytes).next_multiple_of(512);
    let payload: Vec<u8> = (0..=250).cycle().take(bytes).collect();
    let frame = FrameEncoder::new(1).encode(Bytes::from(payload));
    (
        entry(&frame.bytes, frame.raw, frame.codec),
        frame.bytes.to_vec(),
    )
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let (entry, stored) = valid(4096);
    let raw = [vec![0], entry, stored].concat();
    let seeds: [&[u8]; 5] = [
        &[1],
        &[1, 3, 8, 0, 0, 16],
        &[2, 255, 15, 2, 7],
        &[2, 0, 0, 0],
        &[2, 0, 200, 1, 0, 4, 0],
    ];
    seeds
        .iter()
        .map(|seed| seed.to_vec())
        .chain([raw])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_frame_is_accepted() {
        let (entry, stored) = valid(4096);
        let entry = FrameEntry::take(&mut Take::new("entry", &entry)).unwrap();
        assert!(entry.check(Bytes::from(stored)).unwrap().decode().is_ok());
    }
}
