//! A queue of one place in which the newer takes the place of the older.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Puts things in; dropping it ends whoever takes them out.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    put: Sender<T>,
    /// For taking back what nobody took.
    stale: Receiver<T>,
}

/// Such a queue.
pub(crate) fn newest<T>() -> (Newest<T>, Receiver<T>) {
    let (put, taken) = bounded(1);
    let stale = taken.clone();
    (Newest { put, stale }, taken)
}

impl<T> Newest<T> {
    /// Puts something in and never waits.
    pub(crate) fn put(&self, thing: T) {
        let mut thing = thing;
        while let Err(TrySendError::Full(again)) = self.put.try_send(thing) {
            drop(self.stale.try_recv());
            thing = again;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_taken_and_the_end_is_seen() {
        let (newest, taken) = newest();
        for number in 0..3 {
            newest.put(number);
        }
        assert_eq!(taken.recv(), Ok(2));
        newest.put(3);
        drop(newest);
        assert_eq!(taken.recv(), Ok(3));
        assert!(taken.recv().is_err());
    }
}
