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

/// An asker, and where its changes come out. Nothing waits in between: what is left in a queue when
/// the committer ends stays there as long as somebody can still put something in, and whoever asked
/// would wait for the reply for ever.
pub(crate) fn asking() -> (Asker, Receiver<Ask>) {
    let (ask, asked) = bounded(0);
    (Asker(ask), asked)
}

impl Asker {
    /// Has a change committed, all of which is durable already; gives the head it made.
    ///
    /// # Errors
    ///
    /// Those of [`Committer::commit`](afterimage_recovery::Committer::commit), a change that was
    /// decided on an older manifest among them: look at the newest head and decide again. `Stopped`
    /// where the ingest has ended and never took the change.
    pub(crate) fn commit(&self, change: Change) -> Result<Arc<Head>, Error> {
        let (reply, replied) = bounded(1);
        if self.0.send(Ask { change, reply }).is_err() {
            return Err(Error::stopped("the ingest that commits has ended"));
        }
        let unknown = || Error::unavailable("the ingest that commits did not say what came of it");
        replied.recv().unwrap_or_else(|_| Err(unknown()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;

    /// The change had been put in when the committer ended, and nobody ever took it out.
    #[test]
    fn who_has_asked_when_the_committer_ends_is_told() {
        let (asker, asks) = asking();
        let (tell, told) = bounded(1);
        let builder = std::thread::Builder::new();
        let work = move || tell.send(asker.commit(Change::default()));
        let asking = builder.spawn(work).unwrap();
        let early = told.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err(), "nobody has committed it");
        drop(asks);
        let told = told.recv_timeout(Duration::from_secs(60));
        let refused = told.expect("whoever asked is told").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Stopped);
        asking.join().unwrap().unwrap();
    }
}
