//! A manifest.

use afterimage::{
    Point,
    changelog::{Digest, count},
    recovery::{LayerRef, Manifest, manifest::MANIFEST_BYTES_MAX},
};

use super::{
    InspectErrorKind, Object, damaged,
    page::whole,
    report::{Cell, Report},
};
use crate::output::time;

/// Verifies the manifest's digest, then says what is in it.
pub(super) fn describe(object: &Object) -> Result<Report, InspectErrorKind> {
    let bytes = whole(object, MANIFEST_BYTES_MAX, "manifest")?;
    let stored = Manifest::decode(&bytes).map_err(|error| damaged(0, error))?;
    let manifest = stored.partial();
    let mut report = Report::new("manifest");
    report.field("group", Cell::text(&manifest.group));
    report.field("number", Cell::Number(manifest.number));
    report.field("predecessor", Cell::text(&manifest.predecessor));
    // What its successor names: the hash of the whole object.
    report.field("digest", Cell::text(&Digest::of(&bytes)));
    report.field("epoch", Cell::Number(manifest.epoch.0));
    report.field("nonce", Cell::text(&manifest.nonce));
    report.field("created", Cell::text(&time(manifest.created)));
    report.field("next_point", Cell::Number(manifest.next_point));
    report.field("keep", Cell::text(&manifest.keep));
    report.field("points_in_pages", Cell::Number(count(manifest.paged())));
    report.field("object_bytes", Cell::Bytes(object.bytes()));
    report.table("disks", DISK_COLUMNS, disks(manifest));
    report.table("streams", STREAM_COLUMNS, streams(manifest));
    report.table("pages", PAGE_COLUMNS, pages(manifest));
    report.table("indexes", INDEX_COLUMNS, indexes(manifest));
    let points = manifest.points.iter().map(|known| point(known)).collect();
    report.table("points", POINT_COLUMNS, points);
    let points = manifest.points.iter().map(AsRef::as_ref);
    report.table("layers", LAYER_COLUMNS, layers(points));
    Ok(report)
}

const DISK_COLUMNS: &[&str] = &["table", "name", "bytes", "sector_size"];

fn disks(manifest: &Manifest) -> Vec<Vec<Cell>> {
    let tables = manifest.tables.iter().zip(0u64..);
    tables
        .flat_map(|(disks, table)| disks.iter().map(move |disk| (table, disk)))
        .map(|(table, disk)| {
            vec![
                Cell::Number(table),
                Cell::text(&disk.name),
                Cell::Bytes(disk.bytes()),
                Cell::Number(disk.sector_size.bytes()),
            ]
        })
        .collect()
}

const STREAM_COLUMNS: &[&str] = &["name", "segment", "sequence", "digest", "kept"];

fn streams(manifest: &Manifest) -> Vec<Vec<Cell>> {
    let streams = manifest.streams.iter();
    streams
        .map(|stream| {
            vec![
                Cell::text(&stream.name),
                Cell::Number(stream.position.segment),
                Cell::Number(stream.position.sequence.0),
                Cell::text(&stream.position.digest),
                Cell::Number(stream.kept),
            ]
        })
        .collect()
}

const PAGE_COLUMNS: &[&str] = &["points", "epoch", "id", "object_bytes", "digest"];

fn pages(manifest: &Manifest) -> Vec<Vec<Cell>> {
    let pages = manifest.pages.iter();
    pages
        .map(|page| object_row(u64::from(page.points), &page.object))
        .collect()
}

const INDEX_COLUMNS: &[&str] = &["first", "layers", "epoch", "id", "object_bytes", "digest"];

/// A row for each object of each index; those of one index have the same first layer.
fn indexes(manifest: &Manifest) -> Vec<Vec<Cell>> {
    let indexes = manifest.indexes.iter();
    indexes
        .flat_map(|index| index.objects.iter().map(move |object| (index, object)))
        .map(|(index, object)| {
            let mut row = vec![Cell::text(&index.first)];
            row.extend(object_row(u64::from(index.layers), object));
            row
        })
        .collect()
}

fn object_row(number: u64, object: &LayerRef) -> Vec<Cell> {
    vec![
        Cell::Number(number),
        Cell::Number(object.epoch.0),
        Cell::text(&object.id),
        Cell::Bytes(object.object_bytes),
        Cell::text(&object.digest),
    ]
}

pub(super) const POINT_COLUMNS: &[&str] = &[
    "id",
    "kind",
    "name",
    "time",
    "table",
    "changed_bytes",
    "stored_bytes",
    "sequences",
    "cut",
];

pub(super) fn point(point: &Point) -> Vec<Cell> {
    let sequences = point.sequences.iter().map(|sequence| sequence.0);
    vec![
        Cell::Number(point.id),
        Cell::text(point.kind.word()),
        Cell::text(&point.name),
        Cell::text(&time(point.time)),
        Cell::Number(u64::from(point.table)),
        Cell::Bytes(point.changed_bytes),
        Cell::Bytes(point.stored_bytes()),
        Cell::Numbers(sequences.collect()),
        Cell::text(&point.cut),
    ]
}

pub(super) const LAYER_COLUMNS: &[&str] = &["point", "epoch", "id", "object_bytes", "digest"];

pub(super) fn layers<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<Vec<Cell>> {
    points
        .flat_map(|point| point.layers.iter().map(move |layer| (point.id, layer)))
        .map(|(point, layer)| object_row(point, layer))
        .collect()
}
