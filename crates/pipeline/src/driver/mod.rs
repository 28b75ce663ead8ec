//! The stages on threads of their own, joined by bounded queues.
//!
//! ```text
//! reader -> cutter -> movers -> sealers
//!              |                   v
//!              +- tickets -> committer -> acknowledger
//!                                  |
//!                                  +-> replicas, upkeep (which may ask for changes)
//! ```
//!
//! Parts are moved and sealed several at once and in any order; the committer takes them in the order
//! they were cut, all that have come into one manifest. So while one manifest waits for the disk,
//! the layers of the next one do too.
//!
//! Stopping is dropping an end: where a stage ends, those behind it work off what it handed on, and
//! those before it find that nobody listens. When what is handed on cannot be committed any more,
//! `halt` spares them the work. The first failure is the one reported.

mod ahead;
mod ask;
mod commit;
mod flow;
mod follow;
mod newest;
mod read;
mod room;
#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{Builder, Scope, scope},
    time::Duration,
};

use afterimage_cache::StreamReader;
use afterimage_changelog::Position;
use afterimage_recovery::Head;
use crossbeam_channel::{Receiver, Sender, bounded};

pub(crate) use ask::Asker;

use self::{
    ask::{Ask, asking},
    commit::Committing,
    flow::{End, Shared, tell_end},
    follow::Following,
    newest::{Newest, newest},
    read::Reading,
    room::{Closes, Room},
};
use crate::{
    clock::instant,
    error::Error,
    figures::{Figures, Stage},
    in_use::InUse,
    ingest::IngestParts,
    pipeline::Event,
    replicas::ReplicaSpec,
    stages::{Acknowledger, PART_SHARE, Stages},
    stop::Stop,
};

/// Segments whose indexes are read ahead.
const READ_AHEAD: usize = 2;
/// Parts that wait for a stage; their memory is bounded by their bytes.
const PARTS_WAITING: usize = 64;
/// Commits whose segments wait to be deleted.
const ACKNOWLEDGES_WAITING: usize = 64;
/// Segments that are deleted at a time.
const DELETES_AT_ONCE: u64 = 4;
/// Events that wait to be looked at.
const EVENTS_WAITING: usize = 16;

/// What goes down the line.
#[derive(Debug)]
pub(crate) enum Flow<T> {
    /// The next thing.
    Next(T),
    /// There was nothing more in the cache.
    CaughtUp,
}

/// What is told to whoever runs the pipeline.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something happened.
    Event(Event),
    /// A stage has failed.
    Failed(Error),
}

/// What whoever works beside the stages has.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    /// Every new head, unless there is a newer one already. When they end there are no more points.
    pub(crate) heads: Receiver<Arc<Head>>,
    /// For changes.
    pub(crate) asker: Asker,
    /// Says when to end early. The heads end soon after.
    pub(crate) stop: &'a Stop,
    tell: Sender<Told>,
}

/// Works beside the stages until the heads end.
pub(crate) type Maintain<'a> = dyn Fn(&Beside<'_>) + Sync + 'a;

/// Runs the stages of one ingest.
#[derive(Clone, Copy)]
pub(crate) struct Driver<'a> {
    pub(crate) parts: &'a IngestParts,
    pub(crate) pool: &'a rayon::ThreadPool,
    /// Where replicas are moved.
    pub(crate) replica_pool: &'a rayon::ThreadPool,
    pub(crate) replicas: &'a [ReplicaSpec],
    /// Where the replicas say what they read from.
    pub(crate) in_use: &'a InUse,
    /// How often to look for more, and until when; without it until there is nothing more.
    pub(crate) poll: Option<(&'a Stop, Duration)>,
    pub(crate) figures: &'a Figures,
    /// What keeps the target in shape.
    pub(crate) maintain: &'a Maintain<'a>,
}

/// Where those beside the stages hear of heads.
type Heads = Vec<Newest<Arc<Head>>>;

/// What stops the threads, apart from an end of a queue.
#[derive(Debug, Default)]
struct Stops {
    /// Stops the reader, when any stage failed. It cannot wait to find that nobody listens: an idle
    /// source gives it nothing to hand on.
    read: Stop,
    /// Stops the stages, when what they hand on will not be committed.
    halt: Stop,
    /// Stops what runs beside them.
    beside: Stop,
}

impl Beside<'_> {
    /// Tells of something that happened.
    pub(crate) fn tell(&self, event: Event) {
        let _nobody = self.tell.send(Told::Event(event));
    }
}

impl Stops {
    fn all(&self) {
        for stop in [&self.read, &self.halt, &self.beside] {
            stop.stop();
        }
    }
}

/// Stops all when it is dropped by a panic: what panicked is joined by nobody who still waits.
#[derive(Debug)]
struct Panics<'a>(&'a Stops);

impl Drop for Panics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.all();
        }
    }
}

impl Driver<'_> {
    /// Runs until there is nothing more, or a stage fails.
    ///
    /// # Errors
    ///
    /// The first failure of a stage; failures of replicas are events.
    pub(crate) fn run(&self, stages: Stages, watch: &mut dyn FnMut(Event)) -> Result<(), Error> {
        let stops = Stops::default();
        let mut first = None;
        scope(|scope| {
            let _panics = Panics(&stops);
            let (tell, told) = bounded(EVENTS_WAITING);
            if let Err(error) = self.start(scope, stages, &stops, &tell) {
                stops.all();
                first = Some(error);
            }
            drop(tell);
            for told in told {
                match told {
                    Told::Event(event) => watch(event),
                    Told::Failed(error) => {
                        stops.read.stop();
                        stops.beside.stop();
                        first.get_or_insert(error);
                    }
                }
            }
        });
        first.map_or(Ok(()), Err)
    }

    /// Starts a thread for each stage. Each owns its ends of the queues, so that they close wherever
    /// it ends.
    fn start<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        stages: Stages,
        stops: &'scope Stops,
        tell: &Sender<Told>,
    ) -> Result<(), Error>
    where
        Self: 'scope,
    {
        let Driver {
            parts,
            pool,
            figures,
            poll,
            ..
        } = self;
        let Stages {
            cutter,
            mover,
            commits,
            acknowledger,
            read,
            position,
        } = stages;
        let halt = &stops.halt;
        let shared = Shared {
            parts,
            pool,
            figures,
            halt,
        };
        let (to_cut, for_cut) = bounded(READ_AHEAD);
        let (to_move, for_move) = bounded(PARTS_WAITING);
        let (to_seal, for_seal) = bounded(0);
        let (to_commit, for_commit) = bounded(PARTS_WAITING);
        let (to_acknowledge, for_acknowledge) = bounded(ACKNOWLEDGES_WAITING);

        let cache = Arc::clone(&parts.cache);
        let (group, stream) = (parts.group.clone(), parts.stream.clone());
        let reading = Reading {
            reader: StreamReader::new(cache, group, stream, position),
            read,
            poll,
            failed: &stops.read,
            figures,
        };
        let told = tell.clone();
        spawn(scope, stops, "reader", move || reading.run(&to_cut, &told))?;
        let room = Room::new(parts.memory / PART_SHARE);
        let payload = Room::new(parts.memory / PART_SHARE);
        for number in 0..figures.crew() {
            let (mover, closes) = (mover.clone(), Closes(room.clone()));
            let payload = payload.clone();
            let (input, output, told) = (for_move.clone(), to_seal.clone(), tell.clone());
            spawn(scope, stops, "mover", move || {
                let _closes = closes;
                shared.move_parts(number, &mover, &payload, &input, (&output, &told));
            })?;
        }
        drop((for_move, to_seal));
        spawn_telling(scope, stops, "cutter", tell, move || {
            shared.cut(cutter, &room, &for_cut, &to_move, &to_commit)
        })?;
        for number in 0..figures.crew() {
            let input = Receiver::clone(&for_seal);
            spawn(scope, stops, "sealer", move || shared.seal(number, &input))?;
        }
        drop(for_seal);
        spawn_telling(scope, stops, "acknowledger", tell, move || {
            let ended = acknowledge(acknowledger, &for_acknowledge, figures);
            ended.inspect_err(|_| halt.stop())
        })?;
        let (heads, asks) = self.start_beside(scope, stops, tell)?;
        let committing = Committing {
            parts,
            figures,
            halt,
            beside: &stops.beside,
            stop: poll.map(|(stop, _)| stop),
            commits,
            queue: for_commit,
            asks: Some(asks),
            acknowledge: to_acknowledge,
            heads,
            tell: tell.clone(),
            first: None,
            since: instant(),
        };
        spawn(scope, stops, "committer", move || committing.run())
    }

    /// Starts what runs beside the stages; gives where it hears of heads and asks for changes.
    fn start_beside<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        stops: &'scope Stops,
        tell: &Sender<Told>,
    ) -> Result<(Heads, Receiver<Ask>), Error>
    where
        Self: 'scope,
    {
        let stop = &stops.beside;
        let following = Following {
            parts: self.parts,
            replicas: self.replicas,
            in_use: self.in_use,
            pool: self.replica_pool,
            stop,
        };
        let (replicas, for_replicas) = newest();
        let told = tell.clone();
        spawn(scope, stops, "replicas", move || {
            following.run(&for_replicas, &told);
        })?;
        let (upkeep, for_upkeep) = newest();
        let (asker, asks) = asking();
        let maintain = self.maintain;
        let beside = Beside {
            heads: for_upkeep,
            asker,
            stop,
            tell: tell.clone(),
        };
        spawn(scope, stops, "upkeep", move || maintain(&beside))?;
        Ok((vec![replicas, upkeep], asks))
    }
}

/// The acknowledger's loop. Of what waits only the newest counts.
fn acknowledge(
    mut acknowledger: Acknowledger,
    input: &Receiver<Position>,
    figures: &Figures,
) -> Result<(), End> {
    while let Ok(mut position) = input.recv() {
        while let Ok(newer) = input.try_recv() {
            position = newer;
        }
        figures.waiting(Stage::Acknowledge, input.len());
        let work = || delete_all(&acknowledger, acknowledger.covered(&position));
        figures.busy(Stage::Acknowledge, 0, work)?;
        acknowledger.deleted(&position);
    }
    Ok(())
}

/// Deletes segments, several at a time: a large one takes the system its time.
fn delete_all(acknowledger: &Acknowledger, segments: Range<u64>) -> Result<(), Error> {
    // Where requests are billed, as few as possible.
    if acknowledger.is_billed() {
        return acknowledger.delete_all(segments);
    }
    let next = AtomicU64::new(segments.start);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= segments.end {
                return Ok(());
            }
            acknowledger.delete(number)?;
        }
    };
    let there = segments.end.saturating_sub(segments.start);
    let others = there.min(DELETES_AT_ONCE).saturating_sub(1);
    scope(|scope| {
        // Where no thread is to be had there are fewer.
        let spawned = (0..others).map_while(|_| Builder::new().spawn_scoped(scope, work).ok());
        let others: Vec<_> = spawned.collect();
        let mine = work();
        let others = others.into_iter().map(|other| {
            let joined = other.join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        others.fold(mine, Result::and)
    })
}

fn spawn_telling<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stops: &'scope Stops,
    name: &str,
    tell: &Sender<Told>,
    work: impl FnOnce() -> Result<(), End> + Send + 'scope,
) -> Result<(), Error> {
    let tell = tell.clone();
    spawn(scope, stops, name, move || tell_end(work(), &tell))
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stops: &'scope Stops,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), Error> {
    let started = Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, move || {
            let _panics = Panics(stops);
            work();
        });
    let failed = |error| Error::invalid(format!("threads cannot be started: {error}"));
    started.map(drop).map_err(failed)
}
