//! What a person sees of a running pipeline: two lines.

use afterimage::Snapshot;

use crate::output::{rate, size};

/// The figures, and below them the stages.
pub(crate) fn lines(now: &Snapshot) -> String {
    let sums = &now.sums;
    let rpo = now.rpo.map_or_else(
        || "-".to_owned(),
        |rpo| format!("{:.1}s", rpo.as_secs_f64()),
    );
    let times = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |by| format!("{by:.1}x"));
    let churn = now.churn_bytes_per_second;
    let churn = churn.map_or_else(|| "-".to_owned(), per_second);
    let figures = format!(
        "{} points, rpo {rpo}, churn {churn}; {} taken, {} stored ({}); coalesced {}, compressed {}",
        sums.points,
        per_second(now.read_bytes_per_second),
        per_second(now.stored_bytes_per_second),
        size(sums.stored_bytes),
        times(now.coalescing_ratio),
        times(now.compression_ratio),
    );
    let stages = now.stages.iter().map(|at| {
        let waiting = match at.waiting {
            0 => String::new(),
            waiting => format!(" +{waiting}"),
        };
        let mark = if now.bottleneck == Some(at.stage) {
            "*"
        } else {
            ""
        };
        format!("{mark}{} {:.0}%{waiting}", at.stage.word(), 100.0 * at.busy)
    });
    let stages: Vec<String> = stages.collect();
    format!("{figures}\n  {}", stages.join("  "))
}

fn per_second(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure for people"
    )]
    let bytes = bytes as u64;
    rate(bytes, 1.0)
}
