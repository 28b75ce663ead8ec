//! `afterimage inspect`: any stored object by its file, verified down to the last frame.
//!
//! What the object is follows from its bytes, not from its name. Nothing is printed of one that is
//! damaged but the error, which says in which part and where.

mod container;
mod hold;
mod manifest;
mod page;
mod progress;
mod report;

use std::{ops::Range, path::Path};

use afterimage::{
    ErrorKind,
    changelog::{DecodeError, OpenError, size},
    storage::{Disk, DiskError, DiskErrorKind, FileDisk},
};
use bytes::Bytes;

use self::report::{Cell, Report};

/// What a segment or layer begins and ends with.
const CONTAINER_MAGIC: &[u8] = b"AFTRIMG\0";
const CONTAINER_END_MAGIC: &[u8] = b"AFTREND\0";
const MANIFEST_MAGIC: &[u8] = b"AFTRMAN\0";
const PAGE_MAGIC: &[u8] = b"AFTRPTS\0";
const HOLD_MAGIC: &[u8] = b"AFTRHLD\0";
const MAGIC_BYTES: u64 = 8;

/// A file could not be inspected.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {kind}")]
pub(crate) struct InspectError {
    /// The file.
    place: String,
    /// What was wrong.
    #[source]
    kind: InspectErrorKind,
}

/// What was wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectErrorKind {
    /// It could not be read.
    #[error("{0}")]
    Unreadable(#[source] DiskError),
    /// It is something else.
    #[error("this is no object of Afterimage")]
    Foreign,
    /// It is one of ours, but not as it was written.
    #[error("{error}; that part begins at byte {start} of the file")]
    Damaged {
        /// Where in the file the part begins.
        start: u64,
        /// What is wrong, and where in the part.
        #[source]
        error: DecodeError,
    },
}

impl InspectError {
    /// What to do about it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match &self.kind {
            InspectErrorKind::Damaged { .. } => ErrorKind::Corrupt,
            InspectErrorKind::Unreadable(error)
                if !matches!(error.kind, DiskErrorKind::NotFound | DiskErrorKind::Denied) =>
            {
                ErrorKind::Unavailable
            }
            InspectErrorKind::Unreadable(_) | InspectErrorKind::Foreign => ErrorKind::Invalid,
        }
    }
}

/// The bytes of a part that begins at `start` are not what they should be.
fn damaged(start: u64, error: DecodeError) -> InspectErrorKind {
    InspectErrorKind::Damaged { start, error }
}

fn opening(start: u64, error: OpenError<DiskError>) -> InspectErrorKind {
    match error {
        OpenError::Fetch(error) => InspectErrorKind::Unreadable(error),
        OpenError::Decode(error) => damaged(start, error),
    }
}

/// The file of an object.
#[derive(Debug)]
struct Object {
    disk: FileDisk,
}

impl Object {
    fn bytes(&self) -> u64 {
        self.disk.size()
    }

    /// The bytes of a range. One that is not all in the file fails before room is made for it.
    fn part(&self, range: Range<u64>) -> Result<Bytes, DiskError> {
        if range.end > self.bytes() {
            self.disk.read_at(range.end, &mut [0])?;
        }
        let mut bytes = vec![0; size(range.end.saturating_sub(range.start))];
        self.disk.read_at(range.start, &mut bytes)?;
        Ok(Bytes::from(bytes))
    }

    /// Whether the file holds these bytes from `at` on.
    fn has(&self, at: Option<u64>, magic: &[u8]) -> Result<bool, DiskError> {
        let end = at.and_then(|at| at.checked_add(MAGIC_BYTES));
        match at.zip(end) {
            Some((at, end)) if end <= self.bytes() => Ok(self.part(at..end)? == magic),
            _ => Ok(false),
        }
    }
}

/// Describes the object in a file, for people or as JSON; `rows` asks for every row of an index.
///
/// # Errors
///
/// The file cannot be read, is no object of ours, or is damaged.
pub(crate) fn inspect(path: &Path, json: bool, rows: bool) -> Result<String, InspectError> {
    let report = describe(path, rows).map_err(|kind| InspectError {
        place: path.display().to_string(),
        kind,
    })?;
    Ok(if json { report.json() } else { report.text() })
}

fn describe(path: &Path, rows: bool) -> Result<Report, InspectErrorKind> {
    let unreadable = InspectErrorKind::Unreadable;
    let disk = FileDisk::open(path, false).map_err(unreadable)?;
    let object = Object { disk };
    if let Some(claim) = claim(path, object.bytes()) {
        return Ok(claim);
    }
    if object.bytes() == 0 {
        return empty(path).ok_or(InspectErrorKind::Foreign);
    }
    let end = object.bytes().checked_sub(MAGIC_BYTES);
    if object.has(Some(0), CONTAINER_MAGIC).map_err(unreadable)?
        || object.has(end, CONTAINER_END_MAGIC).map_err(unreadable)?
    {
        container::describe(&object, rows)
    } else if object.has(Some(0), MANIFEST_MAGIC).map_err(unreadable)? {
        manifest::describe(&object)
    } else if object.has(Some(0), PAGE_MAGIC).map_err(unreadable)? {
        page::describe(&object)
    } else if object.has(Some(0), HOLD_MAGIC).map_err(unreadable)? {
        hold::describe(&object)
    } else if progress::is_one(&object).map_err(unreadable)? {
        progress::describe(&object)
    } else {
        Err(InspectErrorKind::Foreign)
    }
}

fn is_in(path: &Path, known: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    folder.is_some_and(|folder| folder == known)
}

/// Claims to epochs are known by their names. One of a stream has all digits of a number, and an id in it
/// that tells its writer's own from another's; one of a group only the digits of its epoch, and nothing.
fn claim(path: &Path, bytes: u64) -> Option<Report> {
    const ID_BYTES: u64 = 16;
    let name = path.file_name()?.to_str()?;
    let is_one = match bytes {
        0 => !name.starts_with(['0', '+']),
        ID_BYTES => name.len() == 20,
        _ => false,
    };
    let epoch = name
        .parse()
        .ok()
        .filter(|_| is_one && is_in(path, "epochs"))?;
    let mut report = Report::new("claim to an epoch");
    report.field("epoch", Cell::Number(epoch));
    Some(report)
}

/// Boundaries and marks have no bytes: their names are all they say.
fn empty(path: &Path) -> Option<Report> {
    let name = path.file_name()?.to_str()?;
    if name.len() == 20 && name.bytes().all(|digit| digit.is_ascii_digit()) {
        let mut report = Report::new("boundary");
        report.field("number", Cell::Number(name.parse().ok()?));
        return Some(report);
    }
    let is_id = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if name.len() == 32 && name.bytes().all(is_id) {
        let mut report = Report::new("pruning mark");
        report.field("id", Cell::text(name));
        return Some(report);
    }
    if is_in(path, "ended")
        && !name.starts_with(['0', '+'])
        && let Ok(epoch) = name.parse()
    {
        let mut report = Report::new("mark of an end");
        report.field("epoch", Cell::Number(epoch));
        return Some(report);
    }
    None
}

#[cfg(test)]
mod tests;
