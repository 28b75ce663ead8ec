//! The whole chain in a loop: agent, service, replicas, rewinds and a restore.

use std::sync::Arc;

use afterimage::{
    Error, Ingest, IngestParts, Points, Timestamp,
    cache::{SegmentLimits, StreamReader, StreamWriter, WriterOptions},
    changelog::{Digest, MarkerKind},
    storage::{Key, Store, StoreErrorKind},
};
use afterimage_target::Replica;
use bytes::Bytes;

use super::{
    point_disk::{advance, restore},
    rig::{Rig, Stores},
    scenario::{Record, Scenario, body, cut},
};

/// The point that the restore takes.
pub(crate) const RESTORED_POINT: u64 = 3;
/// The disk that the restore takes.
pub(crate) const RESTORED_DISK: usize = 1;
/// The points that the replicas go back to before they go on.
const REWOUND_TO: [u64; 2] = [2, 4];

/// What was reported to somebody, over all processes of a world: none of it may ever be undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Records that the agent was told are durable in the cache.
    pub(crate) sealed: u64,
    /// Points that the service reported.
    pub(crate) points: usize,
    /// The newest commit that was reported: number of the manifest and its digest.
    pub(crate) commit: Option<(u64, Digest)>,
    /// Replicas whose disk was taken over.
    pub(crate) adopted: [bool; 2],
    /// Processes whose restored disk got its name.
    pub(crate) restored: Vec<u64>,
}

/// The key under which the restored disk of a process appears.
pub(crate) fn restored_key(process: u64) -> Key {
    Key::new(&format!("disks/{process}")).unwrap()
}

/// Runs what is left of the history to its end.
pub(crate) fn finish(scenario: &Scenario, rig: &Rig, progress: &mut Progress) -> Result<(), Error> {
    finish_with(scenario, rig, &rig.stores()?, progress)
}

/// The same, on stores that are open already.
///
/// Processes of an even number begin with the service, which takes what an earlier one left in the
/// cache; those of an odd number begin with the agent, which believes what it finds there.
pub(crate) fn finish_with(
    scenario: &Scenario,
    rig: &Rig,
    stores: &Stores,
    progress: &mut Progress,
) -> Result<(), Error> {
    let Stores { cache, target, .. } = stores;
    let mut first = None;
    if rig.process.is_multiple_of(2) {
        let service = first.insert(Service::open(rig, stores)?);
        service.catch_up(progress)?;
    }
    let mut agent = agent(scenario, rig, cache)?;
    progress.sealed = progress.sealed.max(agent.last().0);
    let mut service = match first {
        Some(service) => service,
        None => Service::open(rig, stores)?,
    };
    for &end in &scenario.segments {
        send(scenario, &mut agent, end)?;
        progress.sealed = progress.sealed.max(agent.last().0);
        service.catch_up(progress)?;
        follow(scenario, rig, target, progress, None)?;
    }
    for rewound_to in REWOUND_TO {
        follow(scenario, rig, target, progress, Some(rewound_to))?;
        follow(scenario, rig, target, progress, None)?;
    }
    restore_one(scenario, rig, stores, progress)
}

/// Opens the source's end of the stream.
pub(crate) fn agent(
    scenario: &Scenario,
    rig: &Rig,
    cache: &Arc<dyn Store>,
) -> Result<StreamWriter, Error> {
    let options = WriterOptions {
        group: Scenario::group(),
        stream: Scenario::stream(),
        disks: scenario.disks.clone(),
        limits: SegmentLimits {
            frame_bytes: 8192,
            ..SegmentLimits::default()
        },
        level: 1,
    };
    Ok(StreamWriter::open(
        Arc::clone(cache),
        rig.nonces(),
        options,
    )?)
}

/// Records what the cache does not hold yet, up to the record `end`, and seals it.
pub(crate) fn send(scenario: &Scenario, agent: &mut StreamWriter, end: usize) -> Result<(), Error> {
    let begin = usize::try_from(agent.last().0).unwrap();
    let due = scenario.records.iter().enumerate().take(end).skip(begin);
    for (index, record) in due {
        let before = scenario.markers_within(u64::try_from(index).unwrap());
        let now = record_time(scenario, index);
        match *record {
            Record::Write { disk, start, .. } => {
                agent.write(disk, start, &body(record, index), now)?;
            }
            Record::Zero {
                disk,
                start,
                sectors,
            } => agent.zero(disk, start, sectors, now)?,
            Record::Mark => {
                let (number, time) = (before + 1, marker_time(before + 1));
                agent.mark(MarkerKind::Crash, "", cut(number), time)?;
            }
        }
    }
    Ok(agent.seal()?)
}

/// The time of a marker: one a minute.
pub(crate) fn marker_time(number: usize) -> Timestamp {
    Timestamp(60_000_000 * u64::try_from(number).unwrap())
}

/// The time of a record that is no marker: some seconds after the one before it.
pub(crate) fn record_time(scenario: &Scenario, index: usize) -> Timestamp {
    const STEP: u64 = 6_000_000;
    let before = scenario.markers_within(u64::try_from(index).unwrap());
    let records = scenario.records[..index].iter().rev();
    let since = records.take_while(|record| !matches!(record, Record::Mark));
    let since = u64::try_from(since.count()).unwrap();
    Timestamp(marker_time(before).0 + STEP * (1 + since))
}

/// A worker: reader and ingest.
#[derive(Debug)]
pub(crate) struct Service {
    ingest: Ingest,
    reader: StreamReader,
}

impl Service {
    pub(crate) fn open(rig: &Rig, stores: &Stores) -> Result<Service, Error> {
        Service::begin(rig, stores, false)
    }

    /// One that keeps segments at the target.
    pub(crate) fn keeping(rig: &Rig, stores: &Stores) -> Result<Service, Error> {
        Service::begin(rig, stores, true)
    }

    fn begin(rig: &Rig, stores: &Stores, rewind: bool) -> Result<Service, Error> {
        let Stores { cache, target, .. } = stores;
        let (group, stream) = (Scenario::group(), Scenario::stream());
        let ingest = Ingest::open(IngestParts {
            group: group.clone(),
            stream: stream.clone(),
            cache: Arc::clone(cache),
            target: Arc::clone(target),
            nonces: rig.nonces(),
            clock: Arc::new(|| Timestamp(2)),
            memory: 1 << 20,
            rewind,
        })?;
        let reader = StreamReader::new(Arc::clone(cache), group, stream, ingest.position());
        Ok(Service { ingest, reader })
    }

    /// Takes every segment there is.
    pub(crate) fn catch_up(&mut self, progress: &mut Progress) -> Result<(), Error> {
        while self.step(progress)? {}
        Ok(self.reader.check_no_gap()?)
    }

    /// Takes one segment; false where there is none.
    pub(crate) fn step(&mut self, progress: &mut Progress) -> Result<bool, Error> {
        let Some(segment) = self.reader.next_segment()? else {
            return Ok(false);
        };
        let mut ids = Vec::new();
        let pushed = self.ingest.push(segment, &mut |report| ids.push(report.id));
        if let Some(&id) = ids.last() {
            progress.points = progress.points.max(usize::try_from(id).unwrap());
            let head = self.ingest.head();
            progress.commit = Some((head.manifest.number, head.digest));
        }
        pushed?;
        Ok(true)
    }

    /// Points that it found or made.
    pub(crate) fn points(&self) -> usize {
        self.ingest.head().manifest.points.len()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.ingest.head().manifest.epoch.0
    }
}

/// Brings both replicas to a point, or to the newest one.
fn follow(
    scenario: &Scenario,
    rig: &Rig,
    target: &Arc<dyn Store>,
    progress: &mut Progress,
    to: Option<u64>,
) -> Result<(), Error> {
    let group = Scenario::group();
    let points = Points::load(target, &group)?;
    let Some(newest) = points.list().last() else {
        return Ok(());
    };
    let to = to.unwrap_or(newest.id);
    for (number, disk) in scenario.disks.iter().enumerate() {
        let pair = rig.replica(scenario, number);
        let mut replica =
            Replica::open(pair.data.as_ref(), pair.record.as_ref(), &group, &disk.name)?;
        // A simulated disk that nobody has written holds zeroes.
        if replica.standing().is_none() && !progress.adopted[number] {
            replica.adopt_blank()?;
        }
        progress.adopted[number] = true;
        advance(&mut replica, &points, to, &disk.name)?;
    }
    Ok(())
}

/// Restores to a blank disk that gets its name when it is whole.
fn restore_one(
    scenario: &Scenario,
    rig: &Rig,
    stores: &Stores,
    progress: &mut Progress,
) -> Result<(), Error> {
    let points = Points::load(&stores.target, &Scenario::group())?;
    let draft = rig.draft(scenario, RESTORED_DISK, rig.process);
    restore(
        &points,
        RESTORED_POINT,
        &scenario.disks[RESTORED_DISK].name,
        draft.as_ref(),
    )?;
    match stores
        .restored
        .create(&restored_key(rig.process), &[Bytes::new()])
    {
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
        created => created?,
    }
    progress.restored.push(rig.process);
    Ok(())
}
