//! Sizes as people write them.

use std::str::FromStr;

use bytesize::ByteSize;

/// A number of bytes: `4096`, `64MiB`, `64M` (binary, as in qemu-img and truncate), `64MB` (decimal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let help = || format!("{text:?} is no size; give one such as 4096, 64MiB or 1.5TiB");
        let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let binary = matches!(unit.trim(), "k" | "K" | "m" | "M" | "g" | "G" | "t" | "T");
        let number = text.trim_end_matches(unit);
        if number.is_empty() || number.len() > 18 {
            return Err(help());
        }
        let spelled = if binary {
            format!("{}iB", text.trim())
        } else {
            text.to_owned()
        };
        match spelled.parse::<ByteSize>() {
            // Beyond that a floating-point number would round, or the end of the numbers be met.
            Ok(size) if size.as_u64() <= 1 << 62 => Ok(Size(size.as_u64())),
            _ => Err(help()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_letter_is_binary_and_a_b_behind_it_is_decimal() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1k", 1024),
            ("64MB", 64_000_000),
            ("1.5TiB", 3 << 39),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in [
            "",
            "x400",
            "MiB",
            "-1",
            "99999999999999999999",
            "16EiB",
            "4 4",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
