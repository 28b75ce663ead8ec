//! One sync of a directory for all who wait for one.
//!
//! Whoever has changed a directory needs a sync of it that began after the change. While one is running,
//! those who come wait for the next, which one of them then does for all:
//!
//! ```text
//! first    link | sync 1 ------------- |
//! second     link | waits ------------ | sync 2 ------------- |
//! third             link | waits ----- | waits -------------- |
//! ```
//!
//! A caller who is alone does exactly the sync that it would do without this.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// The syncs of all directories of a store.
#[derive(Debug, Default)]
pub(crate) struct DirSyncs {
    of_dir: Mutex<BTreeMap<PathBuf, Arc<DirSync>>>,
}

/// The syncs of one directory, numbered from 1; at most one runs at a time.
#[derive(Debug, Default)]
struct DirSync {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The last one that was begun.
    begun: u64,
    /// The last one that succeeded.
    done: u64,
    running: bool,
    waiting: usize,
    /// Why one failed. No other is begun after it, as a success would say nothing about what the
    /// first has lost.
    failed: Option<(io::ErrorKind, String)>,
}

impl DirSyncs {
    /// Returns when a sync of `dir` has succeeded that began after this call; does it by `sync`, or
    /// waits for another caller who does.
    ///
    /// # Errors
    ///
    /// That of the sync, which all who waited get, and all who come later.
    pub(crate) fn sync(&self, dir: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.of(dir).sync(sync)
    }

    fn of(&self, dir: &Path) -> Arc<DirSync> {
        let mut of_dir = locked(&self.of_dir);
        if let Some(found) = of_dir.get(dir) {
            return Arc::clone(found);
        }
        let new = Arc::<DirSync>::default();
        of_dir.insert(dir.to_path_buf(), Arc::clone(&new));
        new
    }
}

impl DirSync {
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = locked(&self.state);
        // One that is running may have passed over what the caller changed.
        let wanted = state.begun + 1;
        state.waiting += 1;
        while state.running && state.done < wanted {
            state = self
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        if let Some((kind, reason)) = &state.failed {
            return Err(io::Error::new(*kind, reason.clone()));
        }
        if state.done >= wanted {
            return Ok(());
        }
        state.begun += 1;
        state.running = true;
        let number = state.begun;
        drop(state);

        let running = Running {
            of: self,
            outcome: None,
        };
        running.end(number, sync())
    }
}

/// Lets those who wait go on when a sync has ended, even by a panic.
struct Running<'of> {
    of: &'of DirSync,
    outcome: Option<(u64, io::Result<()>)>,
}

impl Running<'_> {
    fn end(mut self, number: u64, outcome: io::Result<()>) -> io::Result<()> {
        let told = match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        self.outcome = Some((number, told));
        outcome
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.of.state);
        state.running = false;
        match self.outcome.take() {
            Some((number, Ok(()))) => state.done = number,
            Some((_, Err(error))) => state.failed = Some((error.kind(), error.to_string())),
            None => state.failed = Some((io::ErrorKind::Other, "it did not return".to_owned())),
        }
        self.of.ended.notify_all();
    }
}

/// What a panicking thread left is sound: every change is made in one step, by plain assignments.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
    };

    const LATE: usize = 5;

    /// Runs a first sync that ends with `first` when all of the others wait, whose syncs succeed. Gives
    /// what each got, and how many syncs there were.
    fn crowd(first: io::Result<()>) -> (Vec<io::Result<()>>, usize) {
        let dir = DirSync::default();
        let count = AtomicUsize::new(0);
        let (begun, begins) = mpsc::channel();
        let outcomes = thread::scope(|scope| {
            let (dir, count) = (&dir, &count);
            let early = scope.spawn(move || {
                dir.sync(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                    begun.send(()).unwrap();
                    while locked(&dir.state).waiting < LATE {
                        thread::yield_now();
                    }
                    first
                })
            });
            begins.recv().unwrap();
            let late = (0..LATE).map(|_| {
                scope.spawn(move || {
                    dir.sync(|| {
                        count.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    })
                })
            });
            let all: Vec<_> = std::iter::once(early).chain(late).collect();
            let joined = all.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });
        (outcomes, count.into_inner())
    }

    /// The first sync may have begun before the others had changed anything, so it is not theirs.
    #[test]
    fn all_who_come_during_a_sync_share_the_next() {
        let (outcomes, syncs) = crowd(Ok(()));
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(syncs, 2);
    }

    #[test]
    fn a_sync_that_fails_fails_all_who_wait_and_none_follows() {
        let (outcomes, syncs) = crowd(Err(io::Error::other("the disk is gone")));
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().to_string(), "the disk is gone");
        }
        assert_eq!(syncs, 1);
    }

    #[test]
    fn who_is_alone_syncs_each_time_until_one_fails() {
        let syncs = DirSyncs::default();
        let dir = Path::new("/a");
        let mut count = 0;
        for _ in 0..3 {
            syncs
                .sync(dir, || {
                    count += 1;
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(count, 3);
        syncs
            .sync(dir, || Err(io::ErrorKind::StorageFull.into()))
            .unwrap_err();
        let error = syncs.sync(dir, || panic!("none follows")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        syncs.sync(Path::new("/b"), || Ok(())).unwrap();
    }

    #[test]
    fn a_sync_that_panics_leaves_nobody_waiting() {
        let dir = DirSync::default();
        let (begun, begins) = mpsc::channel();
        thread::scope(|scope| {
            let dir = &dir;
            let panicking = scope.spawn(move || {
                dir.sync(|| {
                    begun.send(()).unwrap();
                    while locked(&dir.state).waiting < 1 {
                        thread::yield_now();
                    }
                    panic!("as a test")
                })
            });
            begins.recv().unwrap();
            dir.sync(|| Ok(())).unwrap_err();
            assert!(panicking.join().is_err());
        });
    }
}
