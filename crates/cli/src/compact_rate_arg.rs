//! How fast compaction may go, as people write it.

use std::{num::NonZeroU64, str::FromStr};

use crate::rate_arg::Rate;

/// `unlimited`, `off`, or bytes a second as in `100MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompactRate {
    /// Nothing is compacted.
    Off,
    /// As fast as it goes.
    Unlimited,
    /// So many bytes a second.
    Bytes(NonZeroU64),
}

impl FromStr for CompactRate {
    type Err = String;

    fn from_str(text: &str) -> Result<CompactRate, String> {
        match text {
            "off" => return Ok(CompactRate::Off),
            "unlimited" => return Ok(CompactRate::Unlimited),
            _ => {}
        }
        let help = || format!("{text:?} is no rate; give off, unlimited, or one such as 100MiB/s");
        let Rate(bytes) = text.parse().map_err(|_| help())?;
        Ok(NonZeroU64::new(bytes).map_or(CompactRate::Off, CompactRate::Bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_a_second_and_none_is_off() {
        let bytes = |bytes| NonZeroU64::new(bytes).map(CompactRate::Bytes);
        for (text, rate) in [
            ("off", Some(CompactRate::Off)),
            ("0", Some(CompactRate::Off)),
            ("0MiB/s", Some(CompactRate::Off)),
            ("unlimited", Some(CompactRate::Unlimited)),
            ("100MiB/s", bytes(100 << 20)),
            ("64M", bytes(64 << 20)),
            ("1GB/s", bytes(1_000_000_000)),
        ] {
            assert_eq!(text.parse().ok(), rate, "{text}");
        }
        for bad in ["", "/s", "fast", "10MiB/m", "-1"] {
            assert!(bad.parse::<CompactRate>().is_err(), "{bad}");
        }
    }
}
