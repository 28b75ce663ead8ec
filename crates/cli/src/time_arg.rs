//! Times as people write them.

/// A length of time: `10s`, `5m`, `7d`, `1h 30m`.
pub(crate) fn parse_time(text: &str) -> Result<jiff::SignedDuration, String> {
    let wrong = || format!("{text:?} is no length of time; give one such as 10s, 5m or 7d");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    match length(span) {
        Some(time) if !time.is_negative() => Ok(time),
        _ => Err(wrong()),
    }
}

/// How long a span is, where a day has 24 hours; `None` where that is not known, as of a month.
pub(crate) fn length(span: jiff::Span) -> Option<jiff::SignedDuration> {
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    span.to_duration(days).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_times_too_and_nonsense_is_said_in_our_words() {
        let seconds = |text: &str| parse_time(text).map(|time| time.as_secs());
        assert_eq!(seconds("10s"), Ok(10));
        assert_eq!(seconds("7d"), Ok(7 * 86_400));
        assert_eq!(seconds("1h 30m"), Ok(5_400));
        for wrong in ["10", "", "-5m", "soon", "1 year"] {
            let said = seconds(wrong).unwrap_err();
            assert!(said.contains("such as 10s, 5m or 7d"), "{wrong}: {said}");
        }
    }
}
