//! Recorded write logs into the cache.

use std::io::Read;

use afterimage_cache::{CacheError, CacheErrorKind, StreamWriter};
use afterimage_changelog::{MarkerKind, ObjectId, SECTOR, Timestamp, length};
use afterimage_storage::Nonces;
use bytes::Bytes;

use crate::log_writes::{Action, LogEntry, LogError, LogReader};

/// Data of the largest entry that is taken; QEMU and the kernel stay far below it.
const ENTRY_BYTES_MAX: usize = 256 << 20;

/// A log could not be imported to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The log ends too early or is damaged.
    #[error("the log is damaged, what was complete before is in the cache: {0}")]
    Log(#[source] LogError),
    /// An entry does not fit the disk it is for.
    #[error("entry {entry} of the log does not fit, what came before it is in the cache: {reason}")]
    Entry {
        /// Number of the entry, from 1.
        entry: u64,
        /// What does not fit.
        reason: String,
    },
    /// The cache could not be written.
    #[error("{0}")]
    Cache(#[source] CacheError),
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries of the log.
    pub entries: u64,
    /// Writes among them.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Discards among them.
    pub discards: u64,
    /// Markers put, user marks included.
    pub markers: u64,
    /// Whether the log was read to its end.
    pub complete: bool,
}

/// Imports a log onto one disk of a stream.
#[derive(Debug)]
pub struct Import<'a> {
    /// Where the records go.
    pub writer: &'a mut StreamWriter,
    /// Number of the disk in the writer's table.
    pub disk: u16,
    /// Put a crash-consistent marker after every so many entries; one after the last comes anyway.
    pub marker_every: Option<u64>,
    /// Source of the ids of cuts.
    pub nonces: &'a Nonces,
}

impl Import<'_> {
    /// Reads the log to its end. The log holds no times, so markers carry what `now` says. Whatever
    /// happens, the entries that were complete are durable in the cache afterwards, as far as the
    /// cache could take them; an entry is never there in part.
    ///
    /// # Errors
    ///
    /// The log is damaged or ends too early, an entry does not fit the disk, or the cache failed.
    pub fn run<R: Read>(
        &mut self,
        log: &mut LogReader<R>,
        now: &dyn Fn() -> Timestamp,
        watch: &mut dyn FnMut(&Imported),
    ) -> Result<Imported, ImportError> {
        let mut imported = Imported::default();
        let read = self.entries(log, now, &mut imported, watch);
        if let Err(error @ ImportError::Cache(_)) = read {
            return Err(error);
        }
        if read.is_ok() {
            let due = self
                .marker_every
                .is_none_or(|every| !imported.entries.is_multiple_of(every))
                || imported.entries == 0;
            if due {
                self.mark(imported.entries, now())?;
                imported.markers += 1;
            }
            imported.complete = true;
        }
        self.writer.seal().map_err(ImportError::Cache)?;
        watch(&imported);
        read.map(|()| imported)
    }

    fn entries<R: Read>(
        &mut self,
        log: &mut LogReader<R>,
        now: &dyn Fn() -> Timestamp,
        imported: &mut Imported,
        watch: &mut dyn FnMut(&Imported),
    ) -> Result<(), ImportError> {
        while let Some(entry) = log.next_entry().map_err(ImportError::Log)? {
            let fits = |error| unfit(error, entry.number);
            match &entry.action {
                Action::Write => {
                    self.check(&entry)?;
                    let payload = data(log, &entry)?;
                    self.writer
                        .write(self.disk, entry.start / SECTOR, &payload, now())
                        .map_err(fits)?;
                    imported.writes += 1;
                    imported.written_bytes += entry.length;
                }
                Action::Discard => {
                    self.check(&entry)?;
                    let (start, sectors) = (entry.start / SECTOR, entry.length / SECTOR);
                    self.writer
                        .zero(self.disk, start, sectors, now())
                        .map_err(fits)?;
                    imported.discards += 1;
                }
                Action::Mark(text) => {
                    let cut = ObjectId(self.nonces.next());
                    self.writer
                        .mark(MarkerKind::User, text, cut, now())
                        .map_err(fits)?;
                    imported.markers += 1;
                }
                Action::FlushOnly => {}
            }
            imported.entries = entry.number;
            if self
                .marker_every
                .is_some_and(|every| entry.number.is_multiple_of(every))
            {
                self.mark(entry.number, now())?;
                imported.markers += 1;
            }
            watch(imported);
        }
        Ok(())
    }

    fn mark(&mut self, entries: u64, now: Timestamp) -> Result<(), ImportError> {
        let cut = ObjectId(self.nonces.next());
        self.writer
            .mark(MarkerKind::Crash, &format!("entry-{entries}"), cut, now)
            .map_err(ImportError::Cache)
    }

    fn check(&self, entry: &LogEntry) -> Result<(), ImportError> {
        let disk = self.writer.disks().get(usize::from(self.disk));
        let end = entry.start.checked_add(entry.length);
        let unfit = |reason: String| ImportError::Entry {
            entry: entry.number,
            reason,
        };
        match disk {
            Some(disk) if end.is_some_and(|end| end <= disk.bytes()) => {
                if disk.holds(entry.start / SECTOR, entry.length / SECTOR) {
                    return Ok(());
                }
                Err(unfit(format!(
                    "{} bytes at {} are not whole sectors of {} bytes",
                    entry.length,
                    entry.start,
                    disk.sector_size.bytes()
                )))
            }
            Some(disk) => Err(unfit(format!(
                "{} bytes at {} reach beyond disk {} of {} bytes; give its true size",
                entry.length,
                entry.start,
                disk.name,
                disk.bytes()
            ))),
            None => Err(unfit(format!("the stream has no disk {}", self.disk))),
        }
    }
}

/// The whole data of a write.
fn data<R: Read>(log: &mut LogReader<R>, entry: &LogEntry) -> Result<Bytes, ImportError> {
    let whole = log.next_piece(ENTRY_BYTES_MAX).map_err(ImportError::Log)?;
    let whole = whole.unwrap_or_default();
    if length(&whole) != entry.length {
        return Err(ImportError::Entry {
            entry: entry.number,
            reason: format!("its {} bytes are more than one write can be", entry.length),
        });
    }
    Ok(whole)
}

fn unfit(error: CacheError, entry: u64) -> ImportError {
    match error.kind {
        CacheErrorKind::Invalid(reason) => ImportError::Entry { entry, reason },
        _ => ImportError::Cache(error),
    }
}
