//! The store in a directory of this machine.

use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    path::{self, Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    dir_syncs::DirSyncs,
    error::{Effect, Operation, StoreError, StoreErrorKind},
    files::{Contents, Draft, Files, Listed},
    key::Key,
    os_files::OsFiles,
    part::Part,
    store::{Entry, Store, Tail, Upload},
};

/// Bytes an upload gathers before it writes them.
const GATHERED_BYTES_MAX: usize = 1 << 20;
/// Pieces an upload gathers before it writes them.
const GATHERED_PIECES_MAX: usize = 512;

/// Objects as files below a root directory, the parts of a key as the parts of the path.
///
/// # Durable steps of a create
///
/// 1. makes the directories above the object and syncs the directory above each, unless this store
///    did before: a crash leaves empty directories;
/// 2. writes the draft, a file without a name: a crash leaves nothing;
/// 3. syncs the draft: as before;
/// 4. links the draft under its name, which fails where the name is taken: a crash leaves the whole
///    object or nothing;
/// 5. syncs the directory: from here on the object stays. Creates that come to this step while a sync
///    of the same directory is running wait for it to end, and one sync then serves all of them.
///
/// A directory that is there already may have been made by a process that died before it synced the
/// one above, which is why step 1 syncs also for those.
///
/// # After a failed sync
///
/// What a file system holds after a failed sync is not known, and a second sync may succeed without
/// having written anything. So the first failed sync ends all writing: this store, until it is
/// opened anew, answers every create, upload, delete and settle with `NotDurable`.
///
/// An object below the name of another (`a/b` where `a` is one) cannot be created here.
#[derive(Clone, Debug)]
pub struct LocalStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    files: Arc<dyn Files>,
    /// Directories whose name is known to be durable.
    durable_dirs: Mutex<BTreeSet<PathBuf>>,
    /// The last step of creates, one for many where several come to it at once.
    dir_syncs: DirSyncs,
    /// Set by the first sync that fails.
    sync_failed: AtomicBool,
}

impl LocalStore {
    /// Opens the store below `root`, which is made where it is missing, and so are those above it.
    ///
    /// # Errors
    ///
    /// Whatever keeps the directory from being made durable.
    pub fn open(root: &Path) -> Result<LocalStore, StoreError> {
        LocalStore::with_files(root, Arc::new(OsFiles))
    }

    /// Opens the store below `root` on another file system than the real one.
    ///
    /// # Errors
    ///
    /// Those of [`open`](LocalStore::open).
    pub fn with_files(root: &Path, files: Arc<dyn Files>) -> Result<LocalStore, StoreError> {
        let failed = |effect| {
            move |error: io::Error| failure(Operation::Create, root.display(), effect, error)
        };
        let root = path::absolute(root).map_err(failed(Effect::None))?;
        make_root(files.as_ref(), &root).map_err(failed(Effect::Unknown))?;
        Ok(LocalStore {
            shared: Arc::new(Shared {
                root,
                files,
                durable_dirs: Mutex::default(),
                dir_syncs: DirSyncs::default(),
                sync_failed: AtomicBool::new(false),
            }),
        })
    }

    fn begin(&self, key: &Key) -> Result<LocalUpload, StoreError> {
        let shared = Arc::clone(&self.shared);
        shared.check_writable(Operation::Create, key)?;
        let dir = shared.make_dirs_above(key)?;
        let draft = shared.files.draft(&dir).map_err(|error| {
            // Somebody may have removed the directory: the next try makes it again.
            shared.forget_dirs();
            shared.create_failed(key, Effect::None, error)
        })?;
        Ok(LocalUpload {
            shared,
            key: key.clone(),
            dir,
            draft,
            gathered: Vec::new(),
            gathered_bytes: 0,
            failed: false,
        })
    }

    fn read_part(&self, key: &Key, part: &Part) -> Result<Contents, StoreError> {
        let read = self.shared.files.read(&self.shared.path(key), part);
        read.map_err(|error| {
            failure(
                Operation::Read,
                self.shared.path(key).display(),
                Effect::None,
                error,
            )
        })
    }
}

impl Store for LocalStore {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let mut upload = self.begin(key)?;
        upload.append(body)?;
        upload.publish()
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(self.begin(key)?))
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        Ok(self.read_part(key, &Part::Whole)?.bytes)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        Ok(self.read_part(key, &Part::Range(range))?.bytes)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        let Contents { size, bytes } = self.read_part(key, &Part::Tail(bytes_max))?;
        Ok(Tail { size, bytes })
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        let size = self.shared.files.size(&self.shared.path(key));
        size.map_err(|error| {
            failure(
                Operation::Size,
                self.shared.path(key).display(),
                Effect::None,
                error,
            )
        })
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        self.shared.list_below(prefix, after, limit, &mut entries)?;
        Ok(entries)
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.shared.check_writable(Operation::Delete, key)?;
        match self.shared.files.unlink(&self.shared.path(key)) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(failure(
                Operation::Delete,
                self.shared.path(key).display(),
                Effect::Unknown,
                error,
            )),
        }
    }

    /// Syncs the directories from the root down to the prefix, and all below it. Files need no
    /// sync: none has a name before it was synced.
    fn settle(&self, prefix: &Key) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.check_writable(Operation::Settle, prefix)?;
        let mut dir = shared.root.clone();
        shared.settle_dir(prefix, &dir)?;
        for part in prefix.parts() {
            dir.push(part);
            shared.settle_dir(prefix, &dir)?;
        }
        shared.settle_below(prefix)
    }
}

impl Shared {
    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn check_writable(&self, operation: Operation, key: &Key) -> Result<(), StoreError> {
        if self.sync_failed.load(Ordering::Acquire) {
            let refusal = StoreError::new(operation, key, StoreErrorKind::NotDurable);
            return Err(refusal.with_source("a sync failed before, open the store anew"));
        }
        Ok(())
    }

    /// Step 1. The directory of the object.
    fn make_dirs_above(&self, key: &Key) -> Result<PathBuf, StoreError> {
        let mut dir = self.root.clone();
        let mut parts = key.parts();
        parts.next_back();
        for part in parts {
            let above = dir.clone();
            dir.push(part);
            if self.durable_dirs().contains(&dir) {
                continue;
            }
            match self.files.make_dir(&dir) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.create_failed(key, Effect::None, error)),
            }
            let synced = self.files.sync_dir(&above);
            synced
                .map_err(|error| self.sync_failed(Operation::Create, key, Effect::None, error))?;
            self.durable_dirs().insert(dir.clone());
        }
        Ok(dir)
    }

    fn durable_dirs(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        // Inserts are whole or not at all, so what a panicking thread left is sound.
        self.durable_dirs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_dirs(&self) {
        self.durable_dirs().clear();
    }

    fn list_below(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<(), StoreError> {
        let before = entries.len();
        let mut children = self.children(Operation::List, prefix)?;
        loop {
            if self.list_children(&children, after, limit, entries)? {
                return Ok(());
            }
            // What was deleted since the directory was read may have been replaced before, and the
            // list must show one of the two.
            let now = self.children(Operation::List, prefix)?;
            let known: BTreeSet<&Key> = children.iter().map(|(key, _)| key).collect();
            if now.iter().all(|(key, _)| known.contains(key)) {
                return Ok(());
            }
            entries.truncate(before);
            children = now;
        }
    }

    /// Lists what is at and below these; false where one of them was deleted meanwhile.
    fn list_children(
        &self,
        children: &[(Key, bool)],
        after: Option<&Key>,
        limit: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<bool, StoreError> {
        let mut whole = true;
        for (key, is_dir) in children {
            if entries.len() >= limit {
                break;
            }
            if *is_dir {
                if !after.is_some_and(|after| is_past(after, key)) {
                    self.list_below(key, after, limit, entries)?;
                }
            } else if after.is_none_or(|after| key > after) {
                let path = self.path(key);
                match self.files.size(&path) {
                    Ok(size) => entries.push(Entry {
                        key: key.clone(),
                        size,
                    }),
                    Err(error) if is_missing(&error) => whole = false,
                    Err(error) => {
                        let what = path.display();
                        return Err(failure(Operation::List, what, Effect::None, error));
                    }
                }
            }
        }
        Ok(whole)
    }

    /// The keys one part below `prefix` and whether each is a directory, in the order of the keys
    /// of the objects at and below them.
    fn children(&self, operation: Operation, prefix: &Key) -> Result<Vec<(Key, bool)>, StoreError> {
        let listed = match self.files.list(&self.path(prefix)) {
            Ok(listed) => listed,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => {
                return Err(failure(
                    operation,
                    self.path(prefix).display(),
                    Effect::None,
                    error,
                ));
            }
        };
        // What is no part of a key, such as a draft, is not ours.
        let ours = listed
            .into_iter()
            .filter_map(|Listed { name, is_dir }| Some((prefix.join(&name).ok()?, is_dir)));
        let mut children: Vec<(Key, bool)> = ours.collect();
        // `a-b` and `a.b` sort before `a/b`, so a directory stands where its name and a `/` does.
        children.sort_by_cached_key(|(key, is_dir)| {
            let mut text = key.to_string();
            if *is_dir {
                text.push('/');
            }
            text
        });
        Ok(children)
    }

    fn settle_below(&self, prefix: &Key) -> Result<(), StoreError> {
        for (key, is_dir) in self.children(Operation::Settle, prefix)? {
            if is_dir {
                self.settle_dir(&key, &self.path(&key))?;
                self.settle_below(&key)?;
            }
        }
        Ok(())
    }

    fn settle_dir(&self, key: &Key, dir: &Path) -> Result<(), StoreError> {
        match self.files.sync_dir(dir) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(self.sync_failed(Operation::Settle, key, Effect::Unknown, error)),
        }
    }

    /// An error of any step of a create that is not a sync.
    fn create_failed(&self, key: &Key, effect: Effect, error: io::Error) -> StoreError {
        let mut failure = failure(Operation::Create, self.path(key).display(), effect, error);
        // It is a directory that is missing, not the object.
        if failure.kind == StoreErrorKind::NotFound {
            failure.kind = StoreErrorKind::Unavailable;
        }
        failure
    }

    /// Ends all writing, as nothing is known of what a failed sync left.
    fn sync_failed(
        &self,
        operation: Operation,
        key: &Key,
        effect: Effect,
        error: io::Error,
    ) -> StoreError {
        self.sync_failed.store(true, Ordering::Release);
        StoreError::new(operation, key, StoreErrorKind::NotDurable)
            .with_effect(effect)
            .with_source(error)
    }
}

/// An object being written: a draft, and the pieces that are not in it yet.
#[derive(Debug)]
struct LocalUpload {
    shared: Arc<Shared>,
    key: Key,
    dir: PathBuf,
    draft: Box<dyn Draft>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// A write failed, so nobody knows what the draft holds.
    failed: bool,
}

impl Upload for LocalUpload {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= GATHERED_BYTES_MAX || self.gathered.len() >= GATHERED_PIECES_MAX {
            self.write_gathered()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        self.write_gathered()?;
        self.publish()
    }
}

impl LocalUpload {
    fn write_gathered(&mut self) -> Result<(), StoreError> {
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        self.append(&gathered)
    }

    /// Step 2.
    fn append(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let borrowed: Vec<&[u8]> = pieces.iter().map(AsRef::as_ref).collect();
        self.draft.write(&borrowed).map_err(|error| {
            self.failed = true;
            self.shared.create_failed(&self.key, Effect::None, error)
        })
    }

    /// Steps 3 to 5.
    fn publish(&mut self) -> Result<(), StoreError> {
        let LocalUpload { shared, key, .. } = self;
        shared.check_writable(Operation::Create, key)?;
        if self.failed {
            let refusal = StoreError::new(Operation::Create, key, StoreErrorKind::Unavailable);
            return Err(refusal.with_source("a write of this upload failed before"));
        }
        self.draft.sync().map_err(|error| {
            // A full disk may show only now. The draft goes, and nothing else was on its way with
            // it, so this is no reason to stop writing.
            match kind_of(&error) {
                StoreErrorKind::Full => shared.create_failed(key, Effect::None, error),
                _ => shared.sync_failed(Operation::Create, key, Effect::None, error),
            }
        })?;
        self.draft.link(&shared.path(key)).map_err(|error| {
            // Nothing lands late here: a name that is not there now will not be.
            let is_absent = || {
                let there = shared.files.size(&shared.path(key));
                there.is_err_and(|error| is_missing(&error))
            };
            let effect = match error.kind() {
                io::ErrorKind::AlreadyExists => Effect::None,
                _ if is_absent() => Effect::None,
                _ => Effect::Unknown,
            };
            shared.create_failed(key, effect, error)
        })?;
        let dir = &self.dir;
        let synced = shared.dir_syncs.sync(dir, || shared.files.sync_dir(dir));
        synced.map_err(|error| shared.sync_failed(Operation::Create, key, Effect::Unknown, error))
    }
}

/// Makes the root and those above it that are missing, and syncs the directory above each.
///
/// As in step 1 of a create those that are there already are synced too, unless they belong to
/// somebody else, who made them durable then.
fn make_root(files: &dyn Files, root: &Path) -> io::Result<()> {
    let mut dirs: Vec<&Path> = root.ancestors().collect();
    dirs.reverse();
    for (above, dir) in dirs.iter().zip(dirs.iter().skip(1)) {
        let existed = match files.make_dir(dir) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error),
        };
        match files.sync_dir(above) {
            Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    // A file in its place would be found only by the first create.
    files.list(root).map(drop)
}

/// Whether no key below `dir/` comes after `after`.
fn is_past(after: &Key, dir: &Key) -> bool {
    !after.is_under(dir) && after.as_str() > format!("{dir}/").as_str()
}

/// Whether there is nothing under the name, as a file or a directory above it is missing.
fn is_missing(error: &io::Error) -> bool {
    kind_of(error) == StoreErrorKind::NotFound
}

fn failure(
    operation: Operation,
    key: impl std::fmt::Display,
    effect: Effect,
    error: io::Error,
) -> StoreError {
    StoreError::new(operation, key, kind_of(&error))
        .with_effect(effect)
        .with_source(error)
}

fn kind_of(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        // A directory has the name, or a file has the name of a directory above: no object either.
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            StoreErrorKind::NotFound
        }
        io::ErrorKind::AlreadyExists => StoreErrorKind::AlreadyExists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreErrorKind::Denied
        }
        io::ErrorKind::UnexpectedEof => StoreErrorKind::Range,
        _ => StoreErrorKind::Unavailable,
    }
}
