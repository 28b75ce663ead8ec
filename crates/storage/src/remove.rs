//! Removing a file for good.

use std::path::Path;

use crate::{
    draft_file::{parent_of, sync_dir},
    error::{DiskError, DiskErrorKind, DiskOperation},
};

/// Removes a file, durably.
///
/// # Errors
///
/// It is not there, or cannot be removed.
#[expect(clippy::disallowed_methods, reason = "storage is the crate of files")]
pub fn remove_file(path: &Path) -> Result<(), DiskError> {
    let removed = std::fs::remove_file(path).and_then(|()| sync_dir(parent_of(path)));
    removed.map_err(|error| {
        let name = path.display().to_string();
        DiskError::new(DiskOperation::Create, name, DiskErrorKind::Io).with_source(error)
    })
}
