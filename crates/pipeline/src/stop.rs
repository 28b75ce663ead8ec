//! Stopping a pipeline from elsewhere.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

/// Tells a running pipeline to end after what it is doing. Clones stop together.
///
/// ```
/// let stop = afterimage::Stop::default();
/// let from_a_signal = stop.clone();
/// from_a_signal.stop();
/// assert!(stop.is_stopped());
/// ```
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    /// Dropped by the first stop, which wakes everyone who waits.
    sender: Arc<Mutex<Option<Sender<()>>>>,
    receiver: Receiver<()>,
}

impl Default for Stop {
    fn default() -> Stop {
        let (sender, receiver) = bounded(0);
        Stop {
            flag: Arc::default(),
            sender: Arc::new(Mutex::new(Some(sender))),
            receiver,
        }
    }
}

impl Stop {
    /// Stops.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::Release);
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        *sender = None;
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// The flag itself, for loops that look at it often.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Waits that long, or until stopped; says whether it was stopped.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        match self.receiver.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => self.is_stopped(),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        }
    }

    /// Waits that long, or until this or the other was stopped; says whether one was.
    #[must_use]
    pub(crate) fn wait_with(&self, other: &Stop, time: Duration) -> bool {
        select! {
            recv(self.receiver) -> _stopped => {}
            recv(other.receiver) -> _stopped => {}
            default(time) => {}
        }
        self.is_stopped() || other.is_stopped()
    }
}
