//! A queue's bytes: who puts something in waits until there is room for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Room for so many bytes.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: u64,
    taken: Mutex<u64>,
    given_back: Condvar,
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
            taken: Mutex::new(0),
            given_back: Condvar::new(),
        }))
    }

    /// Waits until there is room for so many bytes. Something larger than all the room gets it when
    /// it is empty.
    pub(crate) fn take(&self, bytes: u64) -> Taken {
        let mut taken = self.taken();
        while *taken > 0 && taken.saturating_add(bytes) > self.0.bytes {
            let waited = self.0.given_back.wait(taken);
            taken = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        Taken {
            room: self.clone(),
            bytes,
        }
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.taken() -= self.bytes;
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
                        let taken = room.take(bytes);
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
}
