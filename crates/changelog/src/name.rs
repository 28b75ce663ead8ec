//! Names of groups, streams and disks.

use std::{fmt, str::FromStr};

use crate::limits::NAME_BYTES_MAX;

/// A name that may become part of a path: `[a-z0-9][a-z0-9-]{0,62}`.
///
/// ```
/// use afterimage_changelog::Name;
/// assert!("db-1".parse::<Name>().is_ok());
/// assert!("../etc".parse::<Name>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: one to 63 of a-z, 0-9 and '-', the first of them a letter or a digit"
)]
pub struct InvalidName(pub String);

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] where it does not fit the pattern.
    pub fn new(text: &str) -> Result<Name, InvalidName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= NAME_BYTES_MAX
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|byte| plain(byte) || byte == b'-');
        if fits {
            Ok(Name(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(80).collect()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        Name::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pattern_is_a_name() {
        for good in ["a", "0", "db-1", "a--", &"x".repeat(63)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "A",
            "a.b",
            "a/b",
            "..",
            "a b",
            "ä",
            "a\0",
            &"x".repeat(64),
        ] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
