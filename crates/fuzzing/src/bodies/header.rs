//! Headers.

use afterimage_changelog::{Container, Header};

use crate::{choices::Choices, sample::SAMPLES, spoil::spoiled};

/// Decodes a header; one that is accepted encodes to the same bytes.
///
/// # Panics
///
/// Where it does not.
pub fn header(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let input = match choices.u8() % 2 {
        0 => choices.rest().to_vec(),
        _ => {
            let mut input = spoiled(&valid(), &mut choices);
            fix_length(&mut input);
            input
        }
    };
    if let Ok(header) = Header::decode(&input) {
        assert_eq!(header.encode(), input);
    }
}

/// A header says how long it is; without this hardly an edit that changes the length gets far.
fn fix_length(header: &mut [u8]) {
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    if let Some(field) = header.get_mut(12..16) {
        field.copy_from_slice(&length.to_le_bytes());
    }
}

fn valid() -> Vec<u8> {
    super::container::opened(&SAMPLES.segment)
        .map_or_else(Vec::new, |Container { header, .. }| header.encode())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let raw = [vec![0], valid()].concat();
    vec![raw, vec![1], vec![1, 5, 104, 0, 97], vec![1, 2, 107, 0, 2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_header_is_accepted() {
        assert_eq!(Header::decode(&valid()).unwrap().encode(), valid());
    }
}
