//! The any-write window: wherever a replication that keeps segments is cut or fails, the disk after
//! every single write of the window is right, and what lies outside is refused as that.

mod damage;
pub(crate) mod sweeps;
pub(crate) mod threads;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use afterimage::{
    Error, ErrorKind, Moment, Points, RestoreProgress, Rewound, Stop, Tend, Timestamp, Upkeep,
    changelog::{SECTOR, SectorSize, Sequence, size},
    recovery::load_head,
    storage::{Key, MemoryDisk, Store},
};
use afterimage_testkit::{PlainDisk, Random, Stamp, World};

use crate::{
    support::{
        Progress, Rig, Scenario, Wraps, check,
        run::{Service, agent, record_time, send},
        scenario::{Record, body, disk},
    },
    upkeep::{is_mark, needed, stored},
};

/// How far back single writes can be gone to: the markers are a minute apart.
const WINDOW: Duration = Duration::from_secs(150);
/// Sectors of the one disk.
const SECTORS: u64 = 16;

/// A history whose intervals reach over several segments and whose segments hold several intervals.
static HISTORY: LazyLock<Scenario> = LazyLock::new(|| {
    let mut random = Random::new(37);
    let (mut records, mut segments) = (Vec::new(), Vec::new());
    for marker in 0..11 {
        // Every third interval reaches over three segments.
        for part in 0..3 {
            for _ in 0..1 + random.below(2) {
                let (start, sectors) = (random.below(12), 1 + random.below(4));
                let write = Record::Write {
                    disk: 0,
                    start,
                    sectors,
                };
                let zero = Record::Zero {
                    disk: 0,
                    start,
                    sectors,
                };
                records.push(if random.percent(20) { zero } else { write });
            }
            if part == 0 || marker % 3 == 0 {
                segments.push(records.len());
            }
        }
        records.push(Record::Mark);
    }
    segments.push(records.len());
    let disks = vec![disk("boot", SECTORS * SECTOR, SectorSize::B512)];
    Scenario::new(disks, records, segments)
});

/// The disk after each record; the first entry is the blank disk.
static AFTER: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut plain = PlainDisk::new(SECTORS * SECTOR);
    let mut after = vec![plain.bytes().to_vec()];
    for (index, record) in HISTORY.records.iter().enumerate() {
        match *record {
            Record::Write { start, .. } => plain.write(start * SECTOR, &body(record, index)),
            Record::Zero { start, sectors, .. } => plain.zero(start * SECTOR, sectors * SECTOR),
            Record::Mark => {}
        }
        after.push(plain.bytes().to_vec());
    }
    after
});

fn upkeep() -> Upkeep {
    Upkeep {
        rewind: Some(WINDOW),
        ..Upkeep::default()
    }
}

/// Segment by segment: agent, worker, upkeep. Each worker takes the group over from the one before,
/// with ids of its own.
fn finish(rig: &Rig, progress: &mut Progress) -> Result<(), Error> {
    let stores = rig.stores()?;
    let mut agent = agent(&HISTORY, rig, &stores.cache)?;
    progress.sealed = progress.sealed.max(agent.last().0);
    for (turn, &end) in (0..).zip(&HISTORY.segments) {
        send(&HISTORY, &mut agent, end)?;
        progress.sealed = progress.sealed.max(agent.last().0);
        let nth = |number: u64| Rig::new(&rig.world, rig.wraps, rig.process + 1000 * number);
        Service::keeping(&nth(2 * turn + 1), &stores)?.catch_up(progress)?;
        if load_head(stores.target.as_ref(), &Scenario::group())?.is_some() {
            tend(&stores.target, &nth(2 * turn + 2))?;
        }
    }
    Ok(())
}

fn tend(target: &Arc<dyn Store>, rig: &Rig) -> Result<(), Error> {
    let tend = Tend {
        take_over: true,
        clock: Arc::new(|| Timestamp(2)),
        nonces: rig.nonces(),
        ..Tend::new(Arc::clone(target), Scenario::group(), upkeep())
    };
    tend.run(&Stop::default()).map(drop)
}

/// What a look at the window found.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Points.
    points: usize,
    /// Writes that were gone back to.
    right: u64,
    /// Writes that lie outside.
    outside: u64,
}

/// Every promise about points and cache, and then goes back to every single write.
fn judge(world: &World, progress: &Progress) -> Result<Seen, String> {
    // The manifests before the newest one are collected.
    let progress = Progress {
        commit: None,
        ..progress.clone()
    };
    let there = check(&HISTORY, world, &progress)?;
    let rig = Rig::new(&world.restart(), Wraps::NONE, 0);
    let target = rig.stores().map_err(|error| error.to_string())?.target;
    let Ok(points) = Points::load(&target, &Scenario::group()) else {
        return Ok(Seen::default());
    };
    let seen = go_back(&points)?;
    Ok(Seen {
        points: there,
        ..seen
    })
}

fn go_back(points: &Points) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let manifest = points.manifest();
    let Some(stream) = manifest.streams.first() else {
        return Ok(seen);
    };
    let newest = points
        .list()
        .last()
        .map_or(Timestamp(0), |point| point.time);
    let window = u64::try_from(WINDOW.as_micros()).unwrap();
    let since = newest.0.saturating_sub(window);
    for (sequence, plain) in (0..).zip(AFTER.iter()).skip(1) {
        let written = record_time(&HISTORY, size(sequence - 1));
        let is_within = written.0 >= since
            && sequence <= stream.position.sequence.0
            && points
                .list()
                .iter()
                .any(|point| point.sequences[0].0 <= sequence);
        match disk_after(points, sequence) {
            Ok(found) => {
                same(plain, &found).map_err(|what| format!("record {sequence}: {what}"))?;
                seen.right += 1;
            }
            Err(error) if is_outside(&error) && !is_within => seen.outside += 1,
            Err(error) => return Err(format!("record {sequence}: {error}")),
        }
    }
    Ok(seen)
}

fn disk_after(points: &Points, sequence: u64) -> Result<Vec<u8>, Error> {
    let moment = Moment::Record(Sequence(sequence));
    let rewound = Rewound::find(points.store(), points, moment)?;
    let disk = MemoryDisk::new(SECTORS * SECTOR);
    let name = &HISTORY.disks[0].name;
    let progress = RestoreProgress::default();
    rewound.write(points, name, &disk, &progress, &Stop::default())?;
    Ok(disk.content())
}

fn is_outside(error: &Error) -> bool {
    error.kind() == ErrorKind::Invalid && error.to_string().contains("kept are the records")
}

fn same(plain: &[u8], found: &[u8]) -> Result<(), String> {
    let sector_bytes = size(SECTOR);
    let mut sectors = plain.chunks(sector_bytes).zip(found.chunks(sector_bytes));
    match sectors.position(|(expected, found)| expected != found) {
        None => Ok(()),
        Some(sector) => {
            let at =
                |bytes: &[u8]| Stamp::describe(&bytes[sector * sector_bytes..][..sector_bytes]);
            let (expected, found) = (at(plain), at(found));
            Err(format!(
                "sector {sector}: expected {expected}, found {found}"
            ))
        }
    }
}

/// What nobody needs any more is gone.
fn no_leftovers(world: &World) -> Result<(), String> {
    let target = Rig::new(world, Wraps::NONE, 0).stores().unwrap().target;
    let needed = needed(&target);
    let is_left = |key: &Key| !needed.contains(key) && !is_mark(key);
    match stored(&target).into_iter().find(is_left) {
        None => Ok(()),
        Some(key) => Err(format!("{key} is left")),
    }
}
