//! Reading points and shares from the command line.

use afterimage::{Moment, PointSelector, Timestamp, changelog::Sequence};

/// `latest`, an id, a time, or a name; `name:TEXT` for a name that looks like one of the others.
pub(crate) fn parse(text: &str) -> Result<PointSelector, String> {
    if text.is_empty() {
        return Err("it is empty; give latest, an id, a name or a time".to_owned());
    }
    if text == "latest" {
        return Ok(PointSelector::Latest);
    }
    if let Some(name) = text.strip_prefix("name:") {
        return Ok(PointSelector::Name(name.to_owned()));
    }
    if let Ok(id) = text.parse() {
        return Ok(PointSelector::Id(id));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        let micros = u64::try_from(time.as_microsecond());
        let micros = micros.map_err(|_| "that is before 1970".to_owned())?;
        return Ok(PointSelector::At(Timestamp(micros)));
    }
    Ok(PointSelector::Name(text.to_owned()))
}

/// A write: the number of its record, or a time.
pub(crate) fn parse_moment(text: &str) -> Result<Moment, String> {
    if let Ok(record) = text.parse() {
        return Ok(Moment::Record(Sequence(record)));
    }
    match parse(text)? {
        PointSelector::At(time) => Ok(Moment::Time(time)),
        _ => Err("give the number of a record, or a time as in 2026-11-20T14:05:00Z".to_owned()),
    }
}

/// A share such as `5%`, in millionths.
pub(crate) fn parse_share(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let share: f64 = number
        .parse()
        .map_err(|_| "give a share such as 5%".to_owned())?;
    if share <= 0.0 || share > 100.0 || !share.is_finite() {
        return Err("a share is above 0% and at most 100%".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0 and 100 just above"
    )]
    let millionths = (share * 10_000.0).round() as u32;
    Ok(millionths.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_id_or_a_time_is_one() {
        assert_eq!(parse("latest"), Ok(PointSelector::Latest));
        assert_eq!(parse("17"), Ok(PointSelector::Id(17)));
        let time = PointSelector::At(Timestamp(1_700_000_000_000_000));
        assert_eq!(parse("2023-11-14T22:13:20Z"), Ok(time));
        assert_eq!(
            parse("entry-500"),
            Ok(PointSelector::Name("entry-500".to_owned()))
        );
        assert_eq!(parse("name:17"), Ok(PointSelector::Name("17".to_owned())));
        assert!(parse("").is_err());
    }

    #[test]
    fn shares_are_above_nothing_and_at_most_everything() {
        assert_eq!(parse_share("5%"), Ok(50_000));
        assert_eq!(parse_share("100"), Ok(1_000_000));
        assert_eq!(parse_share("0.00001%"), Ok(1));
        for bad in ["0%", "-1%", "101%", "x", "", "nan%"] {
            assert!(parse_share(bad).is_err(), "{bad}");
        }
    }
}
