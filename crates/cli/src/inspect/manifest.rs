//! A manifest.

use afterimage::{
    Point,
    changelog::{DecodeError, Digest, Fault},
    recovery::{Manifest, manifest::MANIFEST_BYTES_MAX},
};

use super::{
    InspectErrorKind, Object, damaged,
    report::{Cell, Report},
};
use crate::output::time;

/// Verifies the manifest's digest, then says what is in it.
pub(super) fn describe(object: &Object) -> Result<Report, InspectErrorKind> {
    if object.bytes() > MANIFEST_BYTES_MAX {
        let error = DecodeError {
            part: "manifest",
            offset: 0,
            fault: Fault::Limit("the manifest's length"),
        };
        return Err(damaged(0, error));
    }
    let bytes = object.part(0..object.bytes());
    let bytes = bytes.map_err(InspectErrorKind::Unreadable)?;
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
    report.field("object_bytes", Cell::Bytes(object.bytes()));
    report.table("disks", DISK_COLUMNS, disks(manifest));
    report.table("streams", STREAM_COLUMNS, streams(manifest));
    let points = manifest.points.iter().map(|known| point(known)).collect();
    report.table("points", POINT_COLUMNS, points);
    report.table("layers", LAYER_COLUMNS, layers(manifest));
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

const STREAM_COLUMNS: &[&str] = &["name", "segment", "sequence", "digest"];

fn streams(manifest: &Manifest) -> Vec<Vec<Cell>> {
    let streams = manifest.streams.iter();
    streams
        .map(|stream| {
            vec![
                Cell::text(&stream.name),
                Cell::Number(stream.position.segment),
                Cell::Number(stream.position.sequence.0),
                Cell::text(&stream.position.digest),
            ]
        })
        .collect()
}

const POINT_COLUMNS: &[&str] = &[
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

fn point(point: &Point) -> Vec<Cell> {
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

const LAYER_COLUMNS: &[&str] = &["point", "epoch", "id", "object_bytes", "digest"];

fn layers(manifest: &Manifest) -> Vec<Vec<Cell>> {
    let points = manifest.points.iter();
    points
        .flat_map(|point| point.layers.iter().map(move |layer| (point.id, layer)))
        .map(|(point, layer)| {
            vec![
                Cell::Number(point),
                Cell::Number(layer.epoch.0),
                Cell::text(&layer.id),
                Cell::Bytes(layer.object_bytes),
                Cell::text(&layer.digest),
            ]
        })
        .collect()
}
