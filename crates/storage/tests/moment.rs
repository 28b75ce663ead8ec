//! A list shows one moment, whatever happens while it is made.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex},
};

use afterimage_storage::{Contents, Draft, Files, Key, Listed, LocalStore, Part, Store};
use afterimage_testkit::World;

const ROOT: &str = "/srv/store";

type Meanwhile = Box<dyn FnOnce() + Send>;

/// Files where something else happens between the look into a directory and that at its files.
struct Pausing {
    files: Arc<dyn Files>,
    meanwhile: Mutex<Vec<Meanwhile>>,
}

impl fmt::Debug for Pausing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pausing({:?})", self.files)
    }
}

impl Files for Pausing {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.files.make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.files.sync_dir(path)
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        self.files.draft(dir)
    }

    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents> {
        self.files.read(path, part)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let next = self.meanwhile.lock().expect("nobody panics with it").pop();
        if let Some(meanwhile) = next {
            meanwhile();
        }
        self.files.size(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.files.list(dir)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.files.unlink(path)
    }
}

fn boundary(number: u32) -> Key {
    Key::new(&format!("shop/boundary/{number}")).expect("a number is part of a key")
}

/// A boundary that was replaced by a newer one between the look into the directory and that at the
/// file was gone and the newer one unknown: a worker that had slept past a collection saw none, and
/// would have reported a commit that nobody else knows of.
#[test]
fn a_list_sees_the_old_object_or_the_one_that_took_its_place() {
    for replaced in 1..4 {
        let world = World::new(1);
        let other = LocalStore::with_files(Path::new(ROOT), world.files()).expect("it opens");
        let other = Arc::new(other);
        other.create(&boundary(1), &[]).expect("the name is free");
        let step = |number: u32| -> Meanwhile {
            let other = Arc::clone(&other);
            Box::new(move || {
                let created = other.create(&boundary(number + 1), &[]);
                created.expect("the name is free");
                other.delete(&boundary(number)).expect("it is deleted");
            })
        };
        let files = Arc::new(Pausing {
            files: world.files(),
            meanwhile: Mutex::new((1..=replaced).rev().map(step).collect()),
        });
        let store = LocalStore::with_files(Path::new(ROOT), files).expect("it opens");
        let prefix = Key::new("shop/boundary").expect("it is a key");
        let listed = store.list(&prefix, None, 10).expect("it can be listed");
        let keys: Vec<Key> = listed.into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, [boundary(replaced + 1)]);
    }
}

/// What is only deleted is not looked for again.
#[test]
fn a_list_passes_over_what_is_deleted_meanwhile() {
    let world = World::new(1);
    let other = LocalStore::with_files(Path::new(ROOT), world.files()).expect("it opens");
    for number in 1..4 {
        let created = other.create(&boundary(number), &[]);
        created.expect("the name is free");
    }
    let delete: Meanwhile = Box::new(move || other.delete(&boundary(2)).expect("it is deleted"));
    let files = Arc::new(Pausing {
        files: world.files(),
        meanwhile: Mutex::new(vec![delete]),
    });
    let store = LocalStore::with_files(Path::new(ROOT), files).expect("it opens");
    let prefix = Key::new("shop/boundary").expect("it is a key");
    let listed = store.list(&prefix, None, 10).expect("it can be listed");
    let keys: Vec<Key> = listed.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, [boundary(1), boundary(3)]);
}
