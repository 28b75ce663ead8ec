//! Creates that end at once share the sync of their directory, and none is reported before a sync that
//! began after its link.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use afterimage_storage::{Contents, Draft, Files, Key, Listed, LocalStore, Part, Store};
use afterimage_testkit::World;
use bytes::Bytes;

const ROOT: &str = "/srv/store";
const WRITERS: usize = 8;
const CREATES: usize = 60;

/// When each name was linked and when each sync of a directory began, on one clock, and which syncs
/// have ended.
#[derive(Debug, Default)]
struct History {
    clock: usize,
    linked: BTreeMap<PathBuf, usize>,
    /// The latest beginning of a sync that has ended, of each directory.
    synced: BTreeMap<PathBuf, usize>,
}

impl History {
    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    fn is_durable(&self, path: &Path) -> bool {
        let synced = self.synced.get(parent_of(path));
        synced.is_some_and(|synced| Some(synced) > self.linked.get(path))
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().expect("objects are below the root")
}

/// Files that keep a history, and take their time for the sync of a directory.
#[derive(Clone, Debug)]
struct Watched {
    files: Arc<dyn Files>,
    history: Arc<Mutex<History>>,
    syncs: Arc<AtomicUsize>,
}

impl Files for Watched {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.files.make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let begun = self.history.lock().expect("nobody panics with it").tick();
        // Whoever is able to link now does.
        for _ in 0..20 {
            thread::yield_now();
        }
        self.files.sync_dir(path)?;
        let mut history = self.history.lock().expect("nobody panics with it");
        let synced = history.synced.entry(path.to_path_buf()).or_default();
        *synced = begun.max(*synced);
        Ok(())
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(WatchedDraft {
            draft: self.files.draft(dir)?,
            history: Arc::clone(&self.history),
        }))
    }

    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents> {
        self.files.read(path, part)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.files.size(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.files.list(dir)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.files.unlink(path)
    }
}

#[derive(Debug)]
struct WatchedDraft {
    draft: Box<dyn Draft>,
    history: Arc<Mutex<History>>,
}

impl Draft for WatchedDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.draft.write(pieces)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.draft.sync()
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        self.draft.link(path)?;
        let mut history = self.history.lock().expect("nobody panics with it");
        let now = history.tick();
        history.linked.insert(path.to_path_buf(), now);
        Ok(())
    }
}

fn watched() -> Watched {
    Watched {
        files: World::new(1).files(),
        history: Arc::default(),
        syncs: Arc::default(),
    }
}

#[test]
fn no_create_is_reported_before_a_sync_that_began_after_its_link() {
    let watched = watched();
    let store = LocalStore::with_files(Path::new(ROOT), Arc::new(watched.clone())).unwrap();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, history) = (&store, &watched.history);
            scope.spawn(move || {
                for number in 0..CREATES {
                    // Half of them in a directory that all share.
                    let dir = if number % 2 == 0 { 0 } else { writer };
                    let key = Key::new(&format!("g/{dir}/{writer}-{number}")).unwrap();
                    store.create(&key, &[Bytes::from_static(b"x")]).unwrap();
                    let path = Path::new(ROOT).join(key.as_str());
                    assert!(
                        history
                            .lock()
                            .expect("nobody panics with it")
                            .is_durable(&path),
                        "{key}"
                    );
                }
            });
        }
    });
    let syncs = watched.syncs.load(Ordering::Relaxed);
    println!(
        "{} creates, {syncs} syncs of directories",
        WRITERS * CREATES
    );
}

#[test]
fn a_single_writer_syncs_the_directory_once_for_each_create() {
    let watched = watched();
    let store = LocalStore::with_files(Path::new(ROOT), Arc::new(watched.clone())).unwrap();
    store.create(&Key::new("g/a").unwrap(), &[]).unwrap();
    let before = watched.syncs.load(Ordering::Relaxed);
    for number in 0..10 {
        let key = Key::new(&format!("g/{number}")).unwrap();
        store.create(&key, &[]).unwrap();
    }
    assert_eq!(watched.syncs.load(Ordering::Relaxed) - before, 10);
}
