//! The source side of Afterimage: import of recorded write logs.

pub mod log_writes;
