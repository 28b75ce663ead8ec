//! Has the disk busy while more is being written, instead of all at once at the sync.
//!
//! The system is asked to begin writing out what was written, a step at a time. It promises nothing by
//! that, and what goes wrong is reported by the sync, which alone counts. Measured against direct
//! writes in docs/performance.md.

use std::{
    fs::File,
    num::NonZeroU64,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::Advice;

/// A disk may have blocks as large as this; one that is only written in part is left for later, as it
/// would be written out again.
const BLOCK_BYTES: u64 = 4096;

/// How far a file that is written front to back is on its way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    written: u64,
    begun: u64,
}

impl Appended {
    /// Bytes begun at once. Small, so that the disk does not wait long for the first ones of an object
    /// of a few megabytes.
    pub(crate) const STEP_BYTES: u64 = 1 << 20;

    /// So many bytes more are in the file.
    pub(crate) fn wrote(&mut self, file: &File, bytes: u64) {
        self.written += bytes;
        let end = self.written - self.written % Appended::STEP_BYTES;
        begin(file, self.begun..end);
        self.begun = self.begun.max(end);
    }
}

/// What was written anywhere in a file since the system was last asked to begin.
#[derive(Debug, Default)]
pub(crate) struct Scattered {
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    bytes: u64,
    /// From the first byte of them to the last.
    range: Range<u64>,
}

impl Scattered {
    /// Bytes begun at once. Larger than those of an object: what is begun covers many small writes with
    /// gaps between them, and asking costs a walk through all their pages.
    pub(crate) const STEP_BYTES: u64 = 8 << 20;
    /// And at least one byte in so many of the range: what is written here and there on the whole disk makes
    /// one walk through all of its pages, and few long stretches instead of many short ones.
    const SPARSE_MAX: u64 = 8;
    /// However large the disk, not more than this waits for that.
    const SPARSE_BYTES_MAX: u64 = 512 << 20;

    /// These bytes were written.
    pub(crate) fn wrote(&self, file: &File, range: &Range<u64>) {
        if let Some(range) = self.add(range) {
            begin(file, range);
        }
    }

    /// All that was written is synced.
    pub(crate) fn synced(&self) {
        *self.due() = Due::default();
    }

    /// What is to be begun, once it is enough.
    fn add(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let mut due = self.due();
        due.range = if due.bytes == 0 {
            range.clone()
        } else {
            due.range.start.min(range.start)..due.range.end.max(range.end)
        };
        due.bytes += range.end - range.start;
        let range_bytes = due.range.end - due.range.start;
        let sparse = (range_bytes / Scattered::SPARSE_MAX).min(Scattered::SPARSE_BYTES_MAX);
        if due.bytes < Scattered::STEP_BYTES.max(sparse) {
            return None;
        }
        let due = std::mem::take(&mut *due).range;
        Some(due.start..due.end - due.end % BLOCK_BYTES)
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        // Nothing depends on it but when the system is asked.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The advice begins writing out what is dirty, and forgets what is clean.
fn begin(file: &File, range: Range<u64>) {
    if let Some(length) = NonZeroU64::new(range.end.saturating_sub(range.start)) {
        // A system that does not take the advice writes it all at the sync.
        let _not_taken = rustix::fs::fadvise(file, range.start, Some(length), Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_appended_is_begun_in_whole_steps_once() {
        let mut file = tempfile::tempfile().unwrap();
        let mut appended = Appended::default();
        let step = Appended::STEP_BYTES;
        let mut sum = 0;
        for bytes in [0, 1, step - 2, 1, 1, 3 * step, step / 2, 0] {
            file.write_all(&vec![1; usize::try_from(bytes).unwrap()])
                .unwrap();
            appended.wrote(&file, bytes);
            sum += bytes;
            assert_eq!(appended.written, sum);
            assert_eq!(appended.begun, sum / step * step);
        }
    }

    #[test]
    fn what_is_scattered_is_begun_when_it_is_enough() {
        let scattered = Scattered::default();
        let half = Scattered::STEP_BYTES / 2;
        let at = |start: u64, bytes: u64| start..start + bytes;
        assert_eq!(scattered.add(&at(40 << 20, half)), None);
        assert_eq!(scattered.add(&at(512, half - 1)), None);
        let all = 512..(40 << 20) + half;
        assert_eq!(scattered.add(&at(4096, 1)), Some(all));
        // The next step begins anew, and ends before a block that may be written further.
        assert_eq!(scattered.add(&at(9000, 100)), None);
        let whole = 9000..(9100 + 2 * half) / BLOCK_BYTES * BLOCK_BYTES;
        assert_eq!(scattered.add(&at(9100, 2 * half)), Some(whole));
        assert_eq!(scattered.add(&at(0, 2 * half - 1)), None);
        scattered.synced();
        assert_eq!(scattered.add(&at(0, 2 * half - 1)), None);
    }

    #[test]
    fn what_is_sparse_is_begun_later() {
        let scattered = Scattered::default();
        let step = Scattered::STEP_BYTES;
        let at = |start: u64, bytes: u64| start..start + bytes;
        // As many bytes as a step, but with too much between.
        let end = 2 * step * Scattered::SPARSE_MAX;
        assert_eq!(scattered.add(&at(0, BLOCK_BYTES)), None);
        assert_eq!(scattered.add(&at(end - step, step)), None);
        // An eighth of all.
        assert_eq!(scattered.add(&at(step, step - BLOCK_BYTES)), Some(0..end));
        // Both ends of a large disk.
        let most = Scattered::SPARSE_BYTES_MAX;
        let disk = 4 << 40;
        assert_eq!(scattered.add(&at(0, BLOCK_BYTES)), None);
        assert_eq!(scattered.add(&at(disk - BLOCK_BYTES, BLOCK_BYTES)), None);
        assert_eq!(scattered.add(&at(1 << 30, most - 3 * BLOCK_BYTES)), None);
        assert_eq!(scattered.add(&at(1 << 40, BLOCK_BYTES)), Some(0..disk));
    }
}
