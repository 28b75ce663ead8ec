//! What a commit changes, and the manifest that comes of it. Pure: the committer stores it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use afterimage_changelog::{Digest, Disk, MarkerKind, Name, ObjectId, Position, Timestamp, size};

use crate::manifest::{IndexRef, LayerRef, Manifest, PageRef, Point, StreamPosition};

/// Points that a manifest holds itself; beyond that the oldest of them go into pages.
const RECENT_MAX: usize = 256;
/// Points that stay in the manifest when others go.
const RECENT_MIN: usize = 128;
/// Points of a page.
const PAGE_MAX: usize = 512;

/// A point to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What it promises.
    pub kind: MarkerKind,
    /// The marker's text.
    pub name: String,
    /// The time at the source.
    pub time: Timestamp,
    /// The marker's cut.
    pub cut: ObjectId,
    /// The disks of the group at that instant.
    pub disks: Vec<Disk>,
    /// Bytes of the disks that may differ from the point before.
    pub changed_bytes: u64,
    /// What changed, oldest first; all of it durable.
    pub layers: Vec<LayerRef>,
    /// How far each stream of the group has been read.
    pub streams: Vec<(Name, Position)>,
}

/// Layers that take the place of others, and read the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Ids of the layers that go: neighbours in the list of one point.
    pub layers: Vec<ObjectId>,
    /// What comes in their place, oldest first; all of it durable.
    pub with: Vec<LayerRef>,
}

/// Everything that one commit changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Layers that take the place of others.
    pub replace: Vec<Replacement>,
    /// Points that go; what they hold stays for the next one that does not.
    pub drop: BTreeSet<u64>,
    /// New points, oldest first.
    pub points: Vec<Proposal>,
    /// New merged indexes.
    pub indexes: Vec<IndexRef>,
    /// The first segment of a stream that is kept at the target. What is not kept any more is never
    /// kept anew: it may be gone.
    pub kept_from: Vec<(Name, u64)>,
    /// Which points are to stay from now on.
    pub keep: Option<String>,
}

/// Makes the successor of a manifest: everything but number, nonce, time and the pages.
///
/// # Errors
///
/// What was decided on an older manifest does not fit this one any more; says what.
pub(crate) fn successor(
    head: &Manifest,
    digest: Digest,
    change: Change,
) -> Result<Manifest, String> {
    let mut next = head.clone();
    next.number += 1;
    next.predecessor = digest;
    let Change {
        replace,
        drop,
        points,
        indexes,
        kept_from,
        keep,
    } = change;
    let shifted = !replace.is_empty() || !drop.is_empty();
    for replacement in replace {
        replace_layers(&mut next, &replacement)?;
    }
    if !drop.is_empty() {
        drop_points(&mut next, &drop)?;
    }
    for proposal in points {
        add_point(&mut next, proposal);
    }
    for (name, first) in kept_from {
        let known = next.streams.iter_mut().find(|known| known.name == name);
        let known = known.ok_or_else(|| format!("there is no stream {name}"))?;
        let before = head.streams.iter().find(|known| known.name == name);
        let first = first.max(before.map_or(0, first_to_keep));
        known.kept = (known.position.segment + 1).saturating_sub(first);
    }
    if let Some(keep) = keep {
        next.keep = keep;
    }
    let fresh = !indexes.is_empty();
    next.indexes.extend(indexes);
    if shifted || fresh {
        let known = layers_of(&head.layers().copied().collect::<Vec<_>>());
        retain_indexes(&mut next, head, &known);
    }
    Ok(next)
}

/// The first segment of a stream that a later manifest may keep: of those before it none is there,
/// or it may be deleted at any time. The segment that the points end in is still in the cache.
fn first_to_keep(stream: &StreamPosition) -> u64 {
    match stream.kept {
        0 => stream.position.segment,
        _ => stream.kept_from(),
    }
}

fn layers_of(layers: &[LayerRef]) -> HashMap<ObjectId, usize> {
    let numbered = layers.iter().enumerate();
    numbered.map(|(place, layer)| (layer.id, place)).collect()
}

/// Leaves the indexes whose layers are all there still, in the order they were merged in. The order
/// of layers that stay never changes, so it is enough that none went and none came between.
fn retain_indexes(next: &mut Manifest, head: &Manifest, before: &HashMap<ObjectId, usize>) {
    let old: Vec<LayerRef> = head.layers().copied().collect();
    let new: Vec<LayerRef> = next.layers().copied().collect();
    let after = layers_of(&new);
    next.indexes.retain(|index| {
        let layers = size(u64::from(index.layers));
        let of = |all: &[LayerRef], first: Option<&usize>| {
            let first = *first?;
            let part = all.get(first..first.checked_add(layers)?)?;
            Some(part.iter().map(|layer| layer.id).collect::<Vec<_>>())
        };
        let now = of(&new, after.get(&index.first));
        now.is_some() && now == of(&old, before.get(&index.first))
    });
}

fn replace_layers(next: &mut Manifest, replacement: &Replacement) -> Result<(), String> {
    let Replacement { layers, with } = replacement;
    let first = layers.first().ok_or("no layer is to be replaced")?;
    let holds = |point: &Arc<Point>| point.layers.iter().position(|layer| layer.id == *first);
    let mut found = next.points.iter_mut();
    let found = found.find_map(|point| holds(point).map(|place| (point, place)));
    let (point, place) = found.ok_or_else(|| format!("layer {first} is gone"))?;
    let end = place + layers.len();
    let there = point.layers.get(place..end);
    let same = there.is_some_and(|there| there.iter().map(|layer| layer.id).eq(layers.clone()));
    if !same {
        return Err(format!("the layers from {first} on are not what they were"));
    }
    let mut changed = Point::clone(point);
    changed.layers.splice(place..end, with.iter().copied());
    *point = Arc::new(changed);
    Ok(())
}

fn drop_points(next: &mut Manifest, drop: &BTreeSet<u64>) -> Result<(), String> {
    let newest = next.points.last().map(|point| point.id);
    if newest.is_some_and(|newest| drop.contains(&newest)) {
        return Err("the newest point never goes".to_owned());
    }
    let mut stay = Vec::with_capacity(next.points.len());
    // What the points that went hold, for the next one.
    let mut layers: Vec<LayerRef> = Vec::new();
    let mut changed_bytes: u64 = 0;
    for point in std::mem::take(&mut next.points) {
        if drop.contains(&point.id) {
            layers.extend_from_slice(&point.layers);
            changed_bytes = changed_bytes.saturating_add(point.changed_bytes);
        } else if layers.is_empty() && changed_bytes == 0 {
            stay.push(point);
        } else {
            let mut heir = Point::clone(&point);
            layers.append(&mut heir.layers);
            heir.layers = std::mem::take(&mut layers);
            heir.changed_bytes = heir
                .changed_bytes
                .saturating_add(std::mem::take(&mut changed_bytes));
            stay.push(Arc::new(heir));
        }
    }
    next.points = stay;
    Ok(())
}

fn add_point(next: &mut Manifest, proposal: Proposal) {
    let Proposal {
        kind,
        name,
        time,
        cut,
        disks,
        changed_bytes,
        layers,
        streams,
    } = proposal;
    for (name, position) in streams {
        match next.streams.iter_mut().find(|known| known.name == name) {
            Some(known) => {
                assert!(
                    known.position.sequence <= position.sequence,
                    "a stream only goes forward"
                );
                if known.position.segment != position.segment {
                    // Whoever keeps segments says of the new one that it is kept.
                    known.kept = 0;
                }
                known.position = position;
            }
            None => next.streams.push(StreamPosition {
                name,
                position,
                kept: 0,
            }),
        }
    }
    let table = next.tables.iter().position(|known| *known == disks);
    let table = table.unwrap_or_else(|| {
        next.tables.push(disks);
        next.tables.len() - 1
    });
    let sequences = next.streams.iter().map(|stream| stream.position.sequence);
    let point = Point {
        id: next.next_point,
        kind,
        name,
        time,
        cut,
        table: u16::try_from(table).expect("disks change seldom"),
        changed_bytes,
        sequences: sequences.collect(),
        layers,
    };
    next.points.push(Arc::new(point));
    next.next_point += 1;
}

/// A stretch of the points that are to be in pages.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: usize,
    end: usize,
    /// The page that holds just these points already.
    page: Option<PageRef>,
}

/// Which points go into pages. A page that holds what it held is used again; `write` stores a new
/// one.
pub(crate) fn repage<E>(
    head: &Manifest,
    next: &mut Manifest,
    mut write: impl FnMut(&[Arc<Point>]) -> Result<PageRef, E>,
) -> Result<(), E> {
    let mut pages: Vec<PageRef> = Vec::new();
    for stretch in stretches(head, next) {
        if let Some(page) = stretch.page {
            pages.push(page);
            continue;
        }
        let points = next.points.get(stretch.first..stretch.end);
        for part in points.unwrap_or_default().chunks(PAGE_MAX) {
            pages.push(write(part)?);
        }
    }
    next.pages = pages;
    Ok(())
}

fn stretches(head: &Manifest, next: &Manifest) -> Vec<Stretch> {
    let mut found = unchanged_pages(head, next);
    let paged = found.last().map_or(0, |last| last.end);
    let recent = next.points.len() - paged;
    let end = if recent > RECENT_MAX {
        next.points.len() - RECENT_MIN
    } else {
        paged
    };
    // What is between pages that stay is written anew, with small pages beside it: else pages that
    // pruning emptied would stay small for ever.
    let mut all: Vec<Stretch> = Vec::new();
    let mut done = 0;
    found.push(Stretch {
        first: end,
        end,
        page: None,
    });
    for stretch in found {
        let mut push = |stretch: Stretch| {
            let Some(last) = all.last_mut().filter(|_| stretch.first < stretch.end) else {
                if stretch.first < stretch.end {
                    all.push(stretch);
                }
                return;
            };
            let small = |stretch: &Stretch| {
                stretch.page.is_none() || stretch.end - stretch.first < RECENT_MIN
            };
            let joined = small(last) && small(&stretch);
            if joined && (last.page.is_none() || stretch.page.is_none()) {
                last.end = stretch.end;
                last.page = None;
            } else {
                all.push(stretch);
            }
        };
        push(Stretch {
            first: done,
            end: stretch.first,
            page: None,
        });
        push(stretch);
        done = stretch.end;
    }
    all
}

/// The pages whose points stand in one row still, each the very one it was.
fn unchanged_pages(head: &Manifest, next: &Manifest) -> Vec<Stretch> {
    let numbered = next.points.iter().enumerate();
    let places: HashMap<*const Point, usize> = numbered
        .map(|(place, point)| (Arc::as_ptr(point), place))
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    for page in &head.pages {
        let held = head.points.get(at..at + size(u64::from(page.points)));
        let held = held.unwrap_or_default();
        at += held.len();
        let first = held.first().map(Arc::as_ptr);
        let Some(&first) = first.and_then(|first| places.get(&first)) else {
            continue;
        };
        let end = first + held.len();
        let same = next.points.get(first..end).is_some_and(|there| {
            let mut pairs = there.iter().zip(held);
            pairs.all(|(one, other)| Arc::ptr_eq(one, other))
        });
        if same {
            let page = Some(*page);
            found.push(Stretch { first, end, page });
        }
    }
    found
}

/// The manifest that takes a group over: it changes nothing but the epoch.
pub(crate) fn takeover(
    head: Manifest,
    digest: Digest,
    nonce: ObjectId,
    now: Timestamp,
) -> Manifest {
    Manifest {
        number: head.number + 1,
        epoch: afterimage_changelog::Epoch(head.epoch.0 + 1),
        nonce,
        predecessor: digest,
        created: now,
        ..head
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use afterimage_changelog::{Epoch, Sequence};
    use proptest::prelude::*;

    use super::*;

    fn layer(number: u8) -> LayerRef {
        LayerRef {
            epoch: Epoch(1),
            id: ObjectId([number; 16]),
            object_bytes: 1,
            digest: Digest::NONE,
        }
    }

    fn proposal(number: u64) -> Proposal {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Proposal {
            kind: MarkerKind::Crash,
            name: String::new(),
            time: Timestamp(number),
            cut: ObjectId(id),
            disks: Vec::new(),
            changed_bytes: 1,
            layers: vec![LayerRef {
                id: ObjectId(id),
                ..layer(0)
            }],
            streams: vec![(
                "main".parse().unwrap(),
                Position {
                    segment: number,
                    digest: Digest::NONE,
                    sequence: Sequence(number),
                },
            )],
        }
    }

    fn empty() -> Manifest {
        Manifest {
            number: 0,
            epoch: Epoch(1),
            nonce: ObjectId([1; 16]),
            predecessor: Digest::NONE,
            created: Timestamp(0),
            next_point: 1,
            group: "shop".parse().unwrap(),
            keep: String::new(),
            tables: Vec::new(),
            streams: Vec::new(),
            pages: Vec::new(),
            indexes: Vec::new(),
            points: Vec::new(),
        }
    }

    /// Commits as the committer does, with pages in a list.
    fn commit(head: &Manifest, change: Change, store: &mut Vec<Vec<Arc<Point>>>) -> Manifest {
        let mut next = successor(head, Digest::NONE, change).unwrap();
        let paged: Result<(), Infallible> = repage(head, &mut next, |points| {
            store.push(points.to_vec());
            let mut object = layer(0);
            object.object_bytes = u64::try_from(store.len() - 1).unwrap();
            Ok(PageRef {
                object,
                points: u32::try_from(points.len()).unwrap(),
            })
        });
        match paged {
            Ok(()) => next,
            Err(never) => match never {},
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever is added and dropped, pages and manifest together hold exactly the points that
        /// are left, every layer is there once and in order, and few points are written twice.
        #[test]
        fn pages_hold_what_the_list_says(
            steps in prop::collection::vec((1..90u64, prop::collection::btree_set(0..2000u64, 0..6)), 1..40),
        ) {
            let mut store = Vec::new();
            let mut head = empty();
            let mut expected: Vec<u64> = Vec::new();
            let mut next = 1;
            for (add, drop) in steps {
                let points = (next..next + add).map(proposal).collect();
                let drop: BTreeSet<u64> = drop.into_iter().filter(|id| expected.contains(id)).collect();
                let newest = expected.last().copied();
                let drop: BTreeSet<u64> = drop.into_iter().filter(|id| Some(*id) != newest).collect();
                expected.retain(|id| !drop.contains(id));
                expected.extend(next..next + add);
                next += add;
                head = commit(&head, Change { points, drop, ..Change::default() }, &mut store);
                let ids: Vec<u64> = head.points.iter().map(|point| point.id).collect();
                prop_assert_eq!(&ids, &expected);
                let layers: Vec<ObjectId> = head.layers().map(|layer| layer.id).collect();
                let all: Vec<ObjectId> = (1..next).map(|number| proposal(number).cut).collect();
                prop_assert_eq!(layers, all);
                let mut paged: Vec<u64> = Vec::new();
                for page in &head.pages {
                    let held = &store[size(page.object.object_bytes)];
                    prop_assert_eq!(held.len(), size(u64::from(page.points)));
                    paged.extend(held.iter().map(|point| point.id));
                }
                prop_assert_eq!(&paged[..], &expected[..head.paged()]);
                prop_assert!(expected.len() - head.paged() <= RECENT_MAX);
                let small = head.pages.windows(2).filter(|pair| pair.iter().all(|page| page.points < 16)).count();
                prop_assert!(small <= head.pages.len() / 2 + 2);
                let stored = Manifest::decode(&head.encode()).unwrap();
                let points = head.points[..head.paged()].to_vec();
                prop_assert_eq!(&stored.complete(points).unwrap(), &head);
            }
        }
    }

    #[test]
    fn the_newest_point_never_goes() {
        let mut store = Vec::new();
        let points = (1..4).map(proposal).collect();
        let head = commit(
            &empty(),
            Change {
                points,
                ..Change::default()
            },
            &mut store,
        );
        let drop = BTreeSet::from([3]);
        let refused = successor(
            &head,
            Digest::NONE,
            Change {
                drop,
                ..Change::default()
            },
        );
        assert!(refused.is_err());
    }

    /// Upkeep let go of kept segments, and the next point named them again, since who keeps them counted
    /// from the first that it had kept: the manifest named what was being deleted. And upkeep said how
    /// many are to stay: by the time that it was committed it was fewer of the old ones than it meant.
    #[test]
    fn what_is_not_kept_any_more_is_never_kept_anew_and_no_more_goes_than_was_meant() {
        let mut store = Vec::new();
        let mut change = |head: &Manifest, points: &[u64], first: Option<u64>| {
            let change = Change {
                points: points.iter().copied().map(proposal).collect(),
                kept_from: first
                    .map(|first| ("main".parse().unwrap(), first))
                    .into_iter()
                    .collect(),
                ..Change::default()
            };
            let head = commit(head, change, &mut store);
            let kept = head.streams.first().unwrap();
            let kept = kept.kept_from()..kept.position.segment + 1;
            (head, kept)
        };
        let (head, kept) = change(&empty(), &[5], Some(2));
        assert_eq!(kept, 2..6);
        let (head, kept) = change(&head, &[6, 7], Some(2));
        assert_eq!(kept, 2..8);
        // Decided when 6 was the newest.
        let (head, kept) = change(&head, &[], Some(4));
        assert_eq!(kept, 4..8);
        let (head, kept) = change(&head, &[8], Some(2));
        assert_eq!(kept, 4..9, "2 and 3 may be gone");
        // A worker that keeps none, and one that does from the segment on that the points end in.
        let (head, kept) = change(&head, &[9], None);
        assert_eq!(kept, 10..10);
        let (_, kept) = change(&head, &[10], Some(0));
        assert_eq!(kept, 9..11);
    }

    #[test]
    fn an_index_goes_with_any_of_its_layers_and_stays_with_all_of_them() {
        let mut store = Vec::new();
        let points = (1..6).map(proposal).collect();
        let head = commit(
            &empty(),
            Change {
                points,
                ..Change::default()
            },
            &mut store,
        );
        let index = |first: u64, layers| IndexRef {
            first: proposal(first).cut,
            layers,
            objects: vec![layer(99)],
        };
        let indexes = vec![index(1, 2), index(3, 2)];
        let head = commit(
            &head,
            Change {
                indexes,
                ..Change::default()
            },
            &mut store,
        );
        let drop = BTreeSet::from([1]);
        let head = commit(
            &head,
            Change {
                drop,
                ..Change::default()
            },
            &mut store,
        );
        assert_eq!(head.indexes.len(), 2, "no layer went");
        let replace = vec![Replacement {
            layers: vec![proposal(1).cut, proposal(2).cut],
            with: vec![layer(77)],
        }];
        let stale = Change {
            replace,
            ..Change::default()
        };
        let head = commit(&head, stale.clone(), &mut store);
        assert_eq!(head.indexes, [index(3, 2)]);
        assert_eq!(head.points[0].layers, [layer(77)]);
        assert!(
            successor(&head, Digest::NONE, stale).is_err(),
            "those layers are gone"
        );
    }
}
