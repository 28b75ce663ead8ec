//! The source side of Afterimage: recorded write logs into the change-log cache.

pub mod import;
pub mod log_writes;

pub use import::{Import, ImportError, Imported};
