//! How much a bench writes.

use afterimage_testkit::Workload;
use bytesize::ByteSize;

const BYTES_DEFAULT: u64 = 64 << 20;
/// Enough to see that a bench works, when each is only run once.
const BYTES_OF_TEST: u64 = 8 << 20;
const BYTES_MIN: u64 = 1 << 20;

/// Bytes that a recorded guest writes: `AFTERIMAGE_BENCH_BYTES`, as in `2GiB`. Where it is
/// not set 64 MiB, or 8 MiB when `--test` runs each bench once.
///
/// # Panics
///
/// Where it is no size, or one below 1 MiB.
#[must_use]
pub fn bench_bytes() -> u64 {
    let Ok(text) = std::env::var("AFTERIMAGE_BENCH_BYTES") else {
        let is_test = std::env::args().any(|argument| argument == "--test");
        return if is_test {
            BYTES_OF_TEST
        } else {
            BYTES_DEFAULT
        };
    };
    parsed(&text).unwrap_or_else(|what| panic!("AFTERIMAGE_BENCH_BYTES={text}: {what}"))
}

fn parsed(text: &str) -> Result<u64, String> {
    let bytes = text.parse::<ByteSize>()?.as_u64();
    if bytes < BYTES_MIN {
        return Err(format!("a bench writes at least {BYTES_MIN} bytes"));
    }
    Ok(bytes)
}

/// The workload's name in the names of benches.
#[must_use]
pub const fn word(workload: Workload) -> &'static str {
    match workload {
        Workload::Sequential => "sequential",
        Workload::Uniform => "uniform",
        Workload::HotSpot => "hot-spot",
        Workload::Database => "database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_tiny_ones_refused() {
        assert_eq!(parsed("2GiB"), Ok(2 << 30));
        assert_eq!(parsed("4194304"), Ok(4 << 20));
        assert!(parsed("512KiB").is_err());
        assert!(parsed("much").is_err());
    }
}
