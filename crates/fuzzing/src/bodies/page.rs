//! Pages of points.

use afterimage_recovery::page::Page;

use crate::{choices::Choices, rehash, sample::SAMPLES, spoil::spoiled};

/// Decodes a page; one that is accepted encodes to the same bytes.
///
/// # Panics
///
/// Where it does not.
pub fn page(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let input = match choices.u8() % 3 {
        0 => choices.rest().to_vec(),
        1 => spoiled(&SAMPLES.page, &mut choices),
        _ => {
            let mut input = spoiled(&SAMPLES.page, &mut choices);
            rehash::trailing(&mut input);
            input
        }
    };
    if let Ok(page) = Page::decode(&input) {
        assert_eq!(page.encode(), input);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 4] = [&[1], &[2], &[2, 1, 20, 0, 3], &[2, 2, 44, 0, 2]];
    let raw = [&[0], SAMPLES.page.as_slice()].concat();
    let spoiled = seeds.iter().map(|seed| seed.to_vec());
    spoiled.chain([raw]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_one_is_accepted() {
        assert!(Page::decode(&SAMPLES.page).is_ok());
        let mut same = SAMPLES.page.to_vec();
        same[20] ^= 1;
        assert!(Page::decode(&same).is_err());
        rehash::trailing(&mut same);
        assert!(Page::decode(&same).is_ok());
    }
}
