//! A hold.

use afterimage::recovery::hold::{HOLD_BYTES_MAX, Hold, HoldKind};

use super::{
    InspectErrorKind, Object, damaged,
    page::whole,
    report::{Cell, Report},
};
use crate::output::time;

/// Verifies the hold's digest, then says what it holds.
pub(super) fn describe(object: &Object) -> Result<Report, InspectErrorKind> {
    let bytes = whole(object, HOLD_BYTES_MAX, "hold")?;
    let hold = Hold::decode(&bytes).map_err(|error| damaged(0, error))?;
    let number = |number: Option<u64>| number.map_or(Cell::None, Cell::Number);
    let kind = match hold.kind {
        HoldKind::Pin => "pin",
        HoldKind::Use => "use",
    };
    let mut report = Report::new("hold");
    report.field("group", Cell::text(&hold.group));
    report.field("id", Cell::text(&hold.id));
    report.field("kind", Cell::text(kind));
    report.field("manifest", number(hold.manifest));
    report.field("point", number(hold.point));
    report.field("until", Cell::text(&time(hold.until)));
    report.field("text", Cell::text(&hold.text));
    Ok(report)
}
