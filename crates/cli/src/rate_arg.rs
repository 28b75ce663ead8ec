//! Rates as people write them.

use std::str::FromStr;

use crate::size_arg::Size;

/// Bytes a second: `20MB/s`, or `20MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let size = text.strip_suffix("/s").unwrap_or(text);
        let unit = size.trim_start_matches(|letter: char| !letter.is_alphabetic());
        if unit.len() > 1 && unit.ends_with('b') {
            return Err(format!("{text:?}: bits? give bytes, as in 20MB/s"));
        }
        let Size(bytes) = size
            .parse()
            .map_err(|_| format!("{text:?} is no rate; give one such as 100MiB/s"))?;
        Ok(Rate(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_a_second() {
        for (text, rate) in [
            ("20MB/s", Some(Rate(20_000_000))),
            ("20MB", Some(Rate(20_000_000))),
            ("100MiB/s", Some(Rate(100 << 20))),
            ("64M", Some(Rate(64 << 20))),
            ("", None),
            ("/s", None),
            ("fast", None),
            ("20Mb/s", None),
            ("20mb", None),
            ("20b/s", Some(Rate(20))),
            ("10MiB/m", None),
        ] {
            assert_eq!(text.parse().ok(), rate, "{text}");
        }
    }
}
