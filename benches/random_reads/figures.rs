//! The times of single reads, and the line they become.

use std::time::Duration;

/// Times of both sides.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) ours: Vec<Duration>,
    pub(crate) limit: Vec<Duration>,
}

impl Figures {
    /// The medians in microseconds and their ratio, then the 99th percentiles.
    pub(crate) fn line(mut self, what: &str) -> String {
        let [ours, ours_slow] = percentiles(&mut self.ours);
        let [limit, limit_slow] = percentiles(&mut self.limit);
        format!(
            "ratio {what}: {ours:.2} / {limit:.2} us = {:.2}; of a hundred the slowest {ours_slow:.1} / \
             {limit_slow:.1} us",
            ours / limit
        )
    }
}

/// The median and the 99th percentile.
fn percentiles(times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get(times.len() * percent / 100);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    [at(50), at(99)]
}
