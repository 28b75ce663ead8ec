//! A pipeline: its settings, its runs, and what is told of them.

use std::{num::NonZeroUsize, sync::Arc, thread, time::Duration};

use afterimage_cache::streams;
use afterimage_changelog::{Epoch, Name};
use afterimage_recovery::load_head;
use afterimage_storage::{Nonces, Store};

use crate::{
    clock::{Clock, system_clock},
    driver::Driver,
    error::{Error, ErrorKind},
    figures::{BILLED_CREW, CREW, Figures},
    in_use::InUse,
    ingest::{IngestParts, PointReport},
    maintain::{Tended, Tools, Upkeep, Upkeeping},
    replicas::{ReplicaReport, ReplicaSpec},
    stages,
    stop::Stop,
    tend::say_ended,
};

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The least memory it can work in, in MiB; with an object store, which has many large requests on their
/// way; and where replicas are fetched from one besides. Measured in docs/object-stores.md.
const MEMORY_MIB_MIN: u64 = 64;
const BILLED_MEMORY_MIB_MIN: u64 = 256;
const BILLED_REPLICAS_MEMORY_MIB_MIN: u64 = 512;

/// What happens while a pipeline runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A point was committed. The segments that it covers are deleted behind it, before the run ends.
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
    /// Something was done to keep the target in shape.
    Upkeep(Tended),
    /// The target could not be kept in shape; points go on, and it is tried again.
    UpkeepFailed {
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
    /// Segments read.
    pub segments: u64,
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
    upkeep_pool: rayon::ThreadPool,
    /// Where replicas are moved that are read from a server: whoever waits for it keeps a thread for long,
    /// and is not to keep one of the stages.
    replica_pool: Option<rayon::ThreadPool>,
    figures: Arc<Figures>,
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

    /// Bytes of memory to stay under. Default 512 MiB, at least 64 MiB; with an object store 256 MiB,
    /// and 512 MiB where replicas are fetched from one.
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
    /// indexes, compaction.
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
        let is_billed = self.cache.is_billed() || self.target.is_billed();
        let has_fetched_replicas = self.target.is_billed() && !self.replicas.is_empty();
        let (least, with) = match (is_billed, has_fetched_replicas) {
            (false, _) => (MEMORY_MIB_MIN, ""),
            (true, false) => (BILLED_MEMORY_MIB_MIN, " with an object store"),
            (true, true) => (
                BILLED_REPLICAS_MEMORY_MIB_MIN,
                " with replicas that are fetched from an object store",
            ),
        };
        if self.memory >> 20 < least {
            let what = format!("the memory limit is at least {least}MiB{with}");
            return Err(Error::invalid(what));
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
        let pool = |threads: usize, name: &'static str| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |number| format!("{name}-{number}"))
                .build()
                .map_err(|error| Error::invalid(format!("threads cannot be started: {error}")))
        };
        // Whoever waits for a server keeps a thread of the pool.
        let (crew, waiting) = match is_billed {
            true => (BILLED_CREW, BILLED_CREW),
            false => (CREW, 0),
        };
        let figures = Figures::new(&self.group, Arc::clone(&self.clock), crew);
        let replica_pool = has_fetched_replicas.then(|| pool(self.threads, "replica"));
        Ok(Pipeline {
            replica_pool: replica_pool.transpose()?,
            pool: pool(self.threads + waiting, "afterimage")?,
            upkeep_pool: pool(1, "upkeep")?,
            parts: self,
            figures: Arc::new(figures),
        })
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

    /// What it does, for whoever wants to look while it runs.
    #[must_use]
    pub const fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Runs until every complete interval in the cache is a point and the replicas stand there. Layers
    /// are compacted while points are made and not longer: what remains is for the next run, or for
    /// [`Tend`](crate::Tend).
    ///
    /// # Errors
    ///
    /// Whatever stops it; what was committed until then stays, and the next run goes on behind it.
    pub fn run_once(&self, watch: &mut Watch<'_>) -> Result<Outcome, Error> {
        let mut run = Run::default();
        let ended = self.attempt(None, &mut run, watch);
        self.end(&run, ended)
    }

    /// Runs until stopped. A store that does not answer or is full is tried again, with pauses of up
    /// to half a minute.
    ///
    /// # Errors
    ///
    /// What waiting cannot mend: a gap, damage, another worker, a disk that failed.
    pub fn run(&self, stop: &Stop, watch: &mut Watch<'_>) -> Result<Outcome, Error> {
        let mut run = Run::default();
        let ended = self.run_until(stop, &mut run, watch);
        self.end(&run, ended)
    }

    fn run_until(&self, stop: &Stop, run: &mut Run, watch: &mut Watch<'_>) -> Result<(), Error> {
        let mut pause = Duration::from_secs(1);
        while !stop.is_stopped() {
            let before = run.outcome.points;
            match self.attempt(Some(stop), run, watch) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    if run.outcome.points > before {
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
        Ok(())
    }

    /// Says that the run has ended, whatever it ended with: none of its threads is there any more.
    fn end(&self, run: &Run, ended: Result<(), Error>) -> Result<Outcome, Error> {
        if let Some(epoch) = run.epoch {
            say_ended(&self.parts.target, &self.parts.group, epoch);
        }
        ended.map(|()| run.outcome)
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
        run: &mut Run,
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
        run.outcome.found_stream = true;
        let PipelineBuilder {
            group,
            cache,
            target,
            clock,
            nonces,
            memory,
            replicas,
            ..
        } = &self.parts;
        let parts = IngestParts {
            group: group.clone(),
            stream,
            cache: Arc::clone(cache),
            target: Arc::clone(target),
            nonces: Arc::clone(nonces),
            clock: Arc::clone(clock),
            memory: *memory,
            rewind: self.parts.upkeep.rewind.is_some(),
        };
        let stages = stages::open(&parts)?;
        let epoch = stages.commits.head().manifest.epoch;
        run.epoch = Some(epoch);
        let in_use = InUse::default();
        let upkeeping = Upkeeping {
            tools: Tools {
                group: group.clone(),
                target: Arc::clone(target),
                nonces: Arc::clone(nonces),
                clock: Arc::clone(clock),
                upkeep: self.parts.upkeep.clone(),
                memory: parts.upkeep_memory(),
                in_use: in_use.clone(),
            },
            pool: &self.upkeep_pool,
            figures: &self.figures,
        };
        let driver = Driver {
            parts: &parts,
            pool: &self.pool,
            replica_pool: self.replica_pool.as_ref().unwrap_or(&self.pool),
            replicas,
            in_use: &in_use,
            poll: stop.map(|stop| (stop, self.parts.poll)),
            figures: &self.figures,
            maintain: &|beside| upkeeping.run(beside),
        };
        let mut failing = Failing::default();
        let segments_before = self.figures.segments();
        let ran = driver.run(stages, &mut |event| {
            failing.note(&event);
            if let Event::Point { report, .. } = &event {
                run.outcome.points += 1;
                run.outcome.source_bytes += report.source_bytes;
                run.outcome.stored_bytes += report.stored_bytes;
            }
            watch(event);
        });
        run.outcome.segments += self.figures.segments() - segments_before;
        ran.map_err(|error| self.explain(error, epoch))?;
        failing.outcome()
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
}

/// What one run came to so far.
#[derive(Debug, Default)]
struct Run {
    outcome: Outcome,
    /// With which it took the group over, the last time that it did.
    epoch: Option<Epoch>,
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

#[cfg(test)]
mod tests {
    use afterimage_storage::{Address, MemoryStore, RemoteStore};

    use super::*;

    #[test]
    fn less_memory_than_it_takes_is_refused() {
        let local: Arc<dyn Store> = Arc::new(MemoryStore::default());
        // Nobody is asked before the pipeline runs.
        let address = Address::parse("s3://bucket?region=r").unwrap().unwrap();
        let remote: Arc<dyn Store> = Arc::new(RemoteStore::connect(address).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaSpec {
            disk: "root".parse().unwrap(),
            path: folder.path().join("root.raw"),
            record: None,
            take_over: false,
        };
        for (cache, target, replicas, least) in [
            (&local, &local, 0, 64),
            (&local, &local, 1, 64),
            (&remote, &local, 0, 256),
            (&local, &remote, 0, 256),
            (&remote, &local, 1, 256),
            (&local, &remote, 1, 512),
            (&remote, &remote, 1, 512),
        ] {
            let build = |bytes| {
                let builder =
                    Pipeline::builder("g".parse().unwrap(), Arc::clone(cache), Arc::clone(target));
                let replicas = std::iter::repeat_n(replica.clone(), replicas);
                let builder = replicas.fold(builder, PipelineBuilder::replica);
                builder.memory(bytes).build()
            };
            let error = build((least << 20) - 1).unwrap_err().to_string();
            assert!(error.contains(&format!("at least {least}MiB")), "{error}");
            build(least << 20).unwrap();
        }
    }
}
