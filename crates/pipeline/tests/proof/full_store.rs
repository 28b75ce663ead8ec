//! A file system that runs full at any place, and gets room again.

use std::{cell::Cell, io, path::Path, sync::Arc};

use afterimage::{
    ErrorKind, Points,
    storage::{Contents, Draft, Files, Key, Listed, Part},
};
use afterimage_testkit::World;

use crate::support::{
    HISTORY, Progress, Rig, Scenario, Wraps, check, on_one_thread, rig::Stores, run::finish_with,
};

thread_local! {
    /// Calls that still find room; all do where it is `None`.
    static ROOM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Uses up room, or fails where there is none.
fn take_room() -> io::Result<()> {
    match ROOM.get() {
        Some(0) => Err(io::ErrorKind::StorageFull.into()),
        room => {
            ROOM.set(room.map(|room| room - 1));
            Ok(())
        }
    }
}

/// Files that run full: what needs room fails, the rest does not.
#[derive(Debug)]
struct Limited(Arc<dyn Files>);

impl Files for Limited {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        take_room()?;
        self.0.make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(LimitedDraft(self.0.draft(dir)?)))
    }

    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents> {
        self.0.read(path, part)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.0.size(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.0.list(dir)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.unlink(path)
    }
}

#[derive(Debug)]
struct LimitedDraft(Box<dyn Draft>);

impl Draft for LimitedDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        take_room()?;
        self.0.write(pieces)
    }

    fn sync(&mut self) -> io::Result<()> {
        take_room()?;
        self.0.sync()
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        take_room()?;
        self.0.link(path)
    }
}

#[test]
fn a_full_store_loses_nothing_and_goes_on_when_there_is_room() {
    on_one_thread(|| {
        let mut places = 0;
        while full_after(places) {
            places += 1;
        }
        println!("full at {places} places, 0 losses");
        assert!(places > 50, "{places} places are no sweep");
    });
}

/// Lets the store run full after so many calls; false where the run does not need as many.
fn full_after(room: u64) -> bool {
    let wraps = Wraps {
        files: |files| Arc::new(Limited(files)),
        ..Wraps::NONE
    };
    let world = World::new(5);
    let rig = |process| Rig::new(&world, wraps, process);
    let stores = rig(1).stores().unwrap();
    let mut progress = Progress::default();
    ROOM.set(Some(room));
    let mut full = 0;
    // Twice without room, then with it: by the same process, with nothing opened anew.
    for process in 1..=3 {
        if process == 3 {
            ROOM.set(None);
        }
        match finish_with(&HISTORY, &rig(process), &stores, &mut progress) {
            Ok(()) => break,
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Unavailable,
                    "room for {room}: {error}"
                );
                full += 1;
            }
        }
        assert!(process < 3, "room for {room}: does not go on");
        check(&HISTORY, &world, &progress).unwrap();
    }
    ROOM.set(None);
    assert_eq!(
        check(&HISTORY, &world, &progress),
        Ok(HISTORY.markers()),
        "room for {room}"
    );
    for state in world.crash_states(4, room) {
        assert_eq!(
            check(&HISTORY, &state, &progress),
            Ok(HISTORY.markers()),
            "room for {room}"
        );
    }
    assert_no_waste(&stores);
    full > 0
}

/// What could not be committed was taken away again, or trying would fill the store more and more.
fn assert_no_waste(stores: &Stores) {
    let points = Points::load(&stores.target, &Scenario::group()).unwrap();
    let named = points
        .list()
        .iter()
        .map(|point| point.layers.len())
        .sum::<usize>();
    let prefix = Key::new("shop/layers").unwrap();
    let there = stores.target.list(&prefix, None, usize::MAX).unwrap();
    assert_eq!(there.len(), named, "layers");
}
