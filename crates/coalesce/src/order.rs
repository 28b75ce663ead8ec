//! Extents in address order, by sorting keys instead of extents.
//!
//! A key is an extent's address and its place in the input, counted from the end:
//!
//! ```text
//! disk | start | how many come after it
//! ```
//!
//! so that of extents with one address the last comes first, which is the newest where they come in
//! order of writing, and hides the others at once. With no more bits for each part than the input
//! needs, a key nearly always fits 64 bits.

use std::vec;

use crate::extent::Extent;

/// Extents fetched at once.
const GATHERED: usize = 256;

/// Bits of the parts of a short key; the disk has what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyBits {
    start: u32,
    place: u32,
}

impl KeyBits {
    /// The bits that the extents need; `None` where they are more than 64.
    pub(crate) fn of(extents: &[Extent]) -> Option<KeyBits> {
        let (mut disks, mut starts) = (0, 0);
        for extent in extents {
            disks |= extent.disk;
            starts |= extent.start;
        }
        let last = u64::try_from(extents.len().saturating_sub(1)).ok()?;
        let bits = KeyBits {
            start: u64::BITS - starts.leading_zeros(),
            place: (u64::BITS - last.leading_zeros()).max(1),
        };
        let disk = u16::BITS - disks.leading_zeros();
        (disk + bits.start + bits.place <= u64::BITS).then_some(bits)
    }
}

/// The extents in address order, by keys of 64 bits.
pub(crate) fn by_short_keys(extents: &[Extent], bits: KeyBits) -> impl Iterator<Item = Extent> {
    let mask = (1 << bits.place) - 1;
    let key = move |extent: &Extent, after| {
        let address = u64::from(extent.disk) << bits.start | extent.start;
        address << bits.place | after
    };
    by_keys(extents, key, move |key| key & mask)
}

/// The extents in address order, by keys that any extents fit.
pub(crate) fn by_long_keys(extents: &[Extent]) -> impl Iterator<Item = Extent> {
    const PLACE_BITS: u32 = 48;
    let key = |extent: &Extent, after| {
        let address = u128::from(extent.disk) << u64::BITS | u128::from(extent.start);
        address << PLACE_BITS | u128::from(after)
    };
    let after = |key| u64::try_from(key & ((1 << PLACE_BITS) - 1)).unwrap_or(u64::MAX);
    by_keys(extents, key, after)
}

fn by_keys<K: Ord>(
    extents: &[Extent],
    key: impl Fn(&Extent, u64) -> K,
    after: impl Fn(K) -> u64,
) -> impl Iterator<Item = Extent> {
    let mut keys: Vec<K> = extents
        .iter()
        .rev()
        .zip(0..)
        .map(|(extent, after)| key(extent, after))
        .collect();
    keys.sort_unstable();
    Gather {
        extents,
        keys: keys.into_iter(),
        after,
        buffer: Vec::new(),
        given: 0,
    }
}

/// Fetches extents in the order of their keys.
///
/// They lie anywhere in memory. Whoever takes them branches on what each of them says, and while
/// the processor guesses wrong it fetches nothing; so they are fetched some hundred at a time by a
/// loop that does nothing else.
struct Gather<'a, K, A> {
    extents: &'a [Extent],
    keys: vec::IntoIter<K>,
    after: A,
    buffer: Vec<Extent>,
    given: usize,
}

impl<K, A: Fn(K) -> u64> Gather<'_, K, A> {
    fn fill(&mut self) {
        let last = self.extents.len().saturating_sub(1);
        let fetched = self.keys.by_ref().take(GATHERED).filter_map(|key| {
            let after = usize::try_from((self.after)(key)).ok()?;
            self.extents.get(last.checked_sub(after)?).copied()
        });
        self.buffer.clear();
        self.buffer.extend(fetched);
        self.given = 0;
    }
}

impl<K, A: Fn(K) -> u64> Iterator for Gather<'_, K, A> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        if self.given == self.buffer.len() {
            self.fill();
        }
        let extent = self.buffer.get(self.given).copied();
        self.given += usize::from(extent.is_some());
        extent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extents() -> impl Strategy<Value = Vec<Extent>> {
        let few = |bits| (0..=bits).prop_flat_map(|bits| 0..1u64 << bits);
        let bits = (0..=7u16, 0..=48u32);
        (bits, 0..600usize).prop_flat_map(move |((disks, bits), count)| {
            let place = (0..=disks, few(bits.min(47)));
            prop::collection::vec(place, count).prop_map(|places| {
                let extent = |((disk, start), frame)| Extent {
                    start,
                    sectors: 1,
                    rank: 0,
                    object: 0,
                    frame,
                    offset: 0,
                    disk,
                };
                places.into_iter().zip(0..).map(extent).collect()
            })
        })
    }

    proptest! {
        /// A stable sort of the extents themselves, the last first, gives the same.
        #[test]
        fn keys_of_both_widths_sort_as_extents_do(extents in extents()) {
            let mut sorted = extents.clone();
            sorted.reverse();
            sorted.sort_by_key(|extent| (extent.disk, extent.start));
            prop_assert_eq!(&by_long_keys(&extents).collect::<Vec<_>>(), &sorted);
            let bits = KeyBits::of(&extents).expect("three and 48 and ten bits fit");
            prop_assert_eq!(&by_short_keys(&extents, bits).collect::<Vec<_>>(), &sorted);
        }
    }

    #[test]
    fn short_keys_end_at_64_bits() {
        let extent = |disk, start| Extent {
            start,
            sectors: 1,
            rank: 0,
            object: 0,
            frame: 0,
            offset: 0,
            disk,
        };
        let bits = |disk, count| KeyBits::of(&vec![extent(disk, (1 << 47) | 1); count]);
        assert!(bits(u16::MAX >> 2, 4).is_some());
        assert!(bits(u16::MAX >> 2, 5).is_none());
        assert!(bits(u16::MAX, 1).is_none());
        assert!(KeyBits::of(&[]).is_some());
    }
}
