//! Footers.

use afterimage_changelog::{Footer, footer::FOOTER_BYTES, length};

use crate::{choices::Choices, sample::SAMPLES, spoil::spoiled};

/// Bytes of a footer that are fields; the digest follows, and the magic.
const FIELDS_BYTES: usize = 56;

/// Decodes a footer; the fields of one that is accepted encode to the same bytes.
///
/// # Panics
///
/// Where they do not, or where a part would lie outside the object.
pub fn footer(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (input, object_bytes) = match choices.u8() % 3 {
        0 => {
            let object_bytes = choices.u64();
            (choices.rest().to_vec(), object_bytes)
        }
        1 => (spoiled(valid(), &mut choices), length(&SAMPLES.segment)),
        _ => {
            // The length that the fields speak of, so that the checks behind that one are reached.
            let input = spoiled(valid(), &mut choices);
            let mut fields = Choices::new(&input);
            let (offset, directory) = (fields.u64(), fields.u32());
            let object_bytes = offset.wrapping_add(u64::from(directory));
            (input, object_bytes.wrapping_add(length(valid())))
        }
    };
    let Ok(mut footer) = Footer::decode(&input, object_bytes) else {
        return;
    };
    assert!(u64::from(footer.header_bytes) <= footer.directory_offset);
    let directory_end = footer.directory_offset + u64::from(footer.directory_bytes);
    assert_eq!(directory_end + length(&input), object_bytes);
    let digest = footer.digest;
    let encoded = footer.encode(&[], &[]);
    assert_eq!(encoded.get(..FIELDS_BYTES), input.get(..FIELDS_BYTES));
    assert_eq!(
        Some(digest.0.as_slice()),
        input.get(FIELDS_BYTES..FIELDS_BYTES + 32)
    );
}

fn valid() -> &'static [u8] {
    let object = &SAMPLES.segment;
    object
        .get(object.len() - FOOTER_BYTES..)
        .unwrap_or_default()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let object_bytes = length(&SAMPLES.segment).to_le_bytes();
    let raw = [&[0], object_bytes.as_slice(), valid()].concat();
    vec![
        raw,
        vec![1],
        vec![2, 2, 0, 0, 8],
        vec![2, 3, 8, 0, 1, 0, 0, 0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_footer_is_accepted() {
        assert!(Footer::decode(valid(), length(&SAMPLES.segment)).is_ok());
    }
}
