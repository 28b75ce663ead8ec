//! A queue's bytes: who puts something in waits until there is room for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Room for so many bytes.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: u64,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    /// Whether what is taken may never be given back.
    closed: bool,
}

/// Closes a room when it is dropped, even by a panic.
#[derive(Debug)]
pub(crate) struct Closes(pub(crate) Room);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.0.given_back.notify_all();
    }
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Room,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Room {
        Room(Arc::new(Shared {
            bytes,
            state: Mutex::default(),
            given_back: Condvar::new(),
        }))
    }

    /// Waits until there is room for so many bytes. Something larger than all the room gets it when
    /// it is empty. `None` once the room is closed: what waits in a queue that nobody takes from is
    /// not dropped before both of its ends are.
    pub(crate) fn take(&self, bytes: u64) -> Option<Taken> {
        let mut state = self.state();
        while !state.closed && state.taken > 0 && state.taken.saturating_add(bytes) > self.0.bytes {
            let waited = self.0.given_back.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.taken += bytes;
        Some(Taken {
            room: self.clone(),
            bytes,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.state().taken -= self.bytes;
        self.room.0.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_taken_at_once_is_never_more_than_the_room_or_one_thing() {
        let room = Room::new(100);
        let (inside, things) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for worker in 1..=4u64 {
                let (room, inside, things) = (&room, &inside, &things);
                scope.spawn(move || {
                    for turn in 0..500 {
                        let bytes = (worker * 37 + turn * 11) % 130;
                        let taken = room.take(bytes).unwrap();
                        let bytes_now = inside.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        let things_now = things.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(bytes_now <= 100 || things_now == 1 || bytes == 0);
                        inside.fetch_sub(bytes, Ordering::SeqCst);
                        things.fetch_sub(1, Ordering::SeqCst);
                        drop(taken);
                    }
                });
            }
        });
    }

    /// The mover ended with parts in its queue, whose room nobody gave back.
    #[test]
    fn who_waits_for_room_is_told_when_it_is_closed() {
        let room = Room::new(100);
        let _never_given_back = room.take(80).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| room.take(30).is_none());
            drop(Closes(room.clone()));
            assert!(waiting.join().unwrap());
        });
        assert!(room.take(1).is_none());
    }
}
