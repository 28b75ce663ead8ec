//! The two that are compared: a point through the library, and a raw file.

use std::{
    collections::BTreeSet,
    error::Error,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use afterimage::{Name, PointReader};
use afterimage_benches::timed;

/// Bytes of one read.
pub(crate) const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;
/// Bytes of a disk whose extents the reader resolves at once.
const REGION_BYTES: u64 = 4 << 20;

/// Whoever has the bytes of a disk.
pub(crate) trait Side {
    /// Fills a page with the bytes from an offset on.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Box<dyn Error>>;
}

/// A disk of a point.
#[derive(Debug)]
pub(crate) struct Ours {
    reader: PointReader,
    disk: Name,
}

impl Ours {
    pub(crate) const fn new(reader: PointReader, disk: Name) -> Ours {
        Ours { reader, disk }
    }

    /// Reads one page of each region, so that where everything lies is in memory.
    pub(crate) fn read_index(&self, pages: &[u64]) -> Result<(), Box<dyn Error>> {
        let mut regions = BTreeSet::new();
        let first = pages
            .iter()
            .filter(|page| regions.insert(**page / REGION_BYTES));
        let first: Vec<u64> = first.copied().collect();
        read_all(self, &first).map(drop)
    }
}

impl Side for Ours {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Box<dyn Error>> {
        Ok(self.reader.read_at(&self.disk, offset, into)?)
    }
}

/// A raw file.
#[derive(Debug)]
pub(crate) struct Raw {
    path: PathBuf,
    file: File,
}

impl Raw {
    #[expect(
        clippy::disallowed_methods,
        reason = "what is compared with is a plain file, below the storage crate"
    )]
    pub(crate) fn open(path: &Path) -> Result<Raw, Box<dyn Error>> {
        Ok(Raw {
            path: path.to_path_buf(),
            file: File::open(path)?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Side for Raw {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Box<dyn Error>> {
        Ok(self.file.read_exact_at(into, offset)?)
    }
}

/// Reads pages one after the other; gives how long each took, and their bytes one behind the other.
pub(crate) fn read_all(
    side: &dyn Side,
    pages: &[u64],
) -> Result<(Vec<Duration>, Vec<u8>), Box<dyn Error>> {
    let mut bytes = vec![0; pages.len() * PAGE_BYTES];
    let mut times = Vec::with_capacity(pages.len());
    for (&page, into) in pages.iter().zip(bytes.chunks_mut(PAGE_BYTES)) {
        // Its memory is there before the clock starts, on both sides.
        into.fill(0xAA);
        let (time, read) = timed(|| side.read(page, into));
        read?;
        times.push(time);
    }
    Ok((times, bytes))
}
