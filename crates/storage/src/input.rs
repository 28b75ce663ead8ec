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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a file")]
    fn a_file_is_read_from_front_to_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input");
        std::fs::write(&path, b"content").unwrap();
        let mut found = String::new();
        open_input(&path)
            .unwrap()
            .read_to_string(&mut found)
            .unwrap();
        assert_eq!(found, "content");
        assert!(open_input(&dir.path().join("missing")).is_err());
    }
}
