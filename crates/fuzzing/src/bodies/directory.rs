//! Directories.

use afterimage_changelog::Directory;

use crate::{choices::Choices, sample::SAMPLES, spoil::spoiled};

/// Decodes a directory; one that is accepted encodes to the same bytes.
///
/// # Panics
///
/// Where it does not.
pub fn directory(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let input = match choices.u8() % 3 {
        0 => choices.rest().to_vec(),
        1 => spoiled(&valid(false), &mut choices),
        _ => spoiled(&valid(true), &mut choices),
    };
    if let Ok(directory) = Directory::decode(&input) {
        assert_eq!(directory.encode(), input);
    }
}

fn valid(long: bool) -> Vec<u8> {
    let object = if long {
        &SAMPLES.long_layer
    } else {
        &SAMPLES.segment
    };
    super::container::opened(object).map_or_else(Vec::new, |container| container.directory.encode())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let raw = [vec![0], valid(false)].concat();
    vec![
        raw,
        vec![1],
        vec![2],
        vec![1, 3, 0, 0, 255, 255, 255, 255],
        vec![2, 3, 4, 0, 0, 0, 0, 1],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_directories_are_accepted() {
        assert_eq!(Directory::decode(&valid(false)).unwrap().markers.len(), 4);
        assert_eq!(Directory::decode(&valid(true)).unwrap().row_pages.len(), 2);
    }
}
