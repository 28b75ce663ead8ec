//! An object store without a network that answers as one across a network does.
//!
//! What it may do beyond answering, each by the seed, and only where the contract of [`Store`] leaves
//! room for it:
//!
//! | fault | what the caller is told | what happens | the words that allow it |
//! | --- | --- | --- | --- |
//! | failed | `Unavailable`, no effect | nothing, ever | an error says by its effect whether it may have happened |
//! | unknown | `Unavailable`, effect unknown | nothing, or at once, or late: after calls of others | "it may have happened, or may happen later" |
//! | twice | `AlreadyExists`, though the object is its own | the request arrived twice, the second answer came through | `AlreadyExists` where the name is taken, by whomever |
//! | copies | what came of it | a copy arrives late once more, even after a delete of the name | none: no store promises against it |
//! | a slow list | objects created or deleted while it runs are in it or not | | "created before the call and not deleted is seen; of two objects of which one is created before the other is deleted, at least one is" |
//!
//! A slow list shows one instant whole and of the rest of its time what it likes, so that of two such
//! objects one is always seen. Reads are never stale and a list never misses what was there all the
//! time: the contract has no room for that.

mod client;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use afterimage_storage::{
    Effect, Entry, Key, MemoryStore, Operation, Store, StoreError, StoreErrorKind,
};
use bytes::Bytes;

use crate::{random::Random, turns::Turn};

pub use client::SimClient;

/// How often something goes wrong, in calls of a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFaults {
    /// Calls that fail without effect, reads among them.
    pub failed: u64,
    /// Creates and deletes of which nobody knows what came of them.
    pub unknown: u64,
    /// Creates that arrive twice at once.
    pub twice: u64,
    /// Creates and deletes of which a copy arrives once more, late.
    pub copies: u64,
    /// Lists that take a while.
    pub slow_lists: u64,
    /// Most calls after which something late arrives.
    pub late_max: u64,
}

impl StoreFaults {
    /// Nothing goes wrong.
    pub const NONE: StoreFaults = StoreFaults {
        failed: 0,
        unknown: 0,
        twice: 0,
        copies: 0,
        slow_lists: 0,
        late_max: 0,
    };
}

/// How often it went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Calls of all clients.
    pub calls: u64,
    /// Calls that failed without effect.
    pub failed: u64,
    /// Calls whose effect was unknown.
    pub unknown: u64,
    /// Requests that arrived late and still changed something.
    pub landed_late: u64,
    /// Creates of which the second answer came through.
    pub twice: u64,
}

/// The store itself; clones are the same one.
#[derive(Clone, Debug)]
pub struct SimStore {
    objects: MemoryStore,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug)]
struct Inside {
    objects: MemoryStore,
    random: Random,
    faults: StoreFaults,
    counts: SimCounts,
    requests: u64,
    /// Which request made the object that is there.
    makers: BTreeMap<Key, u64>,
    /// Requests that took effect: one that arrives again is ignored, unless it is a copy.
    done: BTreeSet<u64>,
    late: Vec<Late>,
    created: Vec<(Key, Bytes)>,
    /// What was asked and answered, where somebody wants to read it.
    log: Option<Vec<String>>,
}

/// A request on its way.
#[derive(Debug)]
struct Late {
    /// The call before which it arrives.
    at: u64,
    request: Request,
    is_copy: bool,
}

#[derive(Clone, Debug)]
struct Request {
    id: u64,
    key: Key,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Create(Bytes),
    Delete,
}

impl SimStore {
    /// An empty store.
    #[must_use]
    pub fn new(seed: u64, faults: StoreFaults) -> SimStore {
        let objects = MemoryStore::new();
        let inside = Inside {
            objects: objects.clone(),
            random: Random::new(seed),
            faults,
            counts: SimCounts::default(),
            requests: 0,
            makers: BTreeMap::new(),
            done: BTreeSet::new(),
            late: Vec::new(),
            created: Vec::new(),
            log: None,
        };
        let inside = Arc::new(Mutex::new(inside));
        SimStore { objects, inside }
    }

    /// A client whose calls fail as they do. With a turn, each request is a step of it.
    #[must_use]
    pub fn client(&self, turn: Option<Turn>) -> SimClient {
        SimClient::new(self.clone(), turn, false)
    }

    /// A client that asks again until it knows, as the one of real object stores does: a create is its
    /// own where the object that is there was made by one of its requests.
    #[must_use]
    pub fn patient_client(&self, turn: Option<Turn>) -> SimClient {
        SimClient::new(self.clone(), turn, true)
    }

    /// The objects as they are at this instant, for whoever judges: nothing fails and no call counts.
    #[must_use]
    pub fn plain(&self) -> Arc<dyn Store> {
        Arc::new(self.objects.clone())
    }

    /// Every object there ever was, in the order in which they appeared.
    #[must_use]
    pub fn created(&self) -> Vec<(Key, Bytes)> {
        self.lock().created.clone()
    }

    /// From here on every request and what came of it is written down.
    pub fn record(&self) {
        self.lock().log = Some(Vec::new());
    }

    /// What was written down since [`record`](SimStore::record), a line for each request.
    #[must_use]
    pub fn recorded(&self) -> Vec<String> {
        self.lock().log.clone().unwrap_or_default()
    }

    /// What went wrong so far.
    #[must_use]
    pub fn counts(&self) -> SimCounts {
        self.lock().counts
    }

    /// From here on nothing goes wrong any more; what is on its way still arrives.
    pub fn calm(&self) {
        self.lock().faults = StoreFaults::NONE;
    }

    /// Lets everything arrive that is on its way.
    pub fn settle_late(&self) {
        let mut inside = self.lock();
        let late = std::mem::take(&mut inside.late);
        late.into_iter().for_each(|late| inside.arrive(late));
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Begins a call: what is due by now has arrived before it.
    fn begin(&mut self) {
        self.counts.calls += 1;
        let now = self.counts.calls;
        while let Some(due) = self.late.iter().position(|late| late.at <= now) {
            let late = self.late.remove(due);
            self.arrive(late);
        }
    }

    fn happens(&mut self, share: u64) -> bool {
        share > 0 && self.random.below(1000) < share
    }

    /// Whether this call fails without effect.
    fn fails(&mut self) -> bool {
        let fails = self.happens(self.faults.failed);
        self.counts.failed += u64::from(fails);
        fails
    }

    fn arrive(&mut self, late: Late) {
        let Late {
            request, is_copy, ..
        } = late;
        if is_copy || !self.done.contains(&request.id) {
            let is_there = self.objects.size(&request.key).is_ok();
            let changes = matches!(request.change, Change::Create(_)) != is_there;
            self.counts.landed_late += u64::from(changes);
            let applied = self.apply(&request);
            self.note(None, "late", &request.key, applied.is_ok());
        }
    }

    fn note(&mut self, client: Option<usize>, what: &str, key: &Key, is_done: bool) {
        if let Some(log) = &mut self.log {
            let client = client.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let outcome = if is_done { "done" } else { "not done" };
            log.push(format!("{client} {what} {key}: {outcome}"));
        }
    }

    fn later(&mut self, request: &Request, is_copy: bool) {
        let at = self.counts.calls + 1 + self.random.below(self.faults.late_max);
        self.late.push(Late {
            at,
            request: request.clone(),
            is_copy,
        });
    }

    /// A request takes effect now.
    fn apply(&mut self, request: &Request) -> Result<(), StoreError> {
        let Request { id, key, change } = request;
        match change {
            Change::Create(body) => {
                self.objects.create(key, std::slice::from_ref(body))?;
                self.makers.insert(key.clone(), *id);
                self.created.push((key.clone(), body.clone()));
            }
            Change::Delete => {
                self.objects.delete(key)?;
                self.makers.remove(key);
            }
        }
        self.done.insert(*id);
        Ok(())
    }

    /// A request arrives, or not, and is answered.
    fn answer(&mut self, client: Option<usize>, request: &Request) -> Result<(), StoreError> {
        self.begin();
        let answer = self.decide(request);
        let what = match request.change {
            Change::Create(_) => "create",
            Change::Delete => "delete",
        };
        self.note(client, what, &request.key, answer.is_ok());
        answer
    }

    fn decide(&mut self, request: &Request) -> Result<(), StoreError> {
        let is_create = matches!(request.change, Change::Create(_));
        let operation = match request.change {
            Change::Create(_) => Operation::Create,
            Change::Delete => Operation::Delete,
        };
        let unavailable = || StoreError::new(operation, &request.key, StoreErrorKind::Unavailable);
        if self.fails() {
            return Err(unavailable());
        }
        if self.happens(self.faults.unknown) {
            self.counts.unknown += 1;
            match self.random.below(4) {
                0 => {}
                1 => drop(self.apply(request)),
                _ => self.later(request, false),
            }
            return Err(unavailable().with_effect(Effect::Unknown));
        }
        let applied = self.apply(request);
        if self.happens(self.faults.copies) {
            self.later(request, true);
        }
        if is_create && applied.is_ok() && self.happens(self.faults.twice) {
            self.counts.twice += 1;
            let kind = StoreErrorKind::AlreadyExists;
            return Err(StoreError::new(operation, &request.key, kind));
        }
        applied
    }

    /// What a list gives that began with `before` and ended with `after`.
    fn merged(&mut self, before: Vec<Entry>, after: Vec<Entry>) -> Vec<Entry> {
        // One of the two instants is seen whole, of the other what it likes.
        let (whole, part) = match self.random.below(2) {
            0 => (before, after),
            _ => (after, before),
        };
        let mut merged: BTreeMap<Key, Entry> = BTreeMap::new();
        for entry in part {
            if self.random.percent(50) {
                merged.insert(entry.key.clone(), entry);
            }
        }
        merged.extend(whole.into_iter().map(|entry| (entry.key.clone(), entry)));
        merged.into_values().collect()
    }
}
