//! The loops of the cutter, the movers and the sealers, and what they hand on.
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
struct Sized {
    part: Part,
    taken: Taken,
}

/// Where a part comes out that is being sealed. Tickets are in the order of the parts, whatever is
/// sealed first.
pub(super) type Ticket = Receiver<Result<Sealed, Error>>;

/// A part to be moved and sealed, and where to put it then.
#[derive(Debug)]
pub(super) struct ToMove {
    sized: Sized,
    reply: Sender<Result<Sealed, Error>>,
}

/// A part to be sealed, and where to put it then.
#[derive(Debug)]
pub(super) struct ToSeal {
    moved: Moved,
    reply: Sender<Result<Sealed, Error>>,
    /// Room for its payload, which is gone once it is sealed.
    payload: Taken,
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

    /// Segments in, parts out: to the movers, and a ticket for each to the committer. Waits where the
    /// parts would take more than their share of memory.
    pub(super) fn cut(
        &self,
        mut cutter: Cutter,
        room: &Room,
        input: &Receiver<Flow<Box<Segment>>>,
        to_move: &Sender<ToMove>,
        output: &Sender<Flow<Ticket>>,
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
                let (reply, ticket) = bounded(1);
                // The committer first, so that nothing is moved that it does not know of.
                output.send(Flow::Next(ticket)).map_err(|_| End::Gone)?;
                let to_be_moved = ToMove { sized, reply };
                to_move.send(to_be_moved).map_err(|_| End::Gone)?;
                self.figures.waiting(Stage::Move, to_move.len());
            }
        }
        Ok(())
    }

    /// Parts in, written layers out to the sealers. Several do this at once, on one pool of cores: every
    /// part has steps that one core does alone.
    ///
    /// A failure is told at once. What comes after it is taken and dropped, so that whoever holds its
    /// ticket learns that nothing will come.
    pub(super) fn move_parts(
        &self,
        number: usize,
        mover: &Mover,
        payload: &Room,
        input: &Receiver<ToMove>,
        (seal, tell): (&Sender<ToSeal>, &Sender<Told>),
    ) {
        for to_move in input {
            self.figures.waiting(Stage::Move, input.len());
            if let Err(end) = self.move_part(number, mover, payload, to_move, seal) {
                self.halt.stop();
                tell_end(Err(end), tell);
            }
        }
    }

    fn move_part(
        &self,
        number: usize,
        mover: &Mover,
        payload: &Room,
        ToMove { sized, reply }: ToMove,
        seal: &Sender<ToSeal>,
    ) -> Result<(), End> {
        self.check_halt()?;
        let Sized { part, taken } = sized;
        let payload_bytes = part.payload_bytes(self.parts.is_billed());
        let payload = payload.take(payload_bytes).ok_or(End::Gone)?;
        let work = || self.pool.install(|| mover.move_part(part));
        let moved = self.figures.busy(Stage::Move, number, work)?;
        drop(taken);
        self.figures.moved(moved.layers.written());
        let to_seal = ToSeal {
            moved,
            reply,
            payload,
        };
        seal.send(to_seal).map_err(|refused| {
            let IngestParts { target, group, .. } = self.parts;
            refused.into_inner().moved.abandon(target.as_ref(), group);
            End::Gone
        })
    }

    /// Written layers in, durable ones out.
    pub(super) fn seal(&self, number: usize, input: &Receiver<ToSeal>) {
        let IngestParts { target, group, .. } = self.parts;
        let target = Arc::clone(target);
        for to_seal in input {
            let ToSeal {
                moved,
                reply,
                payload,
            } = to_seal;
            if self.halt.is_stopped() {
                moved.abandon(target.as_ref(), group);
                continue;
            }
            let work = || moved.seal(target.as_ref(), group);
            let sealed = self.figures.busy(Stage::Seal, number, work);
            drop(payload);
            if let Err(unwanted) = reply.send(sealed)
                && let Ok(sealed) = unwanted.into_inner()
            {
                sealed.abandon(target.as_ref(), group);
            }
        }
    }
}
