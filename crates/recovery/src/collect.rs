//! Giving space back: deleting what no manifest that counts names any more.
//!
//! What makes it safe is an order, not an age. The boundary is created first and the holds are
//! listed after it; who reads creates its hold first and looks at the boundary after it. So either
//! the collector sees the hold, or the reader sees the boundary and begins anew. A worker that was
//! taken over and wakes up in the middle deletes nothing that counts: what it had noted was named
//! by no manifest since, ids are never used again, and its search for leftovers passes over every
//! object of its own epoch and later ones. The idea of a boundary that outlives what it bounds is
//! that of SlateDB's garbage collector.

use std::{collections::BTreeSet, sync::Arc};

use afterimage_changelog::{Epoch, Name, Timestamp, count};
use afterimage_storage::{Key, Store, StoreError, StoreErrorKind};

use crate::{
    chain::{Head, load, numbered},
    error::RecoveryError,
    holds::list_holds,
    manifest::{Manifest, StreamPosition},
    name::{
        boundary_key, boundary_prefix, epoch_of, index_key, kept_key, kept_prefix, layer_key,
        manifest_key, manifest_prefix, named_prefixes, page_key,
    },
};

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers, indexes and pages that were deleted.
    pub objects: u64,
    /// Manifests that were deleted.
    pub manifests: u64,
    /// Objects that nobody needs but somebody holds.
    pub held: u64,
}

/// Deletes what no manifest that counts names. Belongs to the worker that commits.
#[derive(Debug)]
pub struct Collector {
    store: Arc<dyn Store>,
    group: Name,
    epoch: Epoch,
    /// Objects that the head does not name.
    garbage: BTreeSet<Key>,
    /// Manifests before the head, the oldest first; some may be gone.
    manifests: BTreeSet<u64>,
}

/// Objects that are deleted with one call, and forgotten together.
const DELETED_TOGETHER: usize = 256;

impl Collector {
    /// Looks for what earlier workers left: lists manifests and all that only manifests name, once.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn open(
        store: Arc<dyn Store>,
        group: Name,
        head: &Head,
    ) -> Result<Collector, RecoveryError> {
        let epoch = head.manifest.epoch;
        let manifests = numbered(store.as_ref(), &manifest_prefix(&group))?;
        let before = |number: &u64| *number < head.manifest.number;
        let manifests = manifests.into_iter().map(|(number, _)| number);
        let mut collector = Collector {
            manifests: manifests.filter(before).collect(),
            garbage: BTreeSet::new(),
            store,
            group,
            epoch,
        };
        collector.find_leftovers(&head.manifest)?;
        Ok(collector)
    }

    fn find_leftovers(&mut self, head: &Manifest) -> Result<(), RecoveryError> {
        let named = objects(&self.group, head);
        // What is of this epoch or a later one may be on its way into a manifest.
        let is_older = |key: &Key| epoch_of(key).is_some_and(|epoch| epoch < self.epoch);
        // A segment before the position is never kept anew, one behind it may be on its way.
        let is_before = |key: &Key| {
            let mut streams = head.streams.iter();
            streams.any(|stream| {
                let first = kept_key(&self.group, &stream.name, 0);
                let position = kept_key(&self.group, &stream.name, stream.position.segment);
                (first..position).contains(key)
            })
        };
        let mut left = Vec::new();
        for prefix in named_prefixes(&self.group) {
            each(self.store.as_ref(), &prefix, |key| {
                if is_older(&key) && !named.contains(&key) {
                    left.push(key);
                }
            })?;
        }
        each(self.store.as_ref(), &kept_prefix(&self.group), |key| {
            if is_before(&key) && !named.contains(&key) {
                left.push(key);
            }
        })?;
        self.garbage.extend(left);
        Ok(())
    }

    /// Notes what one commit or several made superfluous.
    ///
    /// # Panics
    ///
    /// When `after` is not the newer one: what it does not name yet would be deleted.
    pub fn note(&mut self, before: &Manifest, after: &Manifest) {
        assert!(
            before.number <= after.number,
            "what manifest {} names is not garbage to manifest {}",
            before.number,
            after.number
        );
        self.manifests.extend(before.number..after.number);
        // Most commits only add.
        let kept = |manifest: &Manifest| -> Vec<u64> {
            manifest
                .streams
                .iter()
                .map(StreamPosition::kept_from)
                .collect()
        };
        let same_pages = before.pages == after.pages
            && before.indexes == after.indexes
            && kept(before) == kept(after);
        let is_prefix = before.points.len() <= after.points.len()
            && before
                .points
                .iter()
                .zip(&after.points)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        if same_pages && is_prefix {
            return;
        }
        let named = objects(&self.group, after);
        let gone = objects(&self.group, before).into_iter();
        self.garbage.extend(gone.filter(|key| !named.contains(key)));
    }

    /// How many objects wait to be deleted, manifests not counted.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.garbage.len()
    }

    /// How many manifests wait to be deleted.
    #[must_use]
    pub fn manifests_waiting(&self) -> usize {
        self.manifests.len()
    }

    /// Deletes what waits and nobody holds. What `in_use` names stays too: the worker itself reads from
    /// that manifest.
    ///
    /// 1. creates the boundary below the head: from here on no other manifest counts; a crash leaves
    ///    manifests and objects that the next worker finds;
    /// 2. lists the holds: whoever creates one from here on sees the boundary;
    /// 3. deletes objects that neither the head nor a held manifest names: a crash leaves some;
    /// 4. deletes manifests that are not held, and boundaries before this one.
    ///
    /// # Errors
    ///
    /// The store failed; what is left is deleted another time.
    pub fn collect(
        &mut self,
        head: &Head,
        in_use: Option<&Manifest>,
        now: Timestamp,
    ) -> Result<Collected, RecoveryError> {
        let Some(boundary) = head.manifest.number.checked_sub(1) else {
            return Ok(Collected::default());
        };
        self.bound(boundary)?;
        let mut needed = in_use.map_or_else(BTreeSet::new, |used| objects(&self.group, used));
        let mut held = BTreeSet::new();
        for (key, hold) in list_holds(self.store.as_ref(), &self.group)? {
            if hold.until < now {
                self.delete(&key)?;
                continue;
            }
            let Some(number) = hold.manifest.filter(|&number| number <= boundary) else {
                continue;
            };
            match load(self.store.as_ref(), &self.group, number) {
                Ok(Some(old)) => {
                    needed.extend(objects(&self.group, &old.manifest));
                    held.insert(number);
                }
                // One that is not there, or a page of it, was collected before the hold was; who
                // holds it learns that.
                Ok(None) => {}
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        let mut collected = Collected::default();
        let (kept, gone): (Vec<Key>, Vec<Key>) = self
            .garbage
            .iter()
            .cloned()
            .partition(|key| needed.contains(key));
        collected.held += count(kept.len());
        for keys in gone.chunks(DELETED_TOGETHER) {
            self.delete_all(keys)?;
            collected.objects += count(keys.len());
            for key in keys {
                self.garbage.remove(key);
            }
        }
        let is_gone = |number: &u64| *number <= boundary && !held.contains(number);
        let gone: Vec<u64> = self.manifests.iter().copied().filter(is_gone).collect();
        for numbers in gone.chunks(DELETED_TOGETHER) {
            let keys = numbers
                .iter()
                .map(|&number| manifest_key(&self.group, number));
            self.delete_all(&keys.collect::<Vec<_>>())?;
            collected.manifests += count(numbers.len());
            for number in numbers {
                self.manifests.remove(number);
            }
        }
        Ok(collected)
    }

    /// Step 1, and of the older boundaries those that do not matter any more.
    fn bound(&self, boundary: u64) -> Result<(), RecoveryError> {
        let key = boundary_key(&self.group, boundary);
        match self.store.create(&key, &[]) {
            Ok(()) => {}
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
                // A create that returned made it durable; of another one it is only known that it
                // is visible.
                let settled = self.store.settle(&boundary_prefix(&self.group));
                settled.map_err(RecoveryError::store)?;
            }
            Err(error) => return Err(RecoveryError::store(error)),
        }
        for (number, entry) in numbered(self.store.as_ref(), &boundary_prefix(&self.group))? {
            if number < boundary {
                self.delete(&entry.key)?;
            }
        }
        Ok(())
    }

    fn delete(&self, key: &Key) -> Result<(), RecoveryError> {
        self.delete_all(std::slice::from_ref(key))
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), RecoveryError> {
        let deleted: Result<(), StoreError> = self.store.delete_all(keys);
        deleted.map_err(RecoveryError::store)
    }
}

/// Gives every key below a prefix.
pub(crate) fn each(
    store: &dyn Store,
    prefix: &Key,
    mut give: impl FnMut(Key),
) -> Result<(), RecoveryError> {
    const PAGE: usize = 1000;
    let mut after: Option<Key> = None;
    loop {
        let page = store.list(prefix, after.as_ref(), PAGE);
        let page = page.map_err(RecoveryError::store)?;
        let full = page.len() == PAGE;
        after = page.last().map(|entry| entry.key.clone());
        page.into_iter().for_each(|entry| give(entry.key));
        if !full {
            return Ok(());
        }
    }
}

/// The keys of every object that a manifest names.
fn objects(group: &Name, manifest: &Manifest) -> BTreeSet<Key> {
    let layers = manifest.layers();
    let layers = layers.map(|layer| layer_key(group, layer.epoch, layer.id));
    let indexes = manifest.indexes.iter().flat_map(|index| &index.objects);
    let indexes = indexes.map(|object| index_key(group, object.epoch, object.id));
    let pages = manifest.pages.iter().map(|page| page.object);
    let pages = pages.map(|object| page_key(group, object.epoch, object.id));
    let kept = manifest.streams.iter().flat_map(|stream| {
        let numbers = stream.kept_from()..stream.position.segment + 1;
        numbers.map(|number| kept_key(group, &stream.name, number))
    });
    layers.chain(indexes).chain(pages).chain(kept).collect()
}
