//! A page of points.

use afterimage::{
    changelog::{DecodeError, Digest, Fault},
    recovery::page::{PAGE_BYTES_MAX, Page},
};

use super::{
    InspectErrorKind, Object, damaged,
    manifest::{LAYER_COLUMNS, POINT_COLUMNS, layers, point},
    report::{Cell, Report},
};

/// Verifies the page's digest, then says what is in it.
pub(super) fn describe(object: &Object) -> Result<Report, InspectErrorKind> {
    let bytes = whole(object, PAGE_BYTES_MAX, "page of points")?;
    let page = Page::decode(&bytes).map_err(|error| damaged(0, error))?;
    let mut report = Report::new("page of points");
    report.field("group", Cell::text(&page.group));
    report.field("epoch", Cell::Number(page.epoch.0));
    report.field("id", Cell::text(&page.id));
    report.field("digest", Cell::text(&Digest::of(&bytes)));
    report.field("object_bytes", Cell::Bytes(object.bytes()));
    report.table(
        "points",
        POINT_COLUMNS,
        page.points.iter().map(point).collect(),
    );
    report.table("layers", LAYER_COLUMNS, layers(page.points.iter()));
    Ok(report)
}

/// All bytes of an object that is no larger than its kind may be.
pub(super) fn whole(
    object: &Object,
    bytes_max: u64,
    part: &'static str,
) -> Result<bytes::Bytes, InspectErrorKind> {
    if object.bytes() > bytes_max {
        let fault = Fault::Limit("the object's length");
        let offset = 0;
        return Err(damaged(
            0,
            DecodeError {
                part,
                offset,
                fault,
            },
        ));
    }
    let bytes = object.part(0..object.bytes());
    bytes.map_err(InspectErrorKind::Unreadable)
}
