//! Holds.

use afterimage_recovery::hold::Hold;

use crate::{choices::Choices, rehash, sample::SAMPLES, spoil::spoiled};

/// Decodes a hold; one that is accepted encodes to the same bytes.
///
/// # Panics
///
/// Where it does not.
pub fn hold(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let input = match choices.u8() % 3 {
        0 => choices.rest().to_vec(),
        1 => spoiled(&SAMPLES.hold, &mut choices),
        _ => {
            let mut input = spoiled(&SAMPLES.hold, &mut choices);
            rehash::trailing(&mut input);
            input
        }
    };
    if let Ok(hold) = Hold::decode(&input) {
        assert_eq!(hold.encode(), input);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 4] = [&[1], &[2], &[2, 1, 20, 0, 3], &[2, 2, 44, 0, 2]];
    let raw = [&[0], SAMPLES.hold.as_slice()].concat();
    let spoiled = seeds.iter().map(|seed| seed.to_vec());
    spoiled.chain([raw]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_one_is_accepted() {
        assert!(Hold::decode(&SAMPLES.hold).is_ok());
        let mut same = SAMPLES.hold.to_vec();
        same[20] ^= 1;
        assert!(Hold::decode(&same).is_err());
        rehash::trailing(&mut same);
        assert!(Hold::decode(&same).is_ok());
    }
}
