//! Asking the one worker that commits for a change.

use std::sync::Arc;

use afterimage_recovery::{Change, Head};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::Error;

/// A change that somebody else than the ingest wants.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) change: Change,
    pub(crate) reply: Sender<Result<Arc<Head>, Error>>,
}

/// Asks for changes. The committer works until the last one of these is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Asker(Sender<Ask>);

/// An asker, and where its changes come out.
pub(crate) fn asking() -> (Asker, Receiver<Ask>) {
    let (ask, asked) = bounded(1);
    (Asker(ask), asked)
}

impl Asker {
    /// Has a change committed, all of which is durable already; gives the head it made.
    ///
    /// # Errors
    ///
    /// Those of [`Committer::commit`](afterimage_recovery::Committer::commit), a change that was
    /// decided on an older manifest among them: look at the newest head and decide again. `Stopped`
    /// where the ingest has ended.
    pub(crate) fn commit(&self, change: Change) -> Result<Arc<Head>, Error> {
        let (reply, replied) = bounded(1);
        let asked = self.0.send(Ask { change, reply });
        match asked.ok().and_then(|()| replied.recv().ok()) {
            Some(committed) => committed,
            None => Err(Error::stopped("the ingest that commits has ended")),
        }
    }
}
