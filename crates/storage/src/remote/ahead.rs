//! Ranges fetched before they are asked for.
//!
//! A task goes through the ranges in their order and starts a fetch for each as long as there is room for
//! its bytes; the room is given back when the bytes are taken. Whoever asks for a range that has
//! not been begun fetches it for himself, so nobody waits for room that others hold.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use object_store::GetRange;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    task::JoinHandle,
};

use super::{Shared, kibibytes};
use crate::{error::StoreError, key::Key, read_ahead::ReadAhead};

type Fetched = Result<Bytes, StoreError>;

/// Ranges on their way.
#[derive(Debug)]
pub(super) struct Fetching {
    shared: Arc<Shared>,
    slots: Arc<[Slot]>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    range: Range<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nobody has begun with it.
    Waiting,
    /// It is coming, and holds its room.
    Coming(oneshot::Receiver<Fetched>, OwnedSemaphorePermit),
    /// It was taken.
    Taken,
}

impl Fetching {
    pub(super) fn begin(shared: &Arc<Shared>, wanted: &[(Key, Range<u64>)]) -> Fetching {
        let slots: Arc<[Slot]> = wanted
            .iter()
            .map(|(key, range)| Slot {
                key: key.clone(),
                range: range.clone(),
                state: Mutex::new(State::Waiting),
            })
            .collect();
        let task = shared
            .runtime
            .spawn(go_through(Arc::clone(shared), Arc::clone(&slots)));
        Fetching {
            shared: Arc::clone(shared),
            slots,
            task,
        }
    }
}

async fn go_through(shared: Arc<Shared>, slots: Arc<[Slot]>) {
    for number in 0..slots.len() {
        let Some(slot) = slots.get(number) else {
            return;
        };
        if !slot.is_waiting() {
            continue;
        }
        let bytes = usize::try_from(slot.range.end - slot.range.start).unwrap_or(usize::MAX);
        let permits = kibibytes(bytes).min(kibibytes(super::AHEAD_BYTES_MAX));
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&shared.ahead).acquire_many_owned(permits).await else {
            return;
        };
        let (mut give, coming) = oneshot::channel();
        if !slot.set_coming(coming, room) {
            continue;
        }
        let (shared, slots) = (Arc::clone(&shared), Arc::clone(&slots));
        tokio::spawn(async move {
            if let Some(slot) = slots.get(number) {
                let fetched = tokio::select! {
                    fetched = slot.fetch(&shared) => fetched,
                    () = give.closed() => return,
                };
                // Whoever wanted it may have gone.
                let _nobody = give.send(fetched);
            }
        });
    }
}

impl Slot {
    fn is_waiting(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Waiting)
    }

    fn set_coming(&self, coming: oneshot::Receiver<Fetched>, room: OwnedSemaphorePermit) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Waiting) {
            return false;
        }
        *state = State::Coming(coming, room);
        true
    }

    async fn fetch(&self, shared: &Shared) -> Fetched {
        let Range { start, end } = self.range;
        let range = Some(GetRange::Bounded(start..end));
        let _permit = shared.in_flight.acquire().await;
        Ok(shared.fetch(&self.key, range).await?.1)
    }
}

impl ReadAhead for Fetching {
    fn take(&self, number: usize) -> Option<Result<Bytes, StoreError>> {
        let slot = self.slots.get(number)?;
        let state = {
            let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Taken)
        };
        match state {
            State::Taken => None,
            State::Waiting => Some(self.shared.runtime.block_on(slot.fetch(&self.shared))),
            State::Coming(coming, room) => {
                let fetched = self.shared.runtime.block_on(coming);
                drop(room);
                fetched.ok()
            }
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
        // The receivers end with their slots, and with them the fetches and their room.
        for slot in self.slots.iter() {
            let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = State::Taken;
        }
    }
}
