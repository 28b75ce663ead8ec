//! Threads and queues: a reader that runs ahead, the ingest, and the replicas beside it.

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use afterimage_cache::{Segment, StreamReader, streams};
use afterimage_changelog::{Epoch, Name};
use afterimage_recovery::load_head;
use afterimage_storage::{Nonces, Store};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};

use crate::{
    clock::{Clock, system_clock},
    error::{Error, ErrorKind},
    held::Stands,
    ingest::{Ingest, IngestParts, PointReport},
    maintain::{Maintenance, Tended, Upkeep},
    points::Points,
    replicas::{OpenReplica, ReplicaReport, ReplicaSpec},
    stop::Stop,
};

/// Segments whose indexes are read ahead of the ingest.
const READ_AHEAD: usize = 2;
/// Idle polls after which the cache is listed again to look for a gap.
const POLLS_PER_LISTING: u32 = 64;
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What happens while a pipeline runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A point was committed and the cache acknowledged.
    Point {
        /// What it is and what it took.
        report: PointReport,
        /// Since the point before it, or since the start.
        elapsed: Duration,
    },
    /// Every complete interval in the cache is a point.
    CaughtUp,
    /// The cache holds nothing of the group yet; it is looked for again and again.
    Waiting,
    /// A replica was brought to the newest point.
    Replica(ReplicaReport),
    /// A replica could not be brought forward; points go on.
    ReplicaFailed {
        /// Which disk.
        disk: Name,
        /// Why.
        error: Error,
    },
    /// The store or cache did not answer or is full; it is tried again after a pause.
    Retry {
        /// Why.
        error: Error,
        /// How long.
        pause: Duration,
    },
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Points committed.
    pub points: u64,
    /// Bytes the source wrote in their intervals.
    pub source_bytes: u64,
    /// Bytes of their layers.
    pub stored_bytes: u64,
    /// Whether the cache held a stream of the group at all.
    pub found_stream: bool,
}

/// Makes a [`Pipeline`].
#[derive(Clone)]
pub struct PipelineBuilder {
    group: Name,
    cache: Arc<dyn Store>,
    target: Arc<dyn Store>,
    replicas: Vec<ReplicaSpec>,
    memory: u64,
    threads: usize,
    poll: Duration,
    upkeep: Upkeep,
    clock: Clock,
    nonces: Arc<Nonces>,
}

/// Turns the cached stream of one group into points, until it has caught up or is stopped.
///
/// ```
/// use afterimage::{Pipeline, open_store};
/// let (cache, target) = (open_store("memory://")?, open_store("memory://")?);
/// let pipeline = Pipeline::builder("shop".parse()?, cache, target).build()?;
/// let outcome = pipeline.run_once(&mut |event| println!("{event:?}"))?;
/// assert_eq!(outcome.points, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    parts: PipelineBuilder,
    pool: rayon::ThreadPool,
}

/// How a run hears of events.
pub type Watch<'a> = dyn FnMut(Event) + Send + 'a;

impl std::fmt::Debug for PipelineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pipeline({})", self.group)
    }
}

impl PipelineBuilder {
    /// Adds a replica disk that follows the newest point.
    #[must_use]
    pub fn replica(mut self, replica: ReplicaSpec) -> PipelineBuilder {
        self.replicas.push(replica);
        self
    }

    /// Bytes of memory to stay under. Default 512 MiB, at least 64 MiB.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> PipelineBuilder {
        self.memory = bytes;
        self
    }

    /// Threads that hash and compress. Default: one a core.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> PipelineBuilder {
        self.threads = threads;
        self
    }

    /// Which points stay, and what else is done beside making them. Default: all points, merged
    /// indexes.
    #[must_use]
    pub fn upkeep(mut self, upkeep: Upkeep) -> PipelineBuilder {
        self.upkeep = upkeep;
        self
    }

    /// How often the cache is asked for its next segment when there was none. Default 1 s.
    #[must_use]
    pub const fn poll(mut self, every: Duration) -> PipelineBuilder {
        self.poll = every;
        self
    }

    /// Where the time and the ids of objects come from, for tests that are to be repeated.
    #[must_use]
    pub fn sources(mut self, clock: Clock, nonces: Arc<Nonces>) -> PipelineBuilder {
        self.clock = clock;
        self.nonces = nonces;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// A limit that cannot work.
    pub fn build(self) -> Result<Pipeline, Error> {
        const MEMORY_MIN: u64 = 64 << 20;
        if self.memory < MEMORY_MIN {
            return Err(Error::invalid("the memory limit is at least 64MiB"));
        }
        let mut names: Vec<&Name> = self.replicas.iter().map(|spec| &spec.disk).collect();
        names.sort();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Error::invalid("a disk has one replica"));
        }
        let mut files = Vec::new();
        for spec in &self.replicas {
            spec.check()?;
            files.extend([spec.path.clone(), spec.record()]);
        }
        files.sort();
        if files.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Error::invalid("two replicas are to use one file"));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(|number| format!("afterimage-{number}"))
            .build()
            .map_err(|error| Error::invalid(format!("threads cannot be started: {error}")))?;
        Ok(Pipeline { parts: self, pool })
    }
}

impl Pipeline {
    /// Begins to describe a pipeline of `group` from `cache` to `target`.
    #[must_use]
    pub fn builder(group: Name, cache: Arc<dyn Store>, target: Arc<dyn Store>) -> PipelineBuilder {
        PipelineBuilder {
            group,
            cache,
            target,
            replicas: Vec::new(),
            memory: 512 << 20,
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            poll: Duration::from_secs(1),
            upkeep: Upkeep::default(),
            clock: system_clock(),
            nonces: Arc::new(Nonces::from_os()),
        }
    }

    /// Runs until every complete interval in the cache is a point and the replicas stand there.
    ///
    /// # Errors
    ///
    /// Whatever stops it; what was committed until then stays, and the next run goes on behind it.
    pub fn run_once(&self, watch: &mut Watch<'_>) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        self.attempt(None, &mut outcome, watch)?;
        Ok(outcome)
    }

    /// Runs until stopped. A store that does not answer or is full is tried again, with pauses of up
    /// to half a minute.
    ///
    /// # Errors
    ///
    /// What waiting cannot mend: a gap, damage, another worker, a disk that failed.
    pub fn run(&self, stop: &Stop, watch: &mut Watch<'_>) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let mut pause = Duration::from_secs(1);
        while !stop.is_stopped() {
            let before = outcome.points;
            match self.attempt(Some(stop), &mut outcome, watch) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    if outcome.points > before {
                        pause = Duration::from_secs(1);
                    }
                    watch(Event::Retry { error, pause });
                    let _stopped = stop.wait(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
        Ok(outcome)
    }

    /// The group's stream.
    fn stream(&self) -> Result<Option<Name>, Error> {
        let PipelineBuilder {
            group,
            cache,
            target,
            ..
        } = &self.parts;
        let mut names = streams(cache.as_ref(), group)?;
        if let Some(head) = load_head(target.as_ref(), group)? {
            names.extend(head.manifest.streams.into_iter().map(|stream| stream.name));
        }
        names.sort();
        names.dedup();
        if names.len() > 1 {
            let known: Vec<&str> = names.iter().map(Name::as_str).collect();
            return Err(Error::invalid(format!(
                "group {group} has the streams {}; this version makes points of one stream a group, \
                 so give each source its own group",
                known.join(", ")
            )));
        }
        Ok(names.pop())
    }

    /// Runs until caught up, or with a `stop` until stopped.
    fn attempt(
        &self,
        stop: Option<&Stop>,
        outcome: &mut Outcome,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let mut waiting = false;
        let stream = loop {
            match (self.stream()?, stop) {
                (Some(stream), _) => break stream,
                (None, None) => return Ok(()),
                (None, Some(stop)) => {
                    if !waiting {
                        waiting = true;
                        watch(Event::Waiting);
                    }
                    if stop.wait(self.parts.poll) {
                        return Ok(());
                    }
                }
            }
        };
        outcome.found_stream = true;
        let PipelineBuilder {
            group,
            cache,
            target,
            clock,
            nonces,
            memory,
            upkeep,
            ..
        } = &self.parts;
        let mut ingest = Ingest::open(IngestParts {
            group: group.clone(),
            stream: stream.clone(),
            cache: Arc::clone(cache),
            target: Arc::clone(target),
            nonces: Arc::clone(nonces),
            clock: Arc::clone(clock),
            memory: *memory,
            rewind: upkeep.rewind.is_some(),
        })?;
        let mut maintenance = Maintenance::open(
            Arc::clone(target),
            Arc::clone(nonces),
            Arc::clone(clock),
            upkeep.clone(),
            ingest.head(),
        )?;
        let reader = StreamReader::new(Arc::clone(cache), group.clone(), stream, ingest.position());
        // Stops what runs beside the ingest when that has ended, other than by catching up.
        let beside = Stop::default();
        let ended = thread::scope(|scope| {
            let (to_ingest, for_ingest) = bounded(READ_AHEAD);
            let (wake, woken) = bounded(1);
            let (tell, told) = bounded(16);
            let poll = stop.map(|stop| (stop, self.parts.poll));
            let beside = &beside;
            scope.spawn(move || read(reader, poll, &to_ingest));
            scope.spawn(move || self.follow(&woken, &tell, beside));
            let driven = self.drive(
                (&mut ingest, &mut maintenance),
                for_ingest,
                (wake, told),
                (stop, beside),
                outcome,
                watch,
            );
            beside.stop();
            driven
        });
        ingest.abandon();
        ended.map_err(|error| self.explain(error, ingest.head().manifest.epoch))
    }

    /// What another worker has covered and deleted looks like a gap or like damage to the one that
    /// lost the group to it.
    fn explain(&self, error: Error, epoch: Epoch) -> Error {
        let PipelineBuilder { group, target, .. } = &self.parts;
        let suspect = matches!(error.kind(), ErrorKind::Gap | ErrorKind::Corrupt);
        match load_head(target.as_ref(), group) {
            Ok(Some(head)) if suspect && head.manifest.epoch > epoch => Error::fenced(format!(
                "group {group} is in the hands of a worker of epoch {}, this one is of epoch \
                 {epoch}; what it met is what the other one left: {error}",
                head.manifest.epoch
            )),
            _ => error,
        }
    }

    /// The ingest's loop: segments in, events out. Takes its ends of the channels whole: returning
    /// early must close them, or the others would wait for ever.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "dropping the channels stops the others"
    )]
    fn drive(
        &self,
        (ingest, maintenance): (&mut Ingest, &mut Maintenance),
        segments: Receiver<Read>,
        (wake, told): (Sender<()>, Receiver<Event>),
        (stop, beside): (Option<&Stop>, &Stop),
        outcome: &mut Outcome,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let mut since = now();
        let mut failing = Failing::default();
        let silence = never();
        let mut hear = &told;
        // Replicas may lag behind from an earlier run.
        wake_up(&wake);
        loop {
            let read = select! {
                recv(segments) -> read => read,
                recv(hear) -> event => {
                    match event {
                        Ok(event) => {
                            failing.note(&event);
                            watch(event);
                        }
                        // Nobody speaks any more; to listen on would be to spin.
                        Err(_) => hear = &silence,
                    }
                    continue;
                }
            };
            match read {
                Ok(Read::Segment(segment)) => {
                    let report = &mut |report: PointReport| {
                        outcome.points += 1;
                        outcome.source_bytes += report.source_bytes;
                        outcome.stored_bytes += report.stored_bytes;
                        let elapsed = since.elapsed();
                        since = now();
                        watch(Event::Point { report, elapsed });
                        wake_up(&wake);
                    };
                    self.pool.install(|| ingest.push(*segment, report))?;
                    self.tend(ingest, maintenance, false, stop)?;
                }
                Ok(Read::CaughtUp) => {
                    self.tend(ingest, maintenance, true, stop)?;
                    watch(Event::CaughtUp);
                }
                Ok(Read::Failed(error)) => return Err(error),
                // The reader has ended: caught up once, or stopped.
                Err(_) => break,
            }
        }
        if stop.is_some_and(Stop::is_stopped) {
            beside.stop();
        }
        drop(wake);
        for event in told {
            failing.note(&event);
            watch(event);
        }
        failing.outcome()
    }

    /// Keeps the point that a replica stands at from being pruned: from there it goes on by what
    /// changed since, and from nowhere only by being compared whole. No more depends on it.
    fn hold_stand(&self, stands: &mut Stands, report: &ReplicaReport) {
        let PipelineBuilder {
            group,
            target,
            nonces,
            clock,
            ..
        } = &self.parts;
        let now = clock();
        let held = stands.stand(target, nonces, (group, &report.disk), report.point, now);
        if let Err(error) = held {
            tracing::warn!(disk = %report.disk, %error, "the point of a replica is not held");
        }
    }

    /// Keeps the target in shape, between two segments.
    fn tend(
        &self,
        ingest: &mut Ingest,
        maintenance: &mut Maintenance,
        due: bool,
        stop: Option<&Stop>,
    ) -> Result<Tended, Error> {
        let head = ingest.head().clone();
        let mut commit = |change| ingest.commit(change);
        let mut pace = |_bytes| match stop.is_some_and(Stop::is_stopped) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        self.pool
            .install(|| maintenance.tend(head, due, &mut commit, &mut pace))
    }

    /// Brings the replicas to the newest point whenever woken; points in between are passed over.
    fn follow(&self, woken: &Receiver<()>, tell: &Sender<Event>, stop: &Stop) {
        let PipelineBuilder {
            group,
            target,
            replicas,
            ..
        } = &self.parts;
        let mut stand = None;
        let mut stands = Stands::default();
        let mut open: Vec<Option<OpenReplica>> = replicas.iter().map(|_| None).collect();
        for () in woken {
            let Some(first) = replicas.first().filter(|_| !stop.is_stopped()) else {
                continue;
            };
            let points = match Points::load(target, group) {
                Ok(points) => points,
                Err(error) => {
                    let disk = first.disk.clone();
                    if tell.send(Event::ReplicaFailed { disk, error }).is_err() {
                        return;
                    }
                    continue;
                }
            };
            let newest = ReplicaSpec::newest(&points);
            if newest.is_none() || newest == stand {
                continue;
            }
            let mut all = true;
            for (replica, open) in replicas.iter().zip(&mut open) {
                let advanced = self.pool.install(|| replica.advance(open, &points, stop));
                let event = match advanced {
                    Ok(None) => continue,
                    Ok(Some(report)) => {
                        self.hold_stand(&mut stands, &report);
                        Event::Replica(report)
                    }
                    Err(_) if stop.is_stopped() => continue,
                    Err(error) => {
                        all = false;
                        let disk = replica.disk.clone();
                        Event::ReplicaFailed { disk, error }
                    }
                };
                if tell.send(event).is_err() {
                    return;
                }
            }
            stand = newest.filter(|_| all);
        }
    }
}

/// The replicas that could not be brought forward the last time.
#[derive(Debug, Default)]
struct Failing(Vec<(Name, Error)>);

impl Failing {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Replica(report) => self.0.retain(|(disk, _)| *disk != report.disk),
            Event::ReplicaFailed { disk, error } => {
                self.0.retain(|(known, _)| known != disk);
                self.0.push((disk.clone(), error.again()));
            }
            _ => {}
        }
    }

    fn outcome(self) -> Result<(), Error> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }
}

/// What the reader hands over.
enum Read {
    Segment(Box<Segment>),
    CaughtUp,
    Failed(Error),
}

/// The reader's loop. Ends when caught up, or with `poll` when stopped, or when nobody listens.
fn read(mut reader: StreamReader, poll: Option<(&Stop, Duration)>, output: &Sender<Read>) {
    let mut idle: u32 = 0;
    loop {
        if poll.is_some_and(|(stop, _)| stop.is_stopped()) {
            return;
        }
        let next = match reader.next_segment() {
            Ok(Some(segment)) => {
                idle = 0;
                Read::Segment(Box::new(segment))
            }
            Ok(None) => {
                if idle.is_multiple_of(POLLS_PER_LISTING)
                    && let Err(error) = reader.check_no_gap()
                {
                    let _nobody = output.send(Read::Failed(error.into()));
                    return;
                }
                let Some((stop, every)) = poll else {
                    let _nobody = output.send(Read::CaughtUp);
                    return;
                };
                idle += 1;
                if idle > 1 {
                    if stop.wait(every) {
                        return;
                    }
                    continue;
                }
                Read::CaughtUp
            }
            Err(error) => {
                let _nobody = output.send(Read::Failed(error.into()));
                return;
            }
        };
        if output.send(next).is_err() {
            return;
        }
    }
}

/// One waiting wake-up is enough: whoever is woken looks for the newest point.
fn wake_up(wake: &Sender<()>) {
    match wake.try_send(()) {
        Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "timing belongs to the pipeline")]
fn now() -> Instant {
    Instant::now()
}
