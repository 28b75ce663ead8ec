//! The local store on a machine that forgets what was not synced.
//!
//! Each test runs a small job with the power cut, or a fault, at every operation, and looks at every
//! state that a crash may leave. The last tests take the syncs away one by one and see objects lost,
//! which shows that the others could fail.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use afterimage_storage::{
    Contents, Draft, Effect, Files, Key, Listed, LocalStore, Part, Store, StoreError,
    StoreErrorKind,
};
use afterimage_testkit::{Fault, Random, World};
use bytes::Bytes;

const ROOT: &str = "/srv/store";
/// Crash states looked at for each cut.
const STATES_MAX: usize = 2_000;

/// What the job creates, in this order.
fn objects() -> Vec<(Key, Vec<Bytes>)> {
    vec![
        (key("g/manifest/1"), vec![noise(1, 200)]),
        (key("g/layers/7/a"), vec![noise(2, 900), noise(3, 700)]),
        (key("g/manifest/2"), vec![noise(4, 2_000)]),
        (key("g/s/7/1-9.seg"), vec![noise(5, 1)]),
    ]
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the tests name objects well")
}

fn noise(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    Random::new(seed).fill(&mut bytes);
    Bytes::from(bytes)
}

fn open(files: Arc<dyn Files>) -> Result<LocalStore, StoreError> {
    LocalStore::with_files(Path::new(ROOT), files)
}

/// How far the job came before the first error.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Creates that were reported as done.
    created: usize,
    /// Deletes that were begun; they take the objects in the order of their creation.
    deletes: usize,
}

const WHOLE: Progress = Progress {
    created: 4,
    deletes: 2,
};

/// Creates the objects, every second one by an upload, then deletes half of them.
fn run(files: Arc<dyn Files>) -> Progress {
    let mut progress = Progress::default();
    // The power is off after an error, so where the job stopped does not matter.
    drop(run_until_error(files, &mut progress));
    progress
}

fn run_until_error(files: Arc<dyn Files>, progress: &mut Progress) -> Result<(), StoreError> {
    let store = open(files)?;
    for (number, (key, body)) in objects().iter().enumerate() {
        if number % 2 == 0 {
            store.create(key, body)?;
        } else {
            upload(&store, key, body)?;
        }
        progress.created += 1;
    }
    for (key, _) in objects().iter().take(WHOLE.deletes) {
        progress.deletes += 1;
        store.delete(key)?;
    }
    Ok(())
}

fn upload(store: &LocalStore, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
    let mut upload = store.upload(key)?;
    for piece in body {
        upload.write(piece.clone())?;
    }
    upload.finish()
}

/// What is wrong with the store of this world, after the job came so far.
fn loss(world: &World, progress: Progress) -> Option<String> {
    let store = match open(world.files()) {
        Ok(store) => store,
        Err(error) => return Some(error.to_string()),
    };
    for (number, (key, body)) in objects().iter().enumerate() {
        let may_be_missing = number >= progress.created || number < progress.deletes;
        match store.read(key) {
            Ok(found) if found == body.concat() => {}
            Ok(found) => return Some(format!("{key} holds {} wrong bytes", found.len())),
            Err(error) if error.kind == StoreErrorKind::NotFound && may_be_missing => {}
            Err(error) => return Some(format!("after {progress:?}: {error}")),
        }
    }
    None
}

/// Runs the job with the power cut after each operation in turn and looks at the crash states.
struct Sweep {
    cuts: u64,
    states: usize,
    losses: Vec<String>,
}

fn sweep(wrap: &dyn Fn(Arc<dyn Files>) -> Arc<dyn Files>) -> Sweep {
    let mut found = Sweep {
        cuts: 0,
        states: 0,
        losses: Vec::new(),
    };
    let whole = World::new(1);
    run_until_error(wrap(whole.files()), &mut Progress::default())
        .expect("nothing fails while the power is on");
    for cut in 0..=whole.operations() {
        let world = World::new(1);
        world.cut_power_after(cut);
        let progress = run(wrap(world.files()));
        found.cuts += 1;
        for state in world.crash_states(STATES_MAX, cut) {
            found.states += 1;
            found.losses.extend(loss(&state, progress));
        }
    }
    found
}

#[test]
fn what_was_reported_survives_every_crash_and_the_rest_is_whole_or_absent() {
    let Sweep {
        cuts,
        states,
        losses,
    } = sweep(&|files| files);
    println!(
        "{cuts} cuts, {states} crash states, {} losses",
        losses.len()
    );
    assert_eq!(losses, Vec::<String>::new());
    assert!(states > 30, "{states} states are no sweep");
}

#[test]
fn work_goes_on_after_a_crash_and_survives_the_next_one() {
    let whole = World::new(1);
    run(whole.files());
    let mut states = 0;
    for first_cut in 0..=whole.operations() {
        let world = World::new(1);
        world.cut_power_after(first_cut);
        run(world.files());
        for crashed in world.crash_states(STATES_MAX, first_cut) {
            resume(&crashed).unwrap();
            for again in crashed.crash_states(STATES_MAX, first_cut) {
                states += 1;
                let created = Progress {
                    deletes: 0,
                    ..WHOLE
                };
                assert_eq!(loss(&again, created), None, "cut after {first_cut}");
            }
        }
    }
    println!("{states} states after a second crash, 0 losses");
    assert!(states > 30, "{states} states are no sweep");
}

/// Settles what is there and creates what is missing.
fn resume(world: &World) -> Result<(), StoreError> {
    let store = open(world.files())?;
    store.settle(&key("g"))?;
    for (key, body) in objects() {
        match store.create(&key, &body) {
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
            created => created?,
        }
    }
    Ok(())
}

/// A process that dies between the link and the sync leaves an object that can be seen and can
/// still be lost. Whoever comes next may trust it only after it is settled.
#[test]
fn what_a_dead_process_left_is_lost_unless_it_is_settled() {
    let whole = World::new(1);
    run(whole.files());
    let mut losses = [0, 0];
    let mut states = 0;
    for cut in 0..=whole.operations() {
        for (settles, losses) in [false, true].into_iter().zip(&mut losses) {
            let world = World::new(1);
            world.cut_power_after(cut);
            run(world.files());
            let world = world.restart();
            let store = open(world.files()).unwrap();
            let prefix = key("g");
            if settles {
                store.settle(&prefix).unwrap();
            }
            let seen = store.list(&prefix, None, usize::MAX).unwrap();
            for state in world.crash_states(STATES_MAX, cut) {
                states += 1;
                let left = open(state.files()).unwrap();
                if left.list(&prefix, None, usize::MAX).unwrap() != seen {
                    *losses += 1;
                }
            }
        }
    }
    let [unsettled, settled] = losses;
    println!(
        "{states} states, {unsettled} losses where it was not settled, {settled} where it was"
    );
    assert_eq!(settled, 0);
    assert!(unsettled > 0);
}

/// A directory that a dead process made is there, and its name may still be lost: who creates below
/// it syncs it, without having settled anything.
#[test]
fn a_create_after_a_dead_process_is_durable_all_the_same() {
    let whole = World::new(1);
    run(whole.files());
    let (late, body) = (key("g/layers/7/late"), vec![noise(1, 100)]);
    let mut states = 0;
    for cut in 0..=whole.operations() {
        let world = World::new(1);
        world.cut_power_after(cut);
        run(world.files());
        let world = world.restart();
        let store = open(world.files()).unwrap();
        store.create(&late, &body).unwrap();
        for state in world.crash_states(STATES_MAX, cut) {
            states += 1;
            let left = open(state.files()).unwrap().read(&late);
            assert_eq!(left.unwrap(), body.concat(), "cut after {cut}");
        }
    }
    println!("{states} states, 0 losses");
}

/// Objects that another tool copied below the root, as an operator may after a disaster.
#[test]
fn what_another_tool_put_there_is_durable_after_settle() {
    for settled in ["g", "g/manifest"] {
        let world = World::new(1);
        let store = open(world.files()).unwrap();
        let files = world.files();
        let root = Path::new(ROOT);
        files.make_dir(&root.join("g")).unwrap();
        files.make_dir(&root.join("g/manifest")).unwrap();
        let mut draft = files.draft(root).unwrap();
        draft.sync().unwrap();
        draft.link(&root.join("g/manifest/1")).unwrap();
        store.settle(&key(settled)).unwrap();
        for state in world.crash_states(STATES_MAX, 1) {
            let left = open(state.files()).unwrap();
            left.size(&key("g/manifest/1")).unwrap();
        }
    }
}

/// A file system may find out that it is full only when it writes back. The draft goes, what is
/// there stays, and writing goes on when there is room again.
#[test]
fn a_sync_that_finds_the_disk_full_does_not_end_writing() {
    let world = World::new(1);
    let store = open(world.files()).unwrap();
    store.create(&key("g/a"), &[noise(1, 10)]).unwrap();
    // After the write of the draft comes its sync.
    let sync = world.operations() + 1;
    world.fail_at(sync, Fault::Before(io::ErrorKind::StorageFull));
    let error = store.create(&key("g/b"), &[noise(2, 10)]).unwrap_err();
    assert_eq!(world.operations(), sync + 1, "it was the sync that failed");
    assert_eq!(
        (error.kind, error.effect),
        (StoreErrorKind::Full, Effect::None)
    );
    store.create(&key("g/b"), &[noise(2, 10)]).unwrap();
    for state in world.crash_states(STATES_MAX, 1) {
        let left = open(state.files()).unwrap();
        assert_eq!(left.read(&key("g/b")).unwrap(), noise(2, 10));
    }
}

/// Whether something failed, what may have happened, and whether the store goes on: for every
/// operation of a create, failing without and with its effect.
#[test]
fn every_fault_of_a_create_is_told_as_it_is() {
    let next = key("g/layers/b");
    let (key, body) = (key("g/layers/a"), vec![noise(1, 700)]);
    let fresh = || {
        let world = World::new(1);
        let store = open(world.files()).unwrap();
        (world, store)
    };
    let (whole, store) = fresh();
    let first = whole.operations();
    store.create(&key, &body).unwrap();
    let mut refused = 0;
    let mut went_on = 0;
    for number in first..whole.operations() {
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            for fault in [Fault::Before(kind), Fault::After(kind)] {
                let (world, store) = fresh();
                world.fail_at(number, fault);
                let error = store.create(&key, &body).unwrap_err();
                let place = format!("{fault:?} at operation {number}: {error}");
                if error.effect == Effect::None {
                    let absent = store.read(&key).unwrap_err();
                    assert_eq!(absent.kind, StoreErrorKind::NotFound, "{place}");
                    for state in world.crash_states(STATES_MAX, 1) {
                        let left = open(state.files()).unwrap();
                        assert!(left.read(&key).is_err(), "{place}");
                    }
                }
                let after = store.create(&next, &body);
                if error.kind == StoreErrorKind::NotDurable {
                    refused += 1;
                    let after = after.unwrap_err();
                    assert_eq!(after.kind, StoreErrorKind::NotDurable, "{place}");
                    assert_eq!(after.effect, Effect::None, "{place}");
                    let calls: [Result<(), StoreError>; 3] = [
                        store.delete(&key),
                        store.settle(&key),
                        store.upload(&next).map(drop),
                    ];
                    for call in calls {
                        assert_eq!(
                            call.unwrap_err().kind,
                            StoreErrorKind::NotDurable,
                            "{place}"
                        );
                    }
                    open(world.files()).unwrap().create(&next, &body).unwrap();
                } else {
                    went_on += 1;
                    after.unwrap_or_else(|after| panic!("{place}, then {after}"));
                }
            }
        }
    }
    println!("{refused} faults ended all writing, {went_on} did not");
    assert!(refused > 0 && went_on > 0);
}

/// Each sync of the job left out in turn, then all of one kind: each is needed.
#[test]
fn no_sync_of_a_create_can_be_left_out() {
    let counted = Arc::new(AtomicUsize::new(0));
    run(skipping(Skip::Nothing, &counted)(World::new(1).files()));
    let syncs = counted.load(Ordering::Relaxed);
    assert!(syncs > 10, "{syncs} syncs are no job");
    let singles = (0..syncs).map(Skip::One);
    for skip in singles.chain([Skip::Files, Skip::Dirs, Skip::All]) {
        let Sweep { states, losses, .. } = sweep(&|files| {
            let counted = Arc::new(AtomicUsize::new(0));
            skipping(skip, &counted)(files)
        });
        println!(
            "{skip:?}: {} of {states} states lose or tear an object",
            losses.len()
        );
        assert!(
            !losses.is_empty(),
            "{skip:?} was not noticed in {states} states"
        );
    }
}

/// Which syncs do nothing and say that they did.
#[derive(Clone, Copy, Debug)]
enum Skip {
    Nothing,
    /// The one that comes after so many.
    One(usize),
    Files,
    Dirs,
    All,
}

fn skipping(skip: Skip, counted: &Arc<AtomicUsize>) -> impl Fn(Arc<dyn Files>) -> Arc<dyn Files> {
    let syncs = Arc::clone(counted);
    move |files| {
        Arc::new(Skipping {
            files,
            syncs: Syncs {
                skip,
                count: Arc::clone(&syncs),
            },
        })
    }
}

#[derive(Clone, Debug)]
struct Syncs {
    skip: Skip,
    count: Arc<AtomicUsize>,
}

impl Syncs {
    fn skips(&self, is_dir: bool) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        match self.skip {
            Skip::Nothing => false,
            Skip::One(skipped) => number == skipped,
            Skip::Files => !is_dir,
            Skip::Dirs => is_dir,
            Skip::All => true,
        }
    }
}

/// Files some of whose syncs do nothing.
#[derive(Debug)]
struct Skipping {
    files: Arc<dyn Files>,
    syncs: Syncs,
}

impl Files for Skipping {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.files.make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.syncs.skips(true) {
            return Ok(());
        }
        self.files.sync_dir(path)
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(SkippingDraft {
            draft: self.files.draft(dir)?,
            syncs: self.syncs.clone(),
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
struct SkippingDraft {
    draft: Box<dyn Draft>,
    syncs: Syncs,
}

impl Draft for SkippingDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.draft.write(pieces)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.syncs.skips(false) {
            return Ok(());
        }
        self.draft.sync()
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        self.draft.link(path)
    }
}
