//! Upkeep beside a running ingest: what is quick on one thread, compaction on another one.
//!
//! ```text
//! heads -> upkeep (prunes, trims, indexes, collects; asks for changes)
//!             |  ^
//!        jobs |  | what came of them
//!             v  |
//!          compactor (surveys and rewrites lists of layers)
//! ```
//!
//! So a list that takes hours to rewrite delays neither pruning nor collection. Nothing is waited for
//! when the heads end: what was rewritten by then is committed, and a list that is being rewritten is
//! left for another time.

use std::{
    sync::Arc,
    thread::{Builder, scope},
    time::{Duration, Instant},
};

use afterimage_recovery::Head;
use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};

use super::{
    Maintenance, Tended, Tools,
    compactor::{Compactor, Done, Job},
    is_stale,
    pacer::{Around, Pacer},
};
use crate::{
    clock::instant,
    driver::Beside,
    error::{Error, ErrorKind},
    figures::Figures,
    pipeline::Event,
    stop::Stop,
};

/// How long upkeep rests after it failed.
const REST: Duration = Duration::from_secs(30);

/// The upkeep of one run.
#[derive(Debug)]
pub(crate) struct Upkeeping<'a> {
    pub(crate) tools: Tools,
    /// Where lists are rewritten. Not the pool of the stages: compaction is not to be in their way.
    pub(crate) pool: &'a rayon::ThreadPool,
    pub(crate) figures: &'a Figures,
}

impl Upkeeping<'_> {
    /// Keeps the target in shape until the heads end. Failures are told and tried again: points do
    /// not depend on it.
    pub(crate) fn run(&self, beside: &Beside<'_>) {
        let (jobs, to_do) = bounded(1);
        let (report, reports) = bounded(1);
        let enough = Stop::default();
        let round = Rounds {
            upkeeping: self,
            beside,
            maintenance: None,
            newest: None,
            jobs,
            is_compacting: false,
            rests_until: None,
        };
        scope(|scope| {
            let Some(compactor) = Compactor::of(&self.tools) else {
                return round.run(&never(), &enough);
            };
            let around = Surroundings {
                stop: beside.stop,
                enough: &enough,
                figures: self.figures,
                origin: instant(),
            };
            let work = move || self.compact(&compactor, around, &to_do, &report);
            match Builder::new()
                .name("compactor".to_owned())
                .spawn_scoped(scope, work)
            {
                Ok(_) => round.run(&reports, &enough),
                Err(error) => {
                    let what = format!("threads cannot be started: {error}");
                    round.failed(Error::invalid(what));
                    round.run(&never(), &enough);
                }
            }
        });
    }

    /// The compactor's loop.
    fn compact(
        &self,
        compactor: &Compactor,
        around: Surroundings<'_>,
        jobs: &Receiver<Job>,
        report: &Sender<Done>,
    ) {
        let rate = self.tools.upkeep.compact_bytes_per_second;
        let mut pacer = Pacer::new(rate, around);
        for job in jobs {
            let mut pace = |bytes| pacer.pace(bytes);
            let done = self.pool.install(|| compactor.run(job, &mut pace));
            if report.send(done).is_err() {
                return;
            }
        }
    }
}

/// What compaction beside an ingest looks at.
#[derive(Clone, Copy, Debug)]
struct Surroundings<'a> {
    stop: &'a Stop,
    enough: &'a Stop,
    figures: &'a Figures,
    origin: Instant,
}

impl Around for Surroundings<'_> {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn is_pressed(&self) -> bool {
        self.figures.is_pressed()
    }

    fn stops(&self, wait: Duration) -> bool {
        self.stop.wait_with(self.enough, wait)
    }
}

/// Rounds of upkeep, one whenever there is a new head or a job is done.
#[derive(Debug)]
struct Rounds<'a> {
    upkeeping: &'a Upkeeping<'a>,
    beside: &'a Beside<'a>,
    /// `None` until it could be opened.
    maintenance: Option<Maintenance>,
    newest: Option<Arc<Head>>,
    jobs: Sender<Job>,
    is_compacting: bool,
    /// Set after a failure.
    rests_until: Option<Instant>,
}

impl Rounds<'_> {
    fn run(mut self, reports: &Receiver<Done>, enough: &Stop) {
        loop {
            let rested = self.rests_until.map_or_else(never, at);
            let mut done = None;
            select! {
                recv(self.beside.heads) -> head => match head {
                    Ok(head) => self.newest = Some(head),
                    Err(_) => break,
                },
                recv(reports) -> report => match report {
                    Ok(report) => done = Some(report),
                    // It panicked, which is told where threads are joined.
                    Err(_) => break,
                },
                recv(rested) -> _now => self.rests_until = None,
            }
            if done.is_some() || self.rests_until.is_none() && !self.beside.stop.is_stopped() {
                self.round(done, false);
            }
        }
        enough.stop();
        if self.is_compacting
            && let Ok(done) = reports.recv()
        {
            self.round(Some(done), false);
        }
        // There are no more points now, so nothing can wait for them.
        if !self.beside.stop.is_stopped() {
            self.round(None, true);
        }
    }

    /// Commits what came of a job, does what is quick, and hands out the next job.
    fn round(&mut self, done: Option<Done>, due: bool) {
        self.is_compacting &= done.is_none();
        let mut tended = Tended::default();
        let finished = done.map_or(Ok(()), |done| self.finish(done, &mut tended));
        // The next job would end in the same way.
        let failed = finished.as_ref().is_err_and(|error| !is_stale(error));
        // Pruning goes on where compaction failed.
        let ended = self.tend(due, &mut tended).and(finished);
        if !tended.is_nothing() {
            self.upkeeping.figures.tended(&tended);
            self.beside.tell(Event::Upkeep(tended));
        }
        if let Err(error) = ended {
            self.failed(error);
            self.rests_until = Some(instant() + REST);
        }
        if !due && !failed {
            self.hand_out();
        }
    }

    fn finish(&mut self, done: Done, tended: &mut Tended) -> Result<(), Error> {
        let Some(maintenance) = &mut self.maintenance else {
            return Ok(());
        };
        let asker = &self.beside.asker;
        maintenance.finish(done, tended, &mut |change| asker.commit(change))
    }

    fn tend(&mut self, due: bool, tended: &mut Tended) -> Result<(), Error> {
        let Some(newest) = &self.newest else {
            return Ok(());
        };
        if self.beside.stop.is_stopped() {
            return Ok(());
        }
        let maintenance = match &mut self.maintenance {
            Some(maintenance) => maintenance,
            none => none.insert(Maintenance::open(&self.upkeeping.tools, newest)?),
        };
        let asker = &self.beside.asker;
        maintenance.tend(newest, due, tended, &mut |change| asker.commit(change))
    }

    fn hand_out(&mut self) {
        if self.is_compacting || self.beside.stop.is_stopped() {
            return;
        }
        let job = self.maintenance.as_mut().and_then(Maintenance::job);
        self.is_compacting = job.is_some_and(|job| self.jobs.send(job).is_ok());
    }

    /// Tells of a failure, unless the run ends with it anyway.
    fn failed(&self, error: Error) {
        if !matches!(error.kind(), ErrorKind::Stopped | ErrorKind::Fenced) {
            self.upkeeping.figures.upkeep_failed();
            self.beside.tell(Event::UpkeepFailed { error });
        }
    }
}
