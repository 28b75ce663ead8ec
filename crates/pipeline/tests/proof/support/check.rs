//! The judge: reads everything back with the real readers and compares it with plain arrays.

use std::{fmt::Display, sync::Arc};

use afterimage::{
    PointReader,
    cache::StreamReader,
    changelog::{Position, SECTOR, size},
    recovery::{chain, load_head},
    storage::{Key, Store},
};
use afterimage_target::{Progress as Record, Standing};
use afterimage_testkit::{PlainDisk, Stamp, World};

use super::{
    rig::{DiskPair, Rig, Wraps},
    run::{Progress, RESTORED_DISK, RESTORED_POINT},
    scenario::{Scenario, cut},
};

/// Checks that a world keeps every promise; gives how many points it holds, or the first broken one.
///
/// - The manifests are one chain, and the newest one that was reported is in it.
/// - The points are the first markers, in order and without a gap; each equals the plain disks; no
///   reported one is missing.
/// - The cache holds, intact and in order, every record behind the committed position.
/// - A replica holds what its record says.
/// - A restored disk that has a name is whole.
pub(crate) fn check(
    scenario: &Scenario,
    world: &World,
    progress: &Progress,
) -> Result<usize, String> {
    // Opening stores syncs directories, which must not make durable what is looked at.
    let rig = Rig::new(&world.restart(), Wraps::NONE, 0);
    let stores = rig.stores().map_err(text)?;
    let (points, position) = check_points(scenario, &stores.target, progress)?;
    check_cache(&stores.cache, position, progress)?;
    for number in 0..scenario.disks.len() {
        check_replica(scenario, &rig, number, points, progress)?;
    }
    check_restored(scenario, &rig, &stores.restored, progress)?;
    Ok(points)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn check_points(
    scenario: &Scenario,
    target: &Arc<dyn Store>,
    progress: &Progress,
) -> Result<(usize, Option<Position>), String> {
    let group = Scenario::group();
    chain::check_chain(target.as_ref(), &group).map_err(text)?;
    if let Some((number, digest)) = progress.commit {
        let found = chain::load(target.as_ref(), &group, number).map_err(text)?;
        if found.is_none_or(|found| found.digest != digest) {
            return Err(format!("the reported commit {number} is not in the chain"));
        }
    }
    let Some(head) = load_head(target.as_ref(), &group).map_err(text)? else {
        return match progress.points {
            0 => Ok((0, None)),
            points => Err(format!("all {points} reported points are gone")),
        };
    };
    let manifest = &head.manifest;
    let found = manifest.points.len();
    if found < progress.points {
        return Err(format!(
            "{} points were reported, {found} are left",
            progress.points
        ));
    }
    for (point, number) in manifest.points.iter().zip(1..) {
        if point.id != u64::try_from(number).unwrap() || point.cut != cut(number) {
            return Err(format!(
                "point {} of cut {} is not marker {number}",
                point.id, point.cut
            ));
        }
        let reader = PointReader::open(target, manifest, point.id).map_err(text)?;
        check_point(scenario, &reader, number)?;
    }
    Ok((found, manifest.position(&Scenario::stream())))
}

fn check_point(scenario: &Scenario, reader: &PointReader, number: usize) -> Result<(), String> {
    let Some(expected) = scenario.points.get(number) else {
        return Err(format!("there is no marker {number}"));
    };
    if reader.disks() != scenario.disks {
        return Err(format!("point {number} has other disks"));
    }
    for (disk, plain) in scenario.disks.iter().zip(expected) {
        let mut found = vec![0xaa; size(disk.bytes())];
        reader.read_at(&disk.name, 0, &mut found).map_err(text)?;
        same(
            plain,
            &found,
            &format!("disk {} of point {number}", disk.name),
        )?;
    }
    Ok(())
}

fn check_cache(
    cache: &Arc<dyn Store>,
    position: Option<Position>,
    progress: &Progress,
) -> Result<(), String> {
    let (group, stream) = (Scenario::group(), Scenario::stream());
    let mut reader = StreamReader::new(Arc::clone(cache), group, stream, position);
    let mut last = position.map_or(0, |position| position.sequence.0);
    while let Some(segment) = reader.next_segment().map_err(text)? {
        for frame in &segment.index.frames {
            let stored = segment.read(frame.offset..frame.end()).map_err(text)?;
            frame
                .check(stored)
                .map_err(|error| format!("{}: {error}", segment.key))?;
        }
        last = segment.end().sequence.0;
    }
    reader.check_no_gap().map_err(text)?;
    if last < progress.sealed {
        let sealed = progress.sealed;
        return Err(format!(
            "records {}..={sealed} are in no point and not in the cache",
            last + 1
        ));
    }
    Ok(())
}

fn check_replica(
    scenario: &Scenario,
    rig: &Rig,
    number: usize,
    points: usize,
    progress: &Progress,
) -> Result<(), String> {
    let disk = &scenario.disks[number];
    let DiskPair { data, record } = rig.replica(scenario, number);
    let record = Record::load(record.as_ref(), &Scenario::group(), &disk.name).map_err(text)?;
    let what = format!("the replica of {}", disk.name);
    let range = match record.standing() {
        None if progress.adopted[number] => return Err(format!("{what} has lost its record")),
        None | Some(Standing::Rebuilding { .. }) => return Ok(()),
        Some(Standing::At(at)) => at.id..=at.id,
        Some(Standing::Moving { from, to }) => from.id..=to.id,
    };
    let end = size(*range.end());
    if end > points {
        return Err(format!("{what} is said to be at point {end}, of {points}"));
    }
    let mut found = vec![0xaa; size(disk.bytes())];
    data.read_at(0, &mut found).map_err(text)?;
    let allowed = &scenario.points[size(*range.start())..=end];
    let sector_bytes = size(SECTOR);
    for (sector, content) in found.chunks(sector_bytes).enumerate() {
        let at = sector * sector_bytes;
        let fits = |point: &Vec<PlainDisk>| point[number].bytes()[at..].starts_with(content);
        if !allowed.iter().any(fits) {
            let found = Stamp::describe(content);
            return Err(format!(
                "{what}, said to be {range:?}, holds {found} in sector {sector}"
            ));
        }
    }
    Ok(())
}

fn check_restored(
    scenario: &Scenario,
    rig: &Rig,
    names: &Arc<dyn Store>,
    progress: &Progress,
) -> Result<(), String> {
    let prefix = Key::new("disks").unwrap();
    let listed = names.list(&prefix, None, usize::MAX).map_err(text)?;
    let mut found = Vec::new();
    for entry in listed {
        let process = entry
            .key
            .parts()
            .next_back()
            .and_then(|part| part.parse().ok());
        let process: u64 = process.ok_or_else(|| format!("{} is no restored disk", entry.key))?;
        let disk = rig.draft(scenario, RESTORED_DISK, process);
        let mut content = vec![0xaa; size(disk.size())];
        disk.read_at(0, &mut content).map_err(text)?;
        same(
            &scenario.points[size(RESTORED_POINT)][RESTORED_DISK],
            &content,
            &format!("the disk restored by process {process}"),
        )?;
        found.push(process);
    }
    match progress
        .restored
        .iter()
        .find(|process| !found.contains(process))
    {
        Some(process) => Err(format!("the disk restored by process {process} is gone")),
        None => Ok(()),
    }
}

fn same(plain: &PlainDisk, found: &[u8], what: &str) -> Result<(), String> {
    let sector_bytes = size(SECTOR);
    let sectors = plain
        .bytes()
        .chunks(sector_bytes)
        .zip(found.chunks(sector_bytes));
    for (sector, (expected, found)) in sectors.enumerate() {
        if expected != found {
            let (expected, found) = (Stamp::describe(expected), Stamp::describe(found));
            return Err(format!(
                "sector {sector} of {what}: expected {expected}, found {found}"
            ));
        }
    }
    Ok(())
}
