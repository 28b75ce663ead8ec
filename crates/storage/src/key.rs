//! Names of objects.
//!
//! A [`Key`] is the only way to name an object, so a name that reached a store has passed the one
//! check there is: no `..`, no empty part, nothing absolute, nothing a file system reads otherwise.

use std::{error, fmt, sync::Arc};

/// Parts a key has at most.
const PARTS_MAX: usize = 16;
/// Bytes a part has at most.
const PART_BYTES_MAX: usize = 128;

/// The name of an object: one to sixteen parts with `/` between them.
///
/// Each part matches `[a-z0-9][a-z0-9._-]{0,127}`. Keys order as their text does, byte by byte.
/// Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Text that is not a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    text: String,
    rule: &'static str,
}

impl Key {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] with the first rule that does not hold.
    pub fn new(text: &str) -> Result<Key, InvalidKey> {
        let invalid = |rule| InvalidKey {
            text: shortened(text),
            rule,
        };
        let mut parts = 0usize;
        for part in text.split('/') {
            parts += 1;
            if parts > PARTS_MAX {
                return Err(invalid("it has at most 16 parts"));
            }
            check_part(part).map_err(invalid)?;
        }
        Ok(Key(Arc::from(text)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key with one more part at its end, or several where `part` holds a `/`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] where the result is not a key.
    pub fn join(&self, part: &str) -> Result<Key, InvalidKey> {
        Key::new(&format!("{}/{part}", self.0))
    }

    /// The parts, first to last; there is at least one.
    #[must_use]
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether the key is below `prefix/`. A key is not under itself, and `a/bc` is not under `a/b`.
    #[must_use]
    pub fn is_under(&self, prefix: &Key) -> bool {
        self.0
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

fn check_part(part: &str) -> Result<(), &'static str> {
    let Some(first) = part.bytes().next() else {
        return Err("no part of it is empty");
    };
    if part.len() > PART_BYTES_MAX {
        return Err("a part of it is at most 128 bytes");
    }
    if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
        return Err("each part starts with a lower-case letter or a digit");
    }
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    if !part.bytes().all(allowed) {
        return Err("it is made of lower-case letters, digits, '.', '_', '-' and '/'");
    }
    Ok(())
}

/// Hostile text goes into an error message only in part.
fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a key: {}", self.text, self.rule)
    }
}

impl error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_of_the_layout_are_accepted() {
        for text in [
            "0",
            "prod/manifest/000000000001",
            "prod/stream-1/7/1-99.seg",
            "a/b/c/d/e/f/g/h",
            "a.b/c_d/e-f",
            "a..b",
        ] {
            assert_eq!(Key::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn text_that_could_leave_the_root_or_hide_is_refused() {
        let long = "a".repeat(129);
        for text in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "a/.",
            ".hidden",
            "-flag",
            "_x",
            "A",
            "a b",
            "a\\b",
            "a\0",
            "é",
            "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
            long.as_str(),
        ] {
            assert!(Key::new(text).is_err(), "{text:?} was accepted");
        }
        assert!(Key::new(&long[1..]).is_ok());
    }

    #[test]
    fn a_refusal_names_the_text_and_the_rule() {
        assert_eq!(
            Key::new("a/../b").unwrap_err().to_string(),
            "\"a/../b\" is not a key: each part starts with a lower-case letter or a digit"
        );
    }

    #[test]
    fn a_neighbour_with_a_longer_name_is_not_under_a_prefix() {
        let key = |text| Key::new(text).unwrap();
        assert!(key("a/b/c").is_under(&key("a/b")));
        assert!(key("a/b/c").is_under(&key("a")));
        assert!(!key("a/bc").is_under(&key("a/b")));
        assert!(!key("a/b").is_under(&key("a/b")));
        assert!(!key("a").is_under(&key("a/b")));
    }

    proptest! {
        /// Whatever is accepted stays inside a folder it is joined to.
        #[test]
        fn accepted_keys_have_only_normal_path_parts(text in "[a-z0-9./_-]{0,20}") {
            if let Ok(key) = Key::new(&text) {
                let path = std::path::Path::new(key.as_str());
                let normal = path
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(normal);
                prop_assert_eq!(path.components().count(), key.parts().count());
            }
        }
    }
}
