//! The loops of the cutter, the mover and the sealers, and what they hand on.
//!
//! A loop ends when nothing more comes in, when nobody takes what it hands on, or when it fails.
//! What it handed on before is worked off by those behind it.

use std::sync::Arc;

use afterimage_cache::Segment;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Flow, Told, room::Room, room::Taken};
use crate::{
    error::Error,
    figures::{Figures, Stage},
    ingest::IngestParts,
    stages::{Cutter, Moved, Mover, Part, Sealed},
    stop::Stop,
};

/// A part, and the memory it takes.
#[derive(Debug)]
pub(super) struct Sized {
    part: Part,
    taken: Taken,
}

/// Where a part comes out that is being sealed. Tickets are in the order of the parts, whatever is
/// sealed first.
pub(super) type Ticket = Receiver<Result<Sealed, Error>>;

/// A part to be sealed, and where to put it then.
#[derive(Debug)]
pub(super) struct ToSeal {
    moved: Moved,
    reply: Sender<Result<Sealed, Error>>,
}

/// What the loops share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<'a> {
    pub(super) parts: &'a IngestParts,
    pub(super) pool: &'a rayon::ThreadPool,
    pub(super) figures: &'a Figures,
    /// Set when what is handed on will not be committed.
    pub(super) halt: &'a Stop,
}

/// Why a loop ended before its input did.
#[derive(Debug)]
pub(super) enum End {
    /// It failed.
    Failed(Error),
    /// Nobody takes what it hands on; whoever does not has said why.
    Gone,
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
    }
}

/// Tells why a loop failed.
pub(super) fn tell_end(ended: Result<(), End>, tell: &Sender<Told>) {
    if let Err(End::Failed(error)) = ended {
        let _nobody = tell.send(Told::Failed(error));
    }
}

impl Shared<'_> {
    fn check_halt(&self) -> Result<(), End> {
        match self.halt.is_stopped() {
            true => Err(End::Gone),
            false => Ok(()),
        }
    }

    /// Segments in, parts out; waits where the parts would take more than their share of memory.
    pub(super) fn cut(
        &self,
        mut cutter: Cutter,
        room: &Room,
        input: &Receiver<Flow<Box<Segment>>>,
        output: &Sender<Flow<Sized>>,
    ) -> Result<(), End> {
        for next in input {
            self.figures.waiting(Stage::Cut, input.len());
            let Flow::Next(segment) = next else {
                output.send(Flow::CaughtUp).map_err(|_| End::Gone)?;
                continue;
            };
            let busy = |work: &mut dyn FnMut() -> Result<Option<Part>, Error>| {
                self.figures.busy(Stage::Cut, 0, work)
            };
            cutter.push(*segment)?;
            while let Some(part) = busy(&mut || cutter.pull())? {
                self.check_halt()?;
                self.figures.cut(part.counts);
                let sized = Sized {
                    taken: room.take(part.memory()).ok_or(End::Gone)?,
                    part,
                };
                output.send(Flow::Next(sized)).map_err(|_| End::Gone)?;
                self.figures.waiting(Stage::Move, output.len());
            }
        }
        Ok(())
    }

    /// Parts in, written layers out: to the sealers, and a ticket for each to the committer.
    pub(super) fn move_parts(
        &self,
        mover: &Mover,
        input: &Receiver<Flow<Sized>>,
        seal: &Sender<ToSeal>,
        output: &Sender<Flow<Ticket>>,
    ) -> Result<(), End> {
        for next in input {
            self.figures.waiting(Stage::Move, input.len());
            self.check_halt()?;
            let Flow::Next(Sized { part, taken }) = next else {
                output.send(Flow::CaughtUp).map_err(|_| End::Gone)?;
                continue;
            };
            let work = || self.pool.install(|| mover.move_part(part));
            let moved = self.figures.busy(Stage::Move, 0, work)?;
            drop(taken);
            self.figures.moved(moved.layers.written());
            let (reply, ticket) = bounded(1);
            let refused = seal.send(ToSeal { moved, reply });
            if let Err(refused) = refused {
                let IngestParts { target, group, .. } = self.parts;
                refused.into_inner().moved.abandon(target.as_ref(), group);
                return Err(End::Gone);
            }
            // Where nobody takes the ticket the committer has ended, and looked for it before.
            output.send(Flow::Next(ticket)).map_err(|_| End::Gone)?;
            self.figures.waiting(Stage::Commit, output.len());
        }
        Ok(())
    }

    /// Written layers in, durable ones out.
    pub(super) fn seal(&self, number: usize, input: &Receiver<ToSeal>) {
        let IngestParts { target, group, .. } = self.parts;
        let target = Arc::clone(target);
        for ToSeal { moved, reply } in input {
            if self.halt.is_stopped() {
                moved.abandon(target.as_ref(), group);
                continue;
            }
            let work = || moved.seal(target.as_ref(), group);
            let sealed = self.figures.busy(Stage::Seal, number, work);
            if let Err(unwanted) = reply.send(sealed)
                && let Ok(sealed) = unwanted.into_inner()
            {
                sealed.abandon(target.as_ref(), group);
            }
        }
    }
}
