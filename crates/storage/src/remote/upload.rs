//! Objects larger than one request.
//!
//! Up to [`PART_BYTES`] an object is one conditional create. From there on its parts go up while more
//! is written, to a name of its own outside of all keys. When it is finished, it is copied to its
//! name under the condition that nothing is there, and the first one is deleted. A crash leaves parts
//! that the provider's lifecycle rule for unfinished uploads deletes, or the object outside of all
//! keys, which nobody ever reads.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use object_store::{MultipartId, ObjectStoreExt, PutPayload, multipart::PartId, path::Path};
use tokio::task::{JoinError, JoinSet};

use super::{
    Shared,
    connect::Clients,
    create::{Digest, Sent, create, decide},
    failure::{failure, verdict},
    kibibytes,
    patience::Patience,
};
use crate::{
    error::{Operation, StoreError, StoreErrorKind},
    key::Key,
    store::Upload,
};

/// Bytes of a part, and of the largest object that is sent as one.
pub const PART_BYTES: usize = 16 << 20;

/// An object on its way up.
#[derive(Debug)]
pub(super) struct RemoteUpload {
    shared: Arc<Shared>,
    key: Key,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    parts: Option<Parts>,
    failed: bool,
}

/// Parts that are sent, or on their way.
#[derive(Debug)]
struct Parts {
    path: Path,
    id: MultipartId,
    sending: JoinSet<Result<(usize, PartId), object_store::Error>>,
    /// Those that have arrived, by their numbers.
    sent: BTreeMap<usize, PartId>,
    begun: usize,
    hasher: blake3::Hasher,
    size: u64,
}

impl RemoteUpload {
    pub(super) const fn new(shared: Arc<Shared>, key: Key) -> RemoteUpload {
        RemoteUpload {
            shared,
            key,
            gathered: Vec::new(),
            gathered_bytes: 0,
            parts: None,
            failed: false,
        }
    }

    /// Sends what was gathered as a part; waits while too much is on its way.
    fn send_part(&mut self) -> Result<(), StoreError> {
        let gathered = std::mem::take(&mut self.gathered);
        let bytes = std::mem::take(&mut self.gathered_bytes);
        let shared = Arc::clone(&self.shared);
        let sent = shared.runtime.block_on(async {
            let parts = match &mut self.parts {
                Some(parts) => parts,
                none => none.insert(Parts::begin(&shared).await?),
            };
            while let Some(sent) = parts.sending.try_join_next() {
                parts.arrived(sent)?;
            }
            let permits = u32::try_from(kibibytes(bytes)).unwrap_or(u32::MAX);
            let room = Arc::clone(&shared.up).acquire_many_owned(permits).await;
            for piece in &gathered {
                parts.hasher.update(piece);
            }
            parts.size += u64::try_from(bytes).unwrap_or(u64::MAX);
            let payload: PutPayload = gathered.into_iter().collect();
            let (number, path, id) = (parts.begun, parts.path.clone(), parts.id.clone());
            parts.begun += 1;
            let shared = Arc::clone(&shared);
            parts.sending.spawn(async move {
                let sent = put_part(&shared, &path, &id, number, &payload).await;
                drop(room);
                sent.map(|part| (number, part))
            });
            Ok(())
        });
        sent.map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: object_store::Error) -> StoreError {
        self.failed = true;
        let mut failed = failure(Operation::Create, self.shared.name(&self.key), error);
        // Nothing is under the name before the copy.
        failed.effect = crate::error::Effect::None;
        if matches!(
            failed.kind,
            StoreErrorKind::NotFound | StoreErrorKind::AlreadyExists
        ) {
            failed.kind = StoreErrorKind::Unavailable;
        }
        failed
    }
}

/// Does what concerns nobody else again while the server does not answer.
async fn again<T>(
    shared: &Shared,
    mut request: impl AsyncFnMut() -> Result<T, object_store::Error>,
) -> Result<T, object_store::Error> {
    let mut patience = Patience::begin(shared);
    loop {
        match request().await {
            Err(error) if may_pass(&error) && patience.pause().await => {}
            ended => return ended,
        }
    }
}

/// As [`again`], for a task of its own, which an asynchronous closure cannot be part of.
async fn put_part(
    shared: &Shared,
    path: &Path,
    id: &MultipartId,
    number: usize,
    payload: &PutPayload,
) -> Result<PartId, object_store::Error> {
    let mut patience = Patience::begin(shared);
    loop {
        let client = &shared.clients.parts;
        match client.put_part(path, id, number, payload.clone()).await {
            Err(error) if may_pass(&error) && patience.pause().await => {}
            ended => return ended,
        }
    }
}

fn may_pass(error: &object_store::Error) -> bool {
    verdict(error).kind == StoreErrorKind::Unavailable
}

impl Parts {
    async fn begin(shared: &Shared) -> Result<Parts, object_store::Error> {
        let path = shared.staged();
        let client = &shared.clients.parts;
        let id = again(shared, async || client.create_multipart(&path).await).await?;
        Ok(Parts {
            path,
            id,
            sending: JoinSet::new(),
            sent: BTreeMap::new(),
            begun: 0,
            hasher: blake3::Hasher::new(),
            size: 0,
        })
    }

    fn arrived(
        &mut self,
        sent: Result<Result<(usize, PartId), object_store::Error>, JoinError>,
    ) -> Result<(), object_store::Error> {
        let (number, part) = sent.map_err(|source| object_store::Error::JoinError { source })??;
        self.sent.insert(number, part);
        Ok(())
    }

    /// Puts the parts together.
    async fn complete(&mut self, shared: &Shared) -> Result<Digest, object_store::Error> {
        while let Some(sent) = self.sending.join_next().await {
            self.arrived(sent)?;
        }
        let Clients { patient, parts, .. } = &shared.clients;
        let sent: Vec<PartId> = self.sent.values().cloned().collect();
        again(shared, async || {
            let completed = parts.complete_multipart(&self.path, &self.id, sent.clone());
            let completed = completed.await;
            let head = async || patient.head(&self.path).await;
            if completed.is_err() && head().await.is_ok_and(|meta| meta.size == self.size) {
                // An earlier try was the one that counted.
                return Ok(());
            }
            completed.map(drop)
        })
        .await?;
        Ok(Digest {
            size: self.size,
            hash: self.hasher.finalize(),
        })
    }
}

impl Upload for RemoteUpload {
    fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut bytes = bytes;
        while self.gathered_bytes + bytes.len() > PART_BYTES {
            let piece = bytes.split_to(PART_BYTES - self.gathered_bytes);
            self.gathered_bytes += piece.len();
            self.gathered.push(piece);
            self.send_part()?;
        }
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.failed {
            let name = self.shared.name(&self.key);
            let refusal = StoreError::new(Operation::Create, name, StoreErrorKind::Unavailable);
            return Err(refusal.with_source("a write of this upload failed before"));
        }
        if self.parts.is_none() {
            let payload = std::mem::take(&mut self.gathered).into_iter().collect();
            let shared = &self.shared;
            return shared.run(create(shared, &self.key, payload));
        }
        if self.gathered_bytes > 0 {
            self.send_part()?;
        }
        let shared = Arc::clone(&self.shared);
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        let completed = shared.run(parts.complete(&shared));
        let digest = completed.map_err(|error| self.failed(error))?;
        let Some(parts) = self.parts.take() else {
            return Ok(());
        };
        shared.run(async {
            let sent = Sent::Copy {
                from: &parts.path,
                digest: &digest,
            };
            let created = decide(&shared, &self.key, &sent).await;
            // What is left there costs money and harms nobody.
            if let Err(error) = shared.clients.patient.delete(&parts.path).await {
                tracing::warn!(path = %parts.path, %error, "a staged object was left");
            }
            created
        })
    }
}

impl Drop for RemoteUpload {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else {
            return;
        };
        // Nobody waits for it.
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            parts.sending.shutdown().await;
            let aborted = shared.clients.parts.abort_multipart(&parts.path, &parts.id);
            if let Err(error) = aborted.await {
                tracing::warn!(path = %parts.path, %error, "parts of an upload were left");
            }
        });
    }
}
