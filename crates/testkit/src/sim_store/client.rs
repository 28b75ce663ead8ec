//! One client of a simulated object store.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use afterimage_storage::{
    Effect, Entry, Key, Operation, Store, StoreError, StoreErrorKind, Tail, Upload,
};
use bytes::{Bytes, BytesMut};

use super::{Change, Request, SimStore};
use crate::turns::Turn;

/// How often a patient client asks.
const PATIENCE: u32 = 30;

/// A client of a [`SimStore`].
#[derive(Clone, Debug)]
pub struct SimClient {
    store: SimStore,
    turn: Option<Turn>,
    is_patient: bool,
    /// Whether the last request was to change something.
    has_changed: Arc<AtomicBool>,
}

impl SimClient {
    pub(super) fn new(store: SimStore, turn: Option<Turn>, is_patient: bool) -> SimClient {
        SimClient {
            store,
            turn,
            is_patient,
            has_changed: Arc::default(),
        }
    }

    /// Before a change it matters who sleeps, and directly behind one.
    fn step(&self, matters: bool) {
        if let Some(turn) = &self.turn {
            turn.step(matters | self.has_changed.swap(false, Ordering::Relaxed));
        }
    }

    fn request(&self, key: &Key, change: Change) -> Request {
        let mut inside = self.store.lock();
        inside.requests += 1;
        Request {
            id: inside.requests,
            key: key.clone(),
            change,
        }
    }

    fn send(&self, request: &Request) -> Result<(), StoreError> {
        self.step(true);
        let client = self.turn.as_ref().map(Turn::number);
        self.has_changed.store(true, Ordering::Relaxed);
        self.store.lock().answer(client, request)
    }

    fn create_whole(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let request = self.request(key, Change::Create(body));
        if !self.is_patient {
            return self.send(&request);
        }
        let mut last = self.send(&request);
        let mut is_in_doubt = false;
        for _ in 0..PATIENCE {
            let Err(error) = last else {
                return Ok(());
            };
            is_in_doubt |= error.effect == Effect::Unknown;
            match self.is_made_by(&request) {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => {
                    let kind = StoreErrorKind::AlreadyExists;
                    return Err(StoreError::new(Operation::Create, key, kind));
                }
                Ok(None) => is_in_doubt |= error.kind == StoreErrorKind::AlreadyExists,
                Err(_) => is_in_doubt = true,
            }
            last = self.send(&request);
        }
        last.map_err(|error| {
            let unclear = StoreError::new(error.operation, key, StoreErrorKind::Unavailable);
            let is_clear = !is_in_doubt && error.effect == Effect::None;
            unclear.with_effect(if is_clear {
                Effect::None
            } else {
                Effect::Unknown
            })
        })
    }

    /// Whether the object that is there comes of this request; `None` where there is none.
    fn is_made_by(&self, request: &Request) -> Result<Option<bool>, StoreError> {
        self.once(Operation::Read, &request.key, false, || {
            let inside = self.store.lock();
            let maker = inside.makers.get(&request.key);
            Ok(maker.map(|maker| *maker == request.id))
        })
    }

    /// One request that changes nothing.
    fn once<T>(
        &self,
        operation: Operation,
        key: &Key,
        matters: bool,
        ask: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.step(matters);
        let mut inside = self.store.lock();
        inside.begin();
        let fails = inside.fails();
        let client = self.turn.as_ref().map(Turn::number);
        inside.note(client, "ask of", key, !fails);
        drop(inside);
        if fails {
            let kind = StoreErrorKind::Unavailable;
            return Err(StoreError::new(operation, key, kind));
        }
        ask()
    }

    fn ask<T>(
        &self,
        operation: Operation,
        key: &Key,
        ask: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.tried(|| self.once(operation, key, false, &ask))
    }

    fn tried<T>(&self, call: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut last = call();
        for _ in 0..PATIENCE {
            match last {
                Err(error) if self.is_patient && error.kind == StoreErrorKind::Unavailable => {
                    last = call();
                }
                other => return other,
            }
        }
        last
    }

    fn list_once(&self, prefix: &Key, after: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        let now = || self.store.objects.list(prefix, after, usize::MAX);
        let before = self.once(Operation::List, prefix, true, now)?;
        let mut inside = self.store.lock();
        let slow_lists = inside.faults.slow_lists;
        let is_slow = self.turn.is_some() && inside.happens(slow_lists);
        drop(inside);
        if !is_slow {
            return Ok(before);
        }
        self.step(true);
        let after = now()?;
        Ok(self.store.lock().merged(before, after))
    }
}

impl Store for SimClient {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        self.create_whole(key, joined(body))
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(SimUpload {
            client: self.clone(),
            key: key.clone(),
            pieces: Vec::new(),
        }))
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        self.ask(Operation::Read, key, || self.store.objects.read(key))
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let read = || self.store.objects.read_range(key, range.clone());
        self.ask(Operation::Read, key, read)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        let read = || self.store.objects.read_tail(key, bytes_max);
        self.ask(Operation::Read, key, read)
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.ask(Operation::Size, key, || self.store.objects.size(key))
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut listed = self.tried(|| self.list_once(prefix, after))?;
        listed.truncate(limit);
        Ok(listed)
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let request = self.request(key, Change::Delete);
        self.tried(|| self.send(&request))
    }

    fn settle(&self, _prefix: &Key) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Debug)]
struct SimUpload {
    client: SimClient,
    key: Key,
    pieces: Vec<Bytes>,
}

impl Upload for SimUpload {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.pieces.push(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.client.create_whole(&self.key, joined(&self.pieces))
    }
}

fn joined(pieces: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}
