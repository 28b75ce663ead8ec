//! The bytes that are written: a file in the page cache, mapped, and cut into pieces of uneven length.

use std::{
    fs::File,
    io::{self, Write},
    ops::Range,
    path::Path,
};

use afterimage_testkit::Random;
use memmap2::{Mmap, MmapOptions};

/// Bytes of a piece: about those of a compressed frame.
const PIECE_BYTES: Range<u64> = 12 << 10..20 << 10;

/// A mapped file without a name.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: File,
    mapping: Mmap,
}

impl Source {
    /// Makes one of `bytes` bytes that no file system can make smaller.
    #[expect(unsafe_code, reason = "a file can only be mapped by an unsafe call")]
    pub(crate) fn create(folder: &Path, bytes: u64) -> io::Result<Source> {
        let mut file = tempfile::tempfile_in(folder)?;
        let mut random = Random::new(1);
        let mut block = vec![0; 1 << 20];
        let mut left = bytes;
        while left > 0 {
            random.fill(&mut block);
            let take = left.min(1 << 20);
            let part = usize::try_from(take).expect("it is at most a block");
            file.write_all(block.get(..part).expect("it is at most a block"))?;
            left -= take;
        }
        file.sync_all()?;
        // SAFETY: the file has no name and is not written any more.
        let mapping = unsafe { MmapOptions::new().populate().map(&file)? };
        Ok(Source { file, mapping })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.mapping
    }

    /// One of `count` equal parts.
    pub(crate) fn part(&self, number: u64, count: u64) -> Range<u64> {
        let size = u64::try_from(self.mapping.len()).expect("usize is at most 64 bits");
        size * number / count..size * (number + 1) / count
    }

    /// The pieces of a range, one behind the other, and where each begins.
    pub(crate) fn pieces(&self, range: &Range<u64>) -> Vec<(u64, &[u8])> {
        let mut random = Random::new(range.start);
        let mut pieces = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let length = PIECE_BYTES.start + random.below(PIECE_BYTES.end - PIECE_BYTES.start);
            let end = range.end.min(at + length);
            pieces.push((at, self.slice(at..end)));
            at = end;
        }
        pieces
    }

    pub(crate) fn slice(&self, range: Range<u64>) -> &[u8] {
        let narrow = |at| usize::try_from(at).expect("the mapping has an address");
        let range = narrow(range.start)..narrow(range.end);
        self.bytes()
            .get(range)
            .expect("the caller asks for what is there")
    }
}
