//! Stub while it is being written.
use std::path::Path;
#[derive(Debug, thiserror::Error)]
#[error("not yet")]
pub(crate) struct InspectError;
impl InspectError {
    pub(crate) fn kind(&self) -> afterimage::ErrorKind {
        afterimage::ErrorKind::Invalid
    }
}
pub(crate) fn inspect(_: &Path, _: bool, _: bool) -> Result<String, InspectError> {
    Err(InspectError)
}
