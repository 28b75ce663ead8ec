//! Committing points: one create-only name decides.
//!
//! The rules, and where they come from: a create whose outcome is in doubt is settled by reading
//! back and comparing, never by assuming (object stores report a retried success as a conflict);
//! and a name that was free may have been free because it was collected, so after the create it is
//! looked whether anybody had taken over, and then where the boundary is (SlateDB's history of lost
//! commits).

use std::sync::Arc;

use afterimage_changelog::{Digest, Epoch, Name, ObjectId, Timestamp, count};
use afterimage_storage::{Effect, Nonces, Store, StoreError, StoreErrorKind};
use bytes::Bytes;

use crate::{
    chain::{Head, boundary, load_head},
    change::{Change, repage, successor, takeover},
    claim::{claim, is_claimed},
    error::{RecoveryError, RecoveryErrorKind},
    manifest::{LayerRef, MANIFEST_BYTES_MAX, Manifest, PageRef, Point},
    name::{manifest_key, manifest_prefix, page_key},
    page,
};

/// How often the same bytes are sent while the store neither has them nor says why not.
const ATTEMPTS: u32 = 4;

/// The one worker that commits for a group.
#[derive(Debug)]
pub struct Committer {
    store: Arc<dyn Store>,
    nonces: Arc<Nonces>,
    group: Name,
    head: Head,
    /// Set while an outcome is in doubt; nothing else may be sent to that number then.
    in_doubt: bool,
    /// Whether the first manifest of this epoch is known to be ours.
    is_owner: bool,
}

impl Committer {
    /// Takes a group over: claims the next epoch, and commits a manifest that changes nothing but raises
    /// it, so that whoever worked before finds its next number taken, or the claim.
    ///
    /// What an earlier worker left visible is made durable before it is believed.
    ///
    /// # Errors
    ///
    /// The store failed, the head is damaged, or another worker was faster.
    pub fn acquire(
        store: Arc<dyn Store>,
        nonces: Arc<Nonces>,
        group: Name,
        now: Timestamp,
    ) -> Result<Committer, RecoveryError> {
        store
            .settle(&manifest_prefix(&group))
            .map_err(RecoveryError::store)?;
        let nonce = ObjectId(nonces.next());
        let fence = match load_head(store.as_ref(), &group)? {
            Some(Head { manifest, digest }) => takeover(manifest, digest, nonce, now),
            None => Manifest {
                // Behind every number that was ever collected.
                number: boundary(store.as_ref(), &group)?.map_or(0, |number| number + 1),
                epoch: Epoch(1),
                nonce,
                predecessor: Digest::NONE,
                created: now,
                next_point: 1,
                group: group.clone(),
                keep: String::new(),
                tables: Vec::new(),
                streams: Vec::new(),
                pages: Vec::new(),
                indexes: Vec::new(),
                points: Vec::new(),
            },
        };
        claim(store.as_ref(), &group, fence.epoch)?;
        let mut committer = Committer {
            store,
            nonces,
            group,
            head: Head {
                manifest: fence.clone(),
                digest: Digest::NONE,
            },
            in_doubt: false,
            is_owner: false,
        };
        committer.create(fence)?;
        committer.is_owner = true;
        Ok(committer)
    }

    /// The newest manifest.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The epoch of this worker.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.head.manifest.epoch
    }

    /// Whether it could not be learnt if the last commit happened. What it names must stay then.
    #[must_use]
    pub const fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Commits a change.
    ///
    /// 1. creates the pages of points that are new: a crash leaves objects that nobody names;
    /// 2. creates the next manifest: a crash before leaves layers that nobody names, a crash after
    ///    leaves the change committed though nobody was told;
    /// 3. reads it back and compares, and where the create was in doubt makes it durable: from here
    ///    on it is known to be ours and to stay;
    /// 4. looks for a claim to the next epoch. Where there is one somebody may have committed and
    ///    collected this number before, so the boundary is read: only a number above it counts;
    /// 5. reports: from here on the cache may be acknowledged.
    ///
    /// # Errors
    ///
    /// The store failed, another worker took over, the outcome stayed in doubt, or the change was
    /// decided on an older manifest and does not fit this one ([`RecoveryErrorKind::Stale`]).
    ///
    /// # Panics
    ///
    /// With a proposal whose position lies before what is committed.
    pub fn commit(&mut self, change: Change, now: Timestamp) -> Result<&Head, RecoveryError> {
        if self.in_doubt {
            let kind = RecoveryErrorKind::InDoubt(self.head.manifest.number + 1);
            return Err(RecoveryError::new(&self.group, kind));
        }
        let next = successor(&self.head.manifest, self.head.digest, change);
        let mut next =
            next.map_err(|what| RecoveryError::new(&self.group, RecoveryErrorKind::Stale(what)))?;
        next.nonce = ObjectId(self.nonces.next());
        next.created = now;
        repage(&self.head.manifest, &mut next, |points| {
            self.write_page(points)
        })?;
        self.create(next)?;
        Ok(&self.head)
    }

    /// Step 1.
    fn write_page(&self, points: &[Arc<Point>]) -> Result<PageRef, RecoveryError> {
        let (epoch, id) = (self.epoch(), ObjectId(self.nonces.next()));
        let bytes = page::encode(epoch, id, &self.group, points.iter().map(Arc::as_ref));
        let bytes = Bytes::from(bytes);
        let key = page_key(&self.group, epoch, id);
        let created = self.store.create(&key, std::slice::from_ref(&bytes));
        created.map_err(RecoveryError::store)?;
        Ok(PageRef {
            object: LayerRef {
                epoch,
                id,
                object_bytes: count(bytes.len()),
                digest: Digest::of(&bytes),
            },
            points: u32::try_from(points.len()).expect("a page has few points"),
        })
    }

    /// Creates a manifest and makes it the head.
    fn create(&mut self, manifest: Manifest) -> Result<(), RecoveryError> {
        let number = manifest.number;
        let bytes = Bytes::from(manifest.encode());
        if count(bytes.len()) > MANIFEST_BYTES_MAX {
            let what = "the manifest would be over 64 MiB: prune points".to_owned();
            return Err(RecoveryError::new(
                &self.group,
                RecoveryErrorKind::Limit(what),
            ));
        }
        self.in_doubt = true;
        let created = self.create_or_learn(number, &bytes);
        if let Err(error) = &created
            && let RecoveryErrorKind::Store(cause) = &error.kind
            && cause.effect == Effect::None
            && cause.kind != StoreErrorKind::NotDurable
        {
            // Nothing happened and nothing will: the number may be used again.
            self.in_doubt = false;
        }
        created?;
        // From here on the manifest is there: whatever fails now, it may count.
        let next_epoch = Epoch(manifest.epoch.0 + 1);
        let (store, group) = (self.store.as_ref(), &self.group);
        if !self.is_owner || is_claimed(store, group, next_epoch).map_err(may_count)? {
            let boundary = boundary(store, group).map_err(may_count)?;
            if boundary.is_some_and(|boundary| number <= boundary) {
                return Err(self.fenced(number, "was collected before this commit reached it"));
            }
        }
        self.in_doubt = false;
        self.head = Head {
            digest: Digest::of(&bytes),
            manifest,
        };
        Ok(())
    }

    /// Sends the bytes until the name holds them, or is known to hold others.
    fn create_or_learn(&self, number: u64, bytes: &Bytes) -> Result<(), RecoveryError> {
        let key = manifest_key(&self.group, number);
        // Once a request may still be on its way, no later answer proves that nothing will happen.
        let mut may_land = false;
        for _ in 0..ATTEMPTS {
            let outcome = self.store.create(&key, std::slice::from_ref(bytes));
            let is_reported = outcome.is_ok();
            if let Err(error) = outcome {
                let in_doubt = error.kind == StoreErrorKind::AlreadyExists
                    || error.effect == Effect::Unknown && error.kind != StoreErrorKind::NotDurable;
                if !in_doubt && may_land {
                    return Err(RecoveryError::store(error.with_effect(Effect::Unknown)));
                }
                if !in_doubt {
                    return Err(RecoveryError::store(error));
                }
            }
            may_land = true;
            match self.store.read(&key) {
                Ok(there) if there == *bytes && is_reported => return Ok(()),
                // Of a create that was not reported as done it is only known that it is visible.
                Ok(there) if there == *bytes => {
                    let settled = self.store.settle(&manifest_prefix(&self.group));
                    let in_doubt = |error: StoreError| error.with_effect(Effect::Unknown);
                    return settled.map_err(|error| RecoveryError::store(in_doubt(error)));
                }
                Ok(_) => return Err(self.fenced(number, "was committed by another worker")),
                // Not there, or not yet: the same bytes may go to the same name again.
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => {
                    return Err(RecoveryError::store(error.with_effect(Effect::Unknown)));
                }
            }
        }
        let kind = RecoveryErrorKind::InDoubt(number);
        Err(RecoveryError::new(&self.group, kind))
    }

    fn fenced(&self, number: u64, what: &str) -> RecoveryError {
        let kind = RecoveryErrorKind::Fenced(format!("manifest {number} {what}"));
        RecoveryError::new(&self.group, kind)
    }
}

/// A failed read had no effect of its own; what was done before it has.
fn may_count(error: RecoveryError) -> RecoveryError {
    match error.kind {
        RecoveryErrorKind::Store(cause) => RecoveryError::store(cause.with_effect(Effect::Unknown)),
        kind => RecoveryError { kind, ..error },
    }
}
