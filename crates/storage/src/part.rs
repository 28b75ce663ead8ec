//! Which bytes of an object are asked for.

use std::ops::Range;

/// A part of an object, before its size is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Exactly these bytes.
    Range(Range<u64>),
    /// The last bytes, at most so many.
    Tail(u64),
}

impl Part {
    /// The bytes meant in an object of `size` bytes; `None` where they are not all in it.
    #[must_use]
    pub fn within(&self, size: u64) -> Option<Range<u64>> {
        match self {
            Part::Whole => Some(0..size),
            Part::Range(range) => {
                (range.start <= range.end && range.end <= size).then(|| range.clone())
            }
            Part::Tail(bytes_max) => Some(size.saturating_sub(*bytes_max)..size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_within_the_object() {
        assert_eq!(Part::Whole.within(7), Some(0..7));
        assert_eq!(Part::Range(2..7).within(7), Some(2..7));
        assert_eq!(Part::Range(7..7).within(7), Some(7..7));
        assert_eq!(Part::Range(2..8).within(7), None);
        assert_eq!(Part::Range(8..8).within(7), None);
        assert_eq!(Part::Range(Range { start: 3, end: 2 }).within(7), None);
        assert_eq!(Part::Tail(3).within(7), Some(4..7));
        assert_eq!(Part::Tail(u64::MAX).within(7), Some(0..7));
    }
}
