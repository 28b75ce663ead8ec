//! Writes many pieces with few calls and no copy.

use std::io::{self, IoSlice};

use crate::disk::{count, length};

/// Pieces given to one call; systems take at most 1024.
const PIECES_MAX: usize = 512;

/// Writes all pieces by calls of `write`, which is told how many bytes were written before and
/// returns how many it wrote.
pub(crate) fn write_all(
    pieces: &[&[u8]],
    mut write: impl FnMut(u64, &[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    for batch in pieces.chunks(PIECES_MAX) {
        let total: u64 = batch.iter().map(|piece| length(piece)).sum();
        let batch_end = done + total;
        // A writer that is given empty slices only has nothing to write, which looks like a full disk.
        let pieces = batch.iter().filter(|piece| !piece.is_empty());
        let mut slices: Vec<IoSlice<'_>> = pieces.map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while done < batch_end {
            match write(done, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut rest, written);
                    done += count(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The first of the slices, as many as have together at most so many bytes; none where the first alone
/// has more.
pub(crate) fn at_most<'of, 'bytes>(
    bytes_max: usize,
    slices: &'of [IoSlice<'bytes>],
) -> &'of [IoSlice<'bytes>] {
    let mut left = bytes_max;
    let fits = |slice: &&IoSlice<'_>| {
        let rest = left.checked_sub(slice.len());
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let fitting = slices.iter().take_while(fits).count();
    slices.get(..fitting).unwrap_or(slices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A writer that takes few bytes at a time, or is interrupted, still gets all of them.
        #[test]
        fn short_and_interrupted_writes_lose_nothing(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..1200),
            takes in prop::collection::vec(0..7usize, 1..9),
        ) {
            let mut written = Vec::new();
            let mut turns = takes.iter().cycle();
            let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            // One take must be above zero, or nothing ever moves.
            let stuck = takes.iter().all(|&take| take == 0);
            prop_assume!(!stuck);
            write_all(&borrowed, |before, slices| {
                assert_eq!(before, length(&written));
                let take = *turns.next().unwrap();
                if take == 0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
                let taken: Vec<u8> = bytes.take(take).collect();
                written.extend_from_slice(&taken);
                Ok(taken.len())
            })
            .unwrap();
            prop_assert_eq!(written, pieces.concat());
        }
    }

    #[test]
    fn slices_are_taken_up_to_a_number_of_bytes() {
        let bytes = [0; 10];
        let slices = [3, 0, 4, 0, 5].map(|length| IoSlice::new(&bytes[..length]));
        let expected = [0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 4, 5, 5];
        for (bytes_max, expected) in expected.into_iter().enumerate() {
            let found = at_most(bytes_max, &slices);
            assert_eq!(found.len(), expected, "at most {bytes_max} bytes");
        }
        assert!(at_most(10, &[]).is_empty());
    }
}
