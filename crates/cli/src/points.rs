//! `afterimage points`.

use afterimage::{Point, Points, changelog::Disk, open_existing_store, recovery::Manifest};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::{
    args,
    failure::Failure,
    output::{Output, size, time},
};

pub(crate) fn run(arguments: &args::Points, output: &mut Output) -> Result<(), Failure> {
    let target = open_existing_store(&arguments.at.target)?;
    let points = Points::load(&target, &arguments.at.group)?;
    if output.is_json() {
        let list: Vec<Value> = points
            .list()
            .iter()
            .map(|point| value(points.manifest(), point))
            .collect();
        return output.line(&Value::Array(list).to_string());
    }
    if points.list().is_empty() {
        return output.line("no points yet");
    }
    output.line(&table(&points).to_string())
}

/// A point as the JSON contract has it.
fn value(manifest: &Manifest, point: &Point) -> Value {
    let disks = manifest.disks(point).iter();
    let position: serde_json::Map<String, Value> = manifest
        .streams
        .iter()
        .zip(&point.sequences)
        .map(|(stream, sequence)| (stream.name.to_string(), json!(sequence.0)))
        .collect();
    json!({
        "id": point.id,
        "kind": point.kind.word(),
        "name": point.name,
        "time": time(point.time),
        "position": position,
        "changed_bytes": point.changed_bytes,
        "stored_bytes": point.stored_bytes(),
        "layers": point.layers.len(),
        "disks": disks
            .map(|disk| json!({
                "name": disk.name.as_str(),
                "size": disk.bytes(),
                "sector_size": disk.sector_size.bytes(),
            }))
            .collect::<Vec<_>>(),
    })
}

/// The points for people.
pub(crate) fn table(points: &Points) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "ID", "KIND", "NAME", "TIME", "POSITION", "CHANGED", "STORED", "DISKS",
    ]);
    for point in points.list() {
        let disks = points.manifest().disks(point).iter();
        let disks: Vec<String> = disks.map(disk).collect();
        let position: Vec<String> = point
            .sequences
            .iter()
            .map(|sequence| sequence.to_string())
            .collect();
        table.add_row([
            point.id.to_string(),
            point.kind.word().to_owned(),
            point.name.clone(),
            time(point.time),
            position.join(" "),
            size(point.changed_bytes),
            size(point.stored_bytes()),
            disks.join(" "),
        ]);
    }
    for column in [0, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn disk(disk: &Disk) -> String {
    format!("{}:{}", disk.name, size(disk.bytes()))
}
