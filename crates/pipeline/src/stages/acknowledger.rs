//! Deleting segments that committed points cover.

use std::ops::Range;

use afterimage_cache::{segment_key, segment_number, stream_prefix};
use afterimage_changelog::Position;

use crate::{error::Error, ingest::IngestParts};

/// Deletes the segments before positions that are committed.
#[derive(Debug)]
pub(crate) struct Acknowledger {
    parts: IngestParts,
    /// The lowest segment that may still be in the cache.
    oldest: u64,
}

impl Acknowledger {
    /// Deletes what an earlier worker had covered, up to `position`, but not deleted.
    ///
    /// # Errors
    ///
    /// The cache failed.
    pub(crate) fn open(
        parts: IngestParts,
        position: Option<&Position>,
    ) -> Result<Acknowledger, Error> {
        let mut acknowledger = Acknowledger { parts, oldest: 0 };
        if let Some(position) = position {
            acknowledger.sweep(position)?;
        }
        Ok(acknowledger)
    }

    /// Deletes the segments before a position that is committed.
    ///
    /// # Errors
    ///
    /// The cache failed; what is left is deleted by the next open.
    pub(crate) fn acknowledge(&mut self, position: &Position) -> Result<(), Error> {
        self.delete_all(self.covered(position))?;
        self.deleted(position);
        Ok(())
    }

    /// The segments that may still be in the cache and lie before a position.
    pub(crate) const fn covered(&self, position: &Position) -> Range<u64> {
        self.oldest..position.segment
    }

    /// Deletes one of them; in any order, several at once if need be.
    pub(crate) fn delete(&self, number: u64) -> Result<(), Error> {
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = &self.parts;
        Ok(cache.delete(&segment_key(group, stream, number))?)
    }

    /// Deletes several of them.
    pub(crate) fn delete_all(&self, segments: Range<u64>) -> Result<(), Error> {
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = &self.parts;
        let keys = segments.map(|number| segment_key(group, stream, number));
        Ok(cache.delete_all(&keys.collect::<Vec<_>>())?)
    }

    /// Whether somebody bills each request to the cache.
    pub(crate) fn is_billed(&self) -> bool {
        self.parts.cache.is_billed()
    }

    /// All of those before a position are gone.
    pub(crate) const fn deleted(&mut self, position: &Position) {
        self.oldest = position.segment;
    }

    fn sweep(&mut self, position: &Position) -> Result<(), Error> {
        let IngestParts {
            cache,
            group,
            stream,
            ..
        } = &self.parts;
        let prefix = stream_prefix(group, stream);
        const PAGE: usize = 256;
        let mut after = None;
        loop {
            let listed = cache.list(&prefix, after.as_ref(), PAGE)?;
            let is_covered = |number: &u64| *number < position.segment;
            let numbers = listed.iter().filter_map(|entry| segment_number(&entry.key));
            let covered: Vec<u64> = numbers.clone().take_while(is_covered).collect();
            let is_past = numbers.count() > covered.len();
            let keys = covered
                .iter()
                .map(|&number| segment_key(group, stream, number));
            cache.delete_all(&keys.collect::<Vec<_>>())?;
            if is_past || listed.len() < PAGE {
                break;
            }
            after = listed.into_iter().next_back().map(|entry| entry.key);
        }
        self.oldest = position.segment;
        Ok(())
    }
}
