//! `afterimage pin` and `afterimage unpin`.

use afterimage::{Points, Timestamp, holds, open_existing_store, pin, unpin};
use serde_json::{Value, json};

use crate::{
    args,
    failure::Failure,
    output::{Output, time},
    time_arg::length,
};

/// A time, or a duration from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    At(Timestamp),
    For(jiff::SignedDuration),
}

pub(crate) fn parse_until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        let micros = u64::try_from(at.as_microsecond());
        return micros
            .map(|micros| Until::At(Timestamp(micros)))
            .map_err(|_| "that is before 1970".to_owned());
    }
    let span: jiff::Span = text.parse().map_err(|_| {
        format!(
            "{text:?} is neither a time such as 2026-12-01T00:00:00Z nor a duration such as 30d"
        )
    })?;
    match length(span) {
        Some(time) if time.is_positive() => Ok(Until::For(time)),
        _ => Err("give a duration above zero, in weeks, days, hours or less".to_owned()),
    }
}

impl Until {
    fn time(self) -> Result<Timestamp, Failure> {
        let far = || Failure::invalid("that is too far away");
        match self {
            Until::At(time) => Ok(time),
            Until::For(span) => {
                let at = jiff::Timestamp::now()
                    .checked_add(span)
                    .map_err(|_| far())?;
                u64::try_from(at.as_microsecond())
                    .map(Timestamp)
                    .map_err(|_| far())
            }
        }
    }
}

pub(crate) fn run(arguments: &args::Pin, output: &mut Output) -> Result<(), Failure> {
    let target = open_existing_store(&arguments.at.target)?;
    let until = arguments.until.time()?;
    let pinned = pin(
        &target,
        &arguments.at.group,
        &arguments.point,
        until,
        &arguments.reason,
    )?;
    let point = pinned.point.unwrap_or_default();
    output.value(&json!({
        "point": point,
        "pin": pinned.id,
        "until": time(until),
        "reason": arguments.reason,
    }))?;
    output.note(&format!("point {point} is pinned until {}", time(until)))
}

pub(crate) fn remove(arguments: &args::Unpin, output: &mut Output) -> Result<(), Failure> {
    let target = open_existing_store(&arguments.at.target)?;
    let group = &arguments.at.group;
    let point = Points::load(&target, group)?.find(&arguments.point)?.id;
    let pins = unpin(&target, group, point)?;
    output.value(&json!({"point": point, "removed_pins": pins}))?;
    match pins {
        0 => output.note(&format!("point {point} was not pinned")),
        pins => output.note(&format!("{pins} pins of point {point} are gone")),
    }
}

/// `afterimage holds`.
pub(crate) fn list(arguments: &args::Holds, output: &mut Output) -> Result<(), Failure> {
    let target = open_existing_store(&arguments.at.target)?;
    let holds = holds(&target, &arguments.at.group)?;
    if output.is_json() {
        let list: Vec<Value> = holds
            .iter()
            .map(|hold| {
                json!({
                    "id": hold.id,
                    "kind": if hold.is_pin { "pin" } else { "use" },
                    "point": hold.point,
                    "until": time(hold.until),
                    "text": hold.text,
                })
            })
            .collect();
        return output.line(&Value::Array(list).to_string());
    }
    if holds.is_empty() {
        return output.line("no point is held");
    }
    for hold in holds {
        let point = hold.point.map_or("-".to_owned(), |point| point.to_string());
        output.line(&format!(
            "point {point}  {}  until {}  {}",
            if hold.is_pin { "pinned" } else { "in use" },
            time(hold.until),
            hold.text
        ))?;
    }
    Ok(())
}
