//! Lists of layers that may want to be compacted: those of points that came or changed, and those
//! that were there when the worker began. Opens nothing.

use std::{collections::BTreeSet, sync::Arc};

use afterimage_recovery::{
    LayerRef, Manifest, Point,
    compact::{CompactionSettings, Shape, is_worth_a_survey},
};

/// Lists that are surveyed before the next change is committed, at most.
const LISTS_MAX: usize = 64;
/// Bytes of their layers; a list that has more goes alone.
const BYTES_MAX: u64 = 256 << 20;

/// The layers of one point, to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// The point that had them.
    pub(super) point: u64,
    /// Oldest first.
    pub(super) layers: Vec<LayerRef>,
    /// What they would become.
    pub(super) shape: Shape,
}

/// Points whose lists may want to be compacted.
#[derive(Debug)]
pub(super) struct Lists {
    settings: CompactionSettings,
    /// Those that came or changed since the worker began, and the oldest point's.
    fresh: BTreeSet<u64>,
    /// Those from before, which the worker before this one has probably dealt with: they are for when
    /// nothing else is to be done.
    old: BTreeSet<u64>,
}

impl Lists {
    /// All that are worth it.
    pub(super) fn of(manifest: &Manifest, settings: CompactionSettings) -> Lists {
        let points = manifest.points.iter();
        let wanted = points.filter(|point| is_worth_a_survey(&point.layers, &settings));
        let mut lists = Lists {
            settings,
            fresh: BTreeSet::new(),
            old: wanted.map(|point| point.id).collect(),
        };
        lists.note_point(manifest.points.first());
        lists
    }

    /// Notes what commits changed. Points are shared between manifests, so it is enough to compare
    /// where they are.
    pub(super) fn note(&mut self, before: &Manifest, after: &Manifest) {
        let mut old = before.points.iter().peekable();
        for point in &after.points {
            while old.next_if(|known| known.id < point.id).is_some() {}
            let known = old.next_if(|known| known.id == point.id);
            if known.is_none_or(|known| !Arc::ptr_eq(known, point)) {
                self.note_point(Some(point));
            }
        }
        let oldest = |manifest: &Manifest| manifest.points.first().map(|point| point.id);
        if oldest(before) != oldest(after) {
            // Its layers become a base now, also where they are the same.
            self.note_point(after.points.first());
        }
    }

    fn note_point(&mut self, point: Option<&Arc<Point>>) {
        if let Some(point) = point
            && is_worth_a_survey(&point.layers, &self.settings)
        {
            self.fresh.insert(point.id);
        }
    }

    /// Takes the next few out, as a manifest has them: oldest points first, as theirs are merged
    /// into the others.
    pub(super) fn take(&mut self, manifest: &Manifest) -> Vec<List> {
        let mut taken: Vec<List> = Vec::new();
        let mut bytes: u64 = 0;
        while taken.len() < LISTS_MAX {
            let Some(id) = self.fresh.first().or(self.old.first()).copied() else {
                break;
            };
            let place = manifest.points.binary_search_by_key(&id, |point| point.id);
            let point = place.ok().and_then(|place| manifest.points.get(place));
            // It may have gone since, with its layers in the list of the next one.
            if let Some(point) =
                point.filter(|point| is_worth_a_survey(&point.layers, &self.settings))
            {
                bytes = bytes.saturating_add(point.stored_bytes());
                if bytes > BYTES_MAX && !taken.is_empty() {
                    break;
                }
                taken.push(List {
                    point: id,
                    layers: point.layers.clone(),
                    shape: if place == Ok(0) {
                        Shape::Base
                    } else {
                        Shape::Merge
                    },
                });
            }
            self.fresh.remove(&id);
            self.old.remove(&id);
        }
        taken
    }

    /// Puts some back that were taken and not looked at.
    pub(super) fn put_back(&mut self, points: impl IntoIterator<Item = u64>) {
        self.fresh.extend(points);
    }
}

#[cfg(test)]
mod tests {
    use afterimage_changelog::{Digest, Epoch, MarkerKind, ObjectId, Timestamp};

    use super::*;

    const KIB: u64 = 1 << 10;

    /// A point with layers of so many KiB.
    fn point(id: u64, layers: impl IntoIterator<Item = u64>) -> Arc<Point> {
        let layers = layers
            .into_iter()
            .zip(0u64..)
            .map(|(kib, number)| LayerRef {
                epoch: Epoch(1),
                id: ObjectId((u128::from(id) << 64 | u128::from(number)).to_le_bytes()),
                object_bytes: kib * KIB,
                digest: Digest::NONE,
            });
        Arc::new(Point {
            id,
            kind: MarkerKind::Crash,
            name: String::new(),
            time: Timestamp(id),
            cut: ObjectId([0; 16]),
            table: 0,
            changed_bytes: 0,
            sequences: Vec::new(),
            layers: layers.collect(),
        })
    }

    fn manifest(points: Vec<Arc<Point>>) -> Manifest {
        Manifest {
            number: 0,
            epoch: Epoch(1),
            nonce: ObjectId([0; 16]),
            predecessor: Digest::NONE,
            created: Timestamp(0),
            next_point: 1,
            group: "shop".parse().unwrap(),
            keep: String::new(),
            tables: Vec::new(),
            streams: Vec::new(),
            pages: Vec::new(),
            indexes: Vec::new(),
            points,
        }
    }

    fn of(manifest: &Manifest) -> Lists {
        Lists::of(manifest, CompactionSettings::default())
    }

    /// The points of the next lists, and how many of those become a base.
    fn taken(lists: &mut Lists, manifest: &Manifest) -> (Vec<u64>, usize) {
        let taken = lists.take(manifest);
        let bases = taken.iter().filter(|list| list.shape == Shape::Base);
        let bases = bases.count();
        (taken.iter().map(|list| list.point).collect(), bases)
    }

    /// Each of ten thousand layers was opened when a worker began, before anything else was done.
    #[test]
    fn small_lists_are_not_looked_at_and_others_a_few_at_a_time() {
        let points = 1..=10_000;
        let size = |id: u64| if id.is_multiple_of(100) { 200 } else { 100 };
        let manifest = manifest(points.map(|id| point(id, [size(id)])).collect());
        let mut lists = of(&manifest);
        let (first, bases) = taken(&mut lists, &manifest);
        assert_eq!(first, (1..=64).map(|id| 100 * id).collect::<Vec<_>>());
        assert_eq!(bases, 0, "the oldest is small");
        assert_eq!(taken(&mut lists, &manifest).0.len(), 36);
        assert!(taken(&mut lists, &manifest).0.is_empty());
    }

    #[test]
    fn what_comes_or_changes_goes_before_what_was_there_and_large_lists_go_alone() {
        let large = 200 << 10;
        let before = manifest((1..=5).map(|id| point(id, [large])).collect());
        let mut lists = of(&before);
        assert_eq!(taken(&mut lists, &before), (vec![1], 1), "the base");
        // Point 4 goes, with its layer in the list of 5; point 6 comes.
        let mut points = before.points[..3].to_vec();
        points.extend([point(5, [large, large]), point(6, [300]), point(7, [1])]);
        let after = manifest(points);
        lists.note(&before, &after);
        assert_eq!(taken(&mut lists, &after), (vec![5], 0));
        assert_eq!(taken(&mut lists, &after), (vec![6, 2], 0));
        lists.put_back([6]);
        assert_eq!(taken(&mut lists, &after), (vec![6, 3], 0));
        assert!(taken(&mut lists, &after).0.is_empty());
    }

    /// A list that did not change becomes a base when it becomes the oldest.
    #[test]
    fn the_oldest_list_is_looked_at_again_when_there_was_an_older_one() {
        let before = manifest(vec![point(1, []), point(2, [500]), point(3, [500])]);
        let mut lists = of(&before);
        assert_eq!(taken(&mut lists, &before), (vec![2, 3], 0));
        let after = manifest(before.points[1..].to_vec());
        lists.note(&before, &after);
        assert_eq!(taken(&mut lists, &after), (vec![2], 1));
    }

    #[test]
    fn many_small_layers_are_worth_a_look() {
        let before = manifest(vec![point(1, vec![1; 17]), point(2, vec![1; 16])]);
        let mut lists = of(&before);
        assert_eq!(taken(&mut lists, &before), (vec![1], 1));
        assert!(taken(&mut lists, &before).0.is_empty());
    }
}
