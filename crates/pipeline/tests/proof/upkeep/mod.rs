//! Pruning, compaction and collection: cut at any operation, and beside readers, pins and workers
//! that were taken over.

pub(crate) mod beside;
pub(crate) mod crash;
pub(crate) mod interleaved;
pub(crate) mod taken_over;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use afterimage::{
    Error, Name, PointReader, Stop, Tend, Timestamp, Upkeep,
    changelog::{ObjectId, SECTOR, SectorSize, size},
    decisions,
    recovery::{
        IndexLimits, Manifest,
        compact::CompactionSettings,
        load_head,
        name::{index_key, kept_key, layer_key, manifest_key, page_key},
    },
    storage::{Key, Nonces, Store},
};
use afterimage_testkit::{Random, Stamp};

use crate::support::{
    Scenario,
    scenario::{Record, cut, disk},
};

/// What stays of a point a minute.
const KEEP: &str = "2m:all,7m:2m";

/// A history with many markers, most of them soon pruned.
static HISTORY: LazyLock<Scenario> = LazyLock::new(|| {
    let mut random = Random::new(29);
    let mut records = Vec::new();
    let mut segments = Vec::new();
    for marker in 0..14 {
        for _ in 0..2 + random.below(3) {
            let (start, sectors) = (random.below(20), 1 + random.below(4));
            records.push(if random.percent(20) {
                Record::Zero {
                    disk: 0,
                    start,
                    sectors,
                }
            } else {
                Record::Write {
                    disk: 0,
                    start,
                    sectors,
                }
            });
        }
        records.push(Record::Mark);
        if marker % 3 == 1 {
            segments.push(records.len());
        }
    }
    segments.push(records.len());
    let disks = vec![disk("boot", 24 * 512, SectorSize::B512)];
    Scenario::new(disks, records, segments)
});

/// The upkeep that is done between segments.
fn tend(target: &Arc<dyn Store>, nonces: Arc<Nonces>) -> Tend {
    let upkeep = Upkeep {
        keep: Some(KEEP.parse().unwrap()),
        rewind: None,
        compact: Some(CompactionSettings {
            dead_percent_max: 10,
            own_dead_percent_max: 10,
            gain_bytes_min: 1,
            runs_max: 2,
            merged_runs_max: 3,
        }),
        index: IndexLimits {
            rows: 7,
            frames: 3,
            fan_out: 3,
        },
        ..Upkeep::default()
    };
    Tend {
        take_over: true,
        clock: Arc::new(|| Timestamp(3_600_000_000)),
        nonces,
        ..Tend::new(Arc::clone(target), Scenario::group(), upkeep)
    }
}

/// Does the upkeep; what the policy lets go is noted before.
fn tend_noting(
    target: &Arc<dyn Store>,
    nonces: Arc<Nonces>,
    may_go: &mut BTreeSet<u64>,
) -> Result<(), Error> {
    let keep = KEEP.parse().unwrap();
    let decided = decisions(target, &Scenario::group(), Some(&keep))?;
    let gone = decided.iter().filter(|(_, decision)| !decision.keep);
    may_go.extend(gone.map(|(_, decision)| decision.id));
    tend(target, nonces).run(&Stop::default())?;
    Ok(())
}

/// The number of each marker by its cut.
fn markers() -> BTreeMap<[u8; 16], usize> {
    (1..=HISTORY.markers())
        .map(|number| (cut(number).0, number))
        .collect()
}

/// A point holds what the plain disks held at its marker.
fn check_point(target: &Arc<dyn Store>, manifest: &Manifest, id: u64) -> Result<(), String> {
    let point = manifest.points.iter().find(|point| point.id == id);
    let point = point.ok_or_else(|| format!("point {id} is not there"))?;
    let number = markers().get(&point.cut.0).copied();
    let number = number.ok_or_else(|| format!("point {id} has the cut of no marker"))?;
    let reader = PointReader::open(target, manifest, id).map_err(|error| error.to_string())?;
    for (disk, plain) in HISTORY.disks.iter().zip(&HISTORY.points[number]) {
        let mut found = vec![0xaa; size(disk.bytes())];
        let read = reader.read_at(&disk.name, 0, &mut found);
        read.map_err(|error| format!("point {id}: {error}"))?;
        let sector_bytes = size(SECTOR);
        let sectors = plain
            .bytes()
            .chunks(sector_bytes)
            .zip(found.chunks(sector_bytes));
        for (sector, (expected, found)) in sectors.enumerate() {
            if expected != found {
                let (expected, found) = (Stamp::describe(expected), Stamp::describe(found));
                return Err(format!(
                    "sector {sector} of point {id}: expected {expected}, found {found}"
                ));
            }
        }
    }
    Ok(())
}

fn group() -> Name {
    Scenario::group()
}

/// Every object that the newest manifest needs, itself too.
pub(crate) fn needed(target: &Arc<dyn Store>) -> BTreeSet<Key> {
    let head = load_head(target.as_ref(), &group()).unwrap().unwrap();
    let mut needed = objects(&head.manifest);
    needed.insert(manifest_key(&group(), head.manifest.number));
    needed
}

/// Every object that a manifest names.
pub(crate) fn objects(manifest: &Manifest) -> BTreeSet<Key> {
    let layers = manifest
        .layers()
        .map(|layer| layer_key(&group(), layer.epoch, layer.id));
    let indexes = manifest.indexes.iter().flat_map(|index| &index.objects);
    let indexes = indexes.map(|object| index_key(&group(), object.epoch, object.id));
    let pages = manifest.pages.iter();
    let pages = pages.map(|page| page_key(&group(), page.object.epoch, page.object.id));
    let kept = manifest.streams.iter().flat_map(|stream| {
        let numbers = stream.kept_from()..stream.position.segment + 1;
        numbers.map(|number| kept_key(&group(), &stream.name, number))
    });
    layers.chain(indexes).chain(pages).chain(kept).collect()
}

/// Every object of the group.
pub(crate) fn stored(target: &Arc<dyn Store>) -> BTreeSet<Key> {
    let prefix = Key::new(group().as_str()).unwrap();
    let listed = target.list(&prefix, None, usize::MAX).unwrap();
    listed.into_iter().map(|entry| entry.key).collect()
}

/// Whether an object is a mark, which no manifest names and which stays.
pub(crate) fn is_mark(key: &Key) -> bool {
    let marks = ["/boundary/", "/ended/", "/epochs/"];
    marks.iter().any(|mark| key.as_str().contains(mark))
}

/// An id that nothing else has.
fn fresh_id(number: u64) -> ObjectId {
    let mut id = [0xf0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    ObjectId(id)
}
