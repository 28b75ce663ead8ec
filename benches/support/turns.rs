//! Ours and the physical limit, measured in turns.

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, SamplingMode, measurement::WallTime};

/// Collects the pairs of times of each bench, to print their ratios at the end.
///
/// A disk of a shared machine changes its speed from minute to minute. Two figures can be divided
/// only where they were taken one right after the other, so each repetition of a bench takes both.
#[derive(Debug)]
pub struct Turns {
    group: &'static str,
    of_bench: Vec<(String, Vec<Pair>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    ours: Duration,
    limit: Duration,
}

impl Turns {
    /// For the benches of a group.
    #[must_use]
    pub const fn new(group: &'static str) -> Turns {
        Turns {
            group,
            of_bench: Vec::new(),
        }
    }

    /// Measures `ours` under criterion, and after each repetition of it `limit`. Both say how long
    /// they took; before each the system has written out all it had to write.
    pub fn bench(
        &mut self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        mut ours: impl FnMut() -> Duration,
        mut limit: impl FnMut() -> Duration,
    ) {
        let mut pairs = Vec::new();
        group
            .sample_size(10)
            .sampling_mode(SamplingMode::Flat)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|repetitions| {
                let repeat = |_| {
                    rustix::fs::sync();
                    let ours = ours();
                    rustix::fs::sync();
                    let limit = limit();
                    pairs.push(Pair { ours, limit });
                    ours
                };
                (0..repetitions).map(repeat).sum()
            });
        });
        self.of_bench.push((name.to_owned(), pairs));
    }

    /// Prints the ratio of each bench that ran.
    #[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
    pub fn print(&self) {
        for (name, pairs) in &self.of_bench {
            if let Some(line) = line(&format!("{}/{name}", self.group), pairs) {
                println!("{line}");
            }
        }
    }
}

/// How long `work` takes, and what it gives.
#[expect(
    clippy::disallowed_methods,
    reason = "measuring time is what this is for"
)]
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// `None` where a filter left the bench out.
fn line(name: &str, pairs: &[Pair]) -> Option<String> {
    let ours = median(pairs.iter().map(|pair| pair.ours))?;
    let limit = median(pairs.iter().map(|pair| pair.limit))?;
    Some(format!(
        "ratio {name}: {ours:.4} / {limit:.4} = {:.2}",
        ours / limit
    ))
}

/// The median in seconds; `None` where there are no times.
pub fn median(times: impl Iterator<Item = Duration>) -> Option<f64> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times.get(times.len() / 2).map(Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ours: u64, limit: u64) -> Pair {
        Pair {
            ours: Duration::from_millis(ours),
            limit: Duration::from_millis(limit),
        }
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        let pairs = [pair(30, 20), pair(9000, 4000), pair(20, 10)];
        let line = line("a/b", &pairs).unwrap();
        assert_eq!(line, "ratio a/b: 0.0300 / 0.0200 = 1.50");
    }

    #[test]
    fn a_bench_that_did_not_run_has_no_ratio() {
        assert_eq!(line("a/b", &[]), None);
    }
}
