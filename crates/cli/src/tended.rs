//! What upkeep did, as people and programs are told.

use afterimage::Tended;
use serde_json::{Map, Value, json};

/// The fields that `prune` and the event `upkeep` have.
pub(crate) fn fields(tended: &Tended) -> Map<String, Value> {
    let counts = [
        ("pruned_points", tended.pruned),
        ("compacted_layers", tended.compacted),
        ("compacted_bytes", tended.compacted_bytes),
        ("indexes", tended.indexed),
        ("deleted_objects", tended.collected.objects),
        ("deleted_manifests", tended.collected.manifests),
        ("held_objects", tended.collected.held),
    ];
    let counts = counts.into_iter();
    counts
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect()
}

/// A line.
pub(crate) fn line(tended: &Tended) -> String {
    format!(
        "{} points pruned, {} layers compacted, {} objects and {} manifests deleted{}",
        tended.pruned,
        tended.compacted,
        tended.collected.objects,
        tended.collected.manifests,
        match tended.collected.held {
            0 => String::new(),
            held => format!("; {held} objects stay while somebody reads them"),
        }
    )
}
