//! Ranges that are not those that were asked for.

use super::{head::Head, message::Answer};

/// The value of a `Content-Range`: the first and the last byte, and the rest with its slash.
struct ContentRange<'a> {
    first: u64,
    last: u64,
    total: &'a str,
}

/// The head of a 200 with the same body. `None` where it is no range.
pub(super) fn ignored(answer: &Answer) -> Option<Head> {
    ContentRange::of(answer)?;
    let head = answer.head.with_first_line("HTTP/1.1 200 OK");
    Some(head.with_field("Content-Range", None))
}

/// The head of another range, and the part of the body that belongs to it: bytes to skip, and how many
/// to take. `None` where the answer is no range. `length` is that of the body, where it is known.
pub(super) fn shifted(
    answer: &Answer,
    length: Option<u64>,
    detail: u64,
) -> Option<(Head, (u64, u64))> {
    let ContentRange { first, last, total } = ContentRange::of(answer)?;
    let of = |first: u64, last: u64| {
        let value = format!("bytes {first}-{last}{total}");
        answer.head.with_field("Content-Range", Some(&value))
    };
    let fewer = length.and_then(|length| {
        // At least one byte is taken away and one is left.
        let away = 1 + (detail / 4).checked_rem(length - 1)?;
        let left = length - away;
        let (head, skip) = match detail % 4 {
            0 => (of(first, last.checked_sub(away)?), 0),
            1 => (of(first.checked_add(away)?, last), away),
            _ => return None,
        };
        let head = head.with_field("Content-Length", Some(&left.to_string()));
        Some((head, (skip, left)))
    });
    let later = (first.checked_add(1)?, last.checked_add(1)?);
    Some(fewer.unwrap_or_else(|| (of(later.0, later.1), (0, u64::MAX))))
}

impl ContentRange<'_> {
    fn of(answer: &Answer) -> Option<ContentRange<'_>> {
        let value = answer.head.fields("content-range").next();
        let value = value.filter(|_| answer.status == 206)?;
        let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some(ContentRange {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            total: value.get(value.find('/')?..)?,
        })
    }
}
