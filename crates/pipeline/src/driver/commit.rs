//! The committer's loop: sealed parts and changes of others in, manifests out.

use std::{sync::Arc, time::Instant};

use afterimage_changelog::Position;
use afterimage_recovery::Head;
use crossbeam_channel::{Receiver, Sender, TryRecvError, never, select};

use super::{
    Flow, Told,
    ask::Ask,
    flow::{End, Ticket, tell_end},
    newest::Newest,
};
use crate::{
    clock::instant,
    error::Error,
    figures::{Figures, Stage},
    ingest::IngestParts,
    pipeline::Event,
    stages::{Commits, Committed, Sealed},
    stop::Stop,
};

/// Points of one manifest at most: each is told and acknowledged only behind the commit.
const GROUP_MAX: usize = 64;

/// The one thread that commits.
#[derive(Debug)]
pub(super) struct Committing<'a> {
    pub(super) parts: &'a IngestParts,
    pub(super) figures: &'a Figures,
    pub(super) halt: &'a Stop,
    /// Stops what listens to heads.
    pub(super) beside: &'a Stop,
    /// Set where the whole is to end at the next boundary.
    pub(super) stop: Option<&'a Stop>,
    pub(super) commits: Commits,
    /// Tickets in the order of the parts.
    pub(super) queue: Receiver<Flow<Ticket>>,
    /// `None` once nobody can ask any more.
    pub(super) asks: Option<Receiver<Ask>>,
    pub(super) acknowledge: Sender<Position>,
    /// Who is told of every new head.
    pub(super) heads: Vec<Newest<Arc<Head>>>,
    pub(super) tell: Sender<Told>,
    /// The next part, if it is still being sealed.
    pub(super) first: Option<Ticket>,
    /// When the last point was committed.
    pub(super) since: Instant,
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    Part(Sealed),
    Commit,
    CaughtUp,
    Change(Ask),
}

impl Committing<'_> {
    /// Ends when all parts have come and nobody can ask for a change any more.
    pub(super) fn run(mut self) {
        self.publish();
        let ended = self.work();
        let failed = ended.is_err();
        tell_end(ended, &self.tell);
        if failed {
            self.halt.stop();
            self.beside.stop();
        }
        self.clear();
    }

    fn work(&mut self) -> Result<(), End> {
        while let Some(step) = self.next()? {
            match step {
                Step::Part(sealed) => self.commits.push(sealed),
                Step::Commit => self.commit()?,
                Step::Change(ask) => self.change(ask)?,
                Step::CaughtUp => {
                    self.commit()?;
                    self.tell(Event::CaughtUp)?;
                }
            }
        }
        if self.stop.is_some_and(Stop::is_stopped) {
            self.beside.stop();
        }
        // Whoever listens to heads may want something of the last one before he lets go.
        self.heads.clear();
        while let Some(Ok(ask)) = self.asks.as_ref().map(Receiver::recv) {
            self.change(ask)?;
        }
        Ok(())
    }

    /// What is sealed already goes into the commit; nothing is waited for while one is due.
    fn next(&mut self) -> Result<Option<Step>, End> {
        let due = self.commits.ready() > 0;
        if self.commits.ready() >= GROUP_MAX {
            return Ok(Some(Step::Commit));
        }
        let silence = never();
        loop {
            let asks = self.asks.as_ref().unwrap_or(&silence);
            if let Some(ticket) = &self.first {
                let sealed = if due {
                    match ticket.try_recv() {
                        Err(TryRecvError::Empty) => return Ok(Some(Step::Commit)),
                        Err(TryRecvError::Disconnected) => return Err(End::Gone),
                        Ok(sealed) => sealed,
                    }
                } else {
                    select! {
                        recv(ticket) -> sealed => sealed.map_err(|_| End::Gone)?,
                        recv(asks) -> ask => match ask {
                            Ok(ask) => return Ok(Some(Step::Change(ask))),
                            Err(_) => {
                                self.asks = None;
                                continue;
                            }
                        },
                    }
                };
                self.first = None;
                return Ok(Some(Step::Part(sealed?)));
            }
            let next = if due {
                match self.queue.try_recv() {
                    Err(_) => return Ok(Some(Step::Commit)),
                    Ok(next) => next,
                }
            } else {
                select! {
                    recv(self.queue) -> next => match next {
                        Ok(next) => next,
                        Err(_) => return Ok(None),
                    },
                    recv(asks) -> ask => match ask {
                        Ok(ask) => return Ok(Some(Step::Change(ask))),
                        Err(_) => {
                            self.asks = None;
                            continue;
                        }
                    },
                }
            };
            self.figures.waiting(Stage::Commit, self.queue.len());
            match next {
                Flow::CaughtUp => return Ok(Some(Step::CaughtUp)),
                Flow::Next(ticket) => self.first = Some(ticket),
            }
        }
    }

    /// Commits what is ready; then the cache may be acknowledged, and everybody is told.
    fn commit(&mut self) -> Result<(), End> {
        let work = || self.commits.commit();
        let Some(committed) = self.figures.busy(Stage::Commit, 0, work)? else {
            return Ok(());
        };
        let Committed { reports, position } = committed;
        self.figures.committed(&reports);
        let sent = self.acknowledge.send(position);
        self.figures
            .waiting(Stage::Acknowledge, self.acknowledge.len());
        self.publish();
        for report in reports {
            let elapsed = self.since.elapsed();
            self.since = instant();
            self.tell(Event::Point { report, elapsed })?;
        }
        sent.map_err(|_| End::Gone)
    }

    /// Commits what somebody asked for. A refusal is his business, unless nothing can be committed
    /// after it.
    fn change(&mut self, ask: Ask) -> Result<(), End> {
        let Ask { change, reply } = ask;
        let work = || self.commits.change(change).map(drop);
        match self.figures.busy(Stage::Commit, 0, work) {
            Ok(()) => {
                let head = self.publish();
                let _gone = reply.send(Ok(head));
                Ok(())
            }
            Err(error) => {
                let error = Error::from(error);
                if self.commits.is_in_doubt() {
                    let _gone = reply.send(Err(error.again()));
                    return Err(End::Failed(error));
                }
                let _gone = reply.send(Err(error));
                Ok(())
            }
        }
    }

    fn publish(&self) -> Arc<Head> {
        let head = Arc::new(self.commits.head().clone());
        for listener in &self.heads {
            listener.put(Arc::clone(&head));
        }
        head
    }

    fn tell(&self, event: Event) -> Result<(), End> {
        self.tell.send(Told::Event(event)).map_err(|_| End::Gone)
    }

    /// Leaves nothing at the target that no manifest names, of what was handed on.
    fn clear(mut self) {
        let IngestParts { target, group, .. } = self.parts;
        self.heads.clear();
        // Whoever asked learns that nobody commits any more; what is waited for here may need him to.
        self.asks = None;
        let waiting = self.first.take();
        let queued = self.queue.iter().filter_map(|next| match next {
            Flow::Next(ticket) => Some(ticket),
            Flow::CaughtUp => None,
        });
        for ticket in waiting.into_iter().chain(queued) {
            if let Ok(Ok(sealed)) = ticket.recv() {
                sealed.abandon(target.as_ref(), group);
            }
        }
        self.commits.abandon();
    }
}
