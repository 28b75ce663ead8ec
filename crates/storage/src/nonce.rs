//! Unique values.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of 128-bit values, each of them unlike every other.
#[derive(Debug)]
pub struct Nonces(Source);

#[derive(Debug)]
enum Source {
    System,
    /// The state of a splitmix64 generator (Steele, Lea, Flood 2014).
    Seeded(AtomicU64),
}

/// The odd number by which the state of splitmix64 advances: 2^64 over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Nonces {
    /// Values from the random source of the operating system.
    #[must_use]
    pub fn from_os() -> Nonces {
        Nonces(Source::System)
    }

    /// Values that follow from `seed`, for runs that can be repeated. Never for production: two
    /// sources of one seed give the same values.
    #[must_use]
    pub fn seeded(seed: u64) -> Nonces {
        Nonces(Source::Seeded(AtomicU64::new(seed)))
    }

    /// The next value.
    ///
    /// # Panics
    ///
    /// Where the operating system has no random bytes: nothing may be committed without.
    #[must_use]
    pub fn next(&self) -> [u8; 16] {
        let mut value = [0; 16];
        match &self.0 {
            Source::System => {
                getrandom::fill(&mut value).expect("the operating system gives random bytes");
            }
            Source::Seeded(state) => {
                // Both halves are taken in one step, so that threads never share a value.
                let before = state.fetch_add(STEP.wrapping_mul(2), Ordering::Relaxed);
                let (low, high) = value.split_at_mut(8);
                low.copy_from_slice(&mixed(before.wrapping_add(STEP)).to_le_bytes());
                high.copy_from_slice(
                    &mixed(before.wrapping_add(STEP.wrapping_mul(2))).to_le_bytes(),
                );
            }
        }
        value
    }
}

impl Nonces {
    /// The next value as 32 hexadecimal digits, which are a part of a key.
    ///
    /// # Panics
    ///
    /// As [`next`](Nonces::next).
    #[must_use]
    pub fn next_text(&self) -> String {
        let value = self.next();
        value.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn mixed(state: u64) -> u64 {
    let once = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    twice ^ (twice >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn values_differ() {
        for nonces in [Nonces::from_os(), Nonces::seeded(7)] {
            let values: BTreeSet<[u8; 16]> = (0..1000).map(|_| nonces.next()).collect();
            assert_eq!(values.len(), 1000);
            // A seeded value is two numbers of one sequence, none of them used twice.
            let halves = values.iter().flat_map(|value| value.chunks(8));
            assert_eq!(halves.collect::<BTreeSet<_>>().len(), 2000);
        }
    }

    #[test]
    fn a_seed_repeats_its_values_and_another_does_not() {
        let first = |seed| Nonces::seeded(seed).next();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    /// The first two outputs for seed 0, as published with the reference code of splitmix64.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut expected = 0xe220_a839_7b1d_cdaf_u64.to_le_bytes().to_vec();
        expected.extend_from_slice(&0x6e78_9e6a_a1b9_65f4_u64.to_le_bytes());
        assert_eq!(Nonces::seeded(0).next().as_slice(), expected);
    }
}
