//! Plain input: a file or standard input, read once from front to back.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Opens a file for reading; the path `-` is standard input.
///
/// # Errors
///
/// Whatever the system reports.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place where plain input is opened"
)]
pub fn open_input(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}
