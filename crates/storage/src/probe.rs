//! Whether a store does what everything rests on: of many creates of one name exactly one succeeds.
//!
//! Several servers that speak S3 take the condition of a create and do not keep it, or not when creates
//! race. With those, two workers would both believe that they had committed.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use bytes::Bytes;

use crate::{
    error::{StoreError, StoreErrorKind},
    key::Key,
    nonce::Nonces,
    store::Store,
};

/// Creates that race for one name.
const RACERS: usize = 8;
/// Races, all at once: whoever starts a worker waits for them.
const RACES: usize = 4;

/// Why a store cannot be used by more than one worker.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It could not be probed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It broke the contract.
    #[error("{key}: {what}")]
    Broken {
        /// The object.
        key: Key,
        /// What it did.
        what: String,
    },
}

/// Races creates in a store and reads back what came of them; leaves nothing behind where it may delete.
///
/// # Errors
///
/// The store failed, or it does not keep the contract.
///
/// # Panics
///
/// Where the system has no threads for the racers.
pub fn probe(store: &Arc<dyn Store>, nonces: &Nonces) -> Result<(), ProbeError> {
    let id = nonces.next_text();
    let folder = Key::new(&format!("afterimage-probe/{id}")).expect("hexadecimal digits are a key");
    let names: Vec<Key> = (0..RACES)
        .map(|round| folder.join(&round.to_string()).expect("a number is a part"))
        .collect();
    let probed = thread::scope(|scope| {
        let races = names.iter().map(|name| scope.spawn(|| race(store, name)));
        let races: Vec<_> = races.collect();
        races.into_iter().try_for_each(joined)
    });
    let probed = probed.and_then(|()| listed(store, &folder, &names));
    let deleted = store.delete_all(&names);
    probed?;
    match deleted {
        // An agent is not to delete anything: these few stay.
        Err(error) if error.kind == StoreErrorKind::Denied => return Ok(()),
        deleted => deleted?,
    }
    thread::scope(|scope| {
        let looks = names
            .iter()
            .map(|name| scope.spawn(|| is_gone(store, name)));
        let looks: Vec<_> = looks.collect();
        looks.into_iter().try_for_each(joined)
    })
}

fn is_gone(store: &Arc<dyn Store>, name: &Key) -> Result<(), ProbeError> {
    match store.size(name) {
        Ok(_) => Err(broken(name, "it can be read after it was deleted")),
        Err(_) => Ok(()),
    }
}

fn broken(key: &Key, what: impl Into<String>) -> ProbeError {
    ProbeError::Broken {
        key: key.clone(),
        what: what.into(),
    }
}

fn body(racer: usize) -> Bytes {
    Bytes::from(format!("racer {racer} of {RACERS}"))
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    let joined = thread.join();
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn race(store: &Arc<dyn Store>, name: &Key) -> Result<(), ProbeError> {
    let start = Barrier::new(RACERS);
    let outcomes: Vec<Result<(), StoreError>> = thread::scope(|scope| {
        let racer = |number: usize| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                store.create(name, &[body(number)])
            })
        };
        let racers: Vec<_> = (0..RACERS).map(racer).collect();
        racers.into_iter().map(joined).collect()
    });
    let mut winners = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(()) => winners.push(number),
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [winner] = winners.as_slice() else {
        let what = format!(
            "{} of {RACERS} creates of this one name were reported as done",
            winners.len()
        );
        return Err(broken(name, what));
    };
    if store.read(name)? != body(*winner) {
        let what = "it does not hold what the create wrote that was reported as done";
        return Err(broken(name, what));
    }
    match store.create(name, &[body(RACERS)]) {
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(broken(name, "it was overwritten by a create")),
    }
}

fn listed(store: &Arc<dyn Store>, folder: &Key, names: &[Key]) -> Result<(), ProbeError> {
    let listed = store.list(folder, None, names.len() + 1)?;
    if listed.iter().map(|entry| &entry.key).eq(names) {
        return Ok(());
    }
    let what = "a list does not show what was created before it";
    Err(broken(folder, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::MemoryStore,
        store::{Entry, Tail, Upload},
    };
    use std::ops::Range;

    /// What a store gets wrong.
    #[derive(Clone, Copy, Debug)]
    enum Wrong {
        /// A create replaces what is there.
        Overwrites,
        /// A create that lost is reported as done.
        Lies,
        /// The newest object is not listed.
        ListsLate,
    }

    #[derive(Debug)]
    struct Broken(MemoryStore, Wrong);

    impl Store for Broken {
        fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
            match self.1 {
                Wrong::Overwrites => {
                    self.0.delete(key)?;
                    let _lost = self.0.create(key, body);
                    Ok(())
                }
                Wrong::Lies => {
                    let _lost = self.0.create(key, body);
                    Ok(())
                }
                Wrong::ListsLate => self.0.create(key, body),
            }
        }
        fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
            self.0.upload(key)
        }
        fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
            self.0.read(key)
        }
        fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
            self.0.read_range(key, range)
        }
        fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
            self.0.read_tail(key, bytes_max)
        }
        fn size(&self, key: &Key) -> Result<u64, StoreError> {
            self.0.size(key)
        }
        fn list(&self, at: &Key, after: Option<&Key>, n: usize) -> Result<Vec<Entry>, StoreError> {
            let mut listed = self.0.list(at, after, n)?;
            listed.pop();
            Ok(listed)
        }
        fn delete(&self, key: &Key) -> Result<(), StoreError> {
            self.0.delete(key)
        }
        fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
            self.0.settle(prefix)
        }
    }

    #[test]
    fn a_good_store_passes_and_nothing_is_left() {
        let memory = MemoryStore::new();
        let store: Arc<dyn Store> = Arc::new(memory.clone());
        probe(&store, &Nonces::seeded(1)).unwrap();
        let all = Key::new("afterimage-probe").unwrap();
        assert!(memory.list(&all, None, 1).unwrap().is_empty());
    }

    #[test]
    fn a_store_that_breaks_the_contract_is_found_out() {
        for (wrong, said) in [
            (Wrong::Overwrites, "creates of this one name"),
            (Wrong::Lies, "creates of this one name"),
            (Wrong::ListsLate, "a list does not show"),
        ] {
            let store: Arc<dyn Store> = Arc::new(Broken(MemoryStore::new(), wrong));
            let error = probe(&store, &Nonces::seeded(1)).unwrap_err();
            assert!(error.to_string().contains(said), "{wrong:?}: {error}");
        }
    }
}
