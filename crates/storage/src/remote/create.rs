//! Creates whose outcome is in doubt.
//!
//! After a timeout, a reset or an answer that says nothing about the effect, the request may have
//! taken effect, may take it later, or never. What a server says of the next try may be about the
//! first: a conflict is what a success looks like that was retried. So the truth is read back:
//!
//! | in doubt | what is there | what follows |
//! | --- | --- | --- |
//! | no | another create's object | refused |
//! | yes | the same bytes | done: they are ours, as everything that is created carries a nonce |
//! | yes | other bytes | refused |
//! | yes | nothing | the same bytes are sent again, until patience ends |

use std::time::Duration;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutPayload, path::Path};
use tokio::time::Instant;

use super::{
    Shared,
    failure::{failure, verdict},
};
use crate::{
    error::{Effect, Operation, StoreError, StoreErrorKind},
    key::Key,
};

/// The longest wait before the same bytes are sent again.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The wait after the first failure.
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// What a look at the name found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Ours,
    Others,
}

/// What is sent, and how it is recognised.
#[derive(Debug)]
pub(super) enum Sent<'a> {
    /// The bytes themselves.
    Whole(&'a PutPayload),
    /// A copy of an object that was put together before.
    Copy { from: &'a Path, digest: &'a Digest },
}

/// Size and hash of an object that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) size: u64,
    pub(super) hash: blake3::Hash,
}

/// Creates an object of the given bytes.
pub(super) async fn create(
    shared: &Shared,
    key: &Key,
    payload: PutPayload,
) -> Result<(), StoreError> {
    decide(shared, key, &Sent::Whole(&payload)).await
}

/// Sends it until it is known what came of it.
pub(super) async fn decide(shared: &Shared, key: &Key, sent: &Sent<'_>) -> Result<(), StoreError> {
    let began = Instant::now();
    let mut wait = WAIT_FIRST;
    let mut in_doubt = false;
    loop {
        let Err(error) = send(shared, key, sent).await else {
            return Ok(());
        };
        let verdict = verdict(&error);
        in_doubt |= verdict.may_have_happened;
        let is_conflict = verdict.kind == StoreErrorKind::AlreadyExists;
        let mut failed = failure(Operation::Create, shared.name(key), error);
        if in_doubt {
            failed.effect = Effect::Unknown;
        }
        match verdict.kind {
            StoreErrorKind::AlreadyExists | StoreErrorKind::Unavailable => {}
            StoreErrorKind::NotFound => {
                // It is the bucket or what was to be copied that is missing.
                failed.kind = StoreErrorKind::Unavailable;
                return Err(failed);
            }
            _ => return Err(failed),
        }
        if in_doubt || is_conflict {
            match look(shared, key, sent, in_doubt).await {
                Ok(There::Ours) => return Ok(()),
                Ok(There::Others) => {
                    let kind = StoreErrorKind::AlreadyExists;
                    let refused = StoreError::new(Operation::Create, shared.name(key), kind);
                    return Err(refused);
                }
                // Two creates at the same time may both be told of a conflict.
                Ok(There::Nothing) => {}
                Err(error) => {
                    if began.elapsed() >= shared.address.patience {
                        let unknown = failure(Operation::Create, shared.name(key), error);
                        return Err(unknown.with_effect(failed.effect));
                    }
                }
            }
        }
        if began.elapsed() + wait > shared.address.patience {
            return Err(failed);
        }
        tokio::time::sleep(jittered(wait, &shared.nonces.next())).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

async fn send(shared: &Shared, key: &Key, sent: &Sent<'_>) -> Result<(), object_store::Error> {
    let to = shared.path(key);
    let once = &shared.clients.once;
    match sent {
        Sent::Whole(payload) => {
            let create = PutMode::Create.into();
            let payload = PutPayload::clone(payload);
            once.put_opts(&to, payload, create).await.map(drop)
        }
        Sent::Copy { from, .. } => once.copy_if_not_exists(from, &to).await,
    }
}

/// Looks at what is under the name; whether it is ours only matters where that can be.
async fn look(
    shared: &Shared,
    key: &Key,
    sent: &Sent<'_>,
    may_be_ours: bool,
) -> Result<There, object_store::Error> {
    let path = shared.path(key);
    let patient = &shared.clients.patient;
    let there = match patient.head(&path).await {
        Ok(meta) => meta,
        Err(object_store::Error::NotFound { .. }) => return Ok(There::Nothing),
        Err(error) => return Err(error),
    };
    let size = match sent {
        Sent::Whole(payload) => u64::try_from(payload.content_length()),
        Sent::Copy { digest, .. } => Ok(digest.size),
    };
    if !may_be_ours || size != Ok(there.size) {
        return Ok(There::Others);
    }
    let mut hasher = blake3::Hasher::new();
    let ours = match sent {
        Sent::Whole(payload) => hash(payload.iter()),
        Sent::Copy { digest, .. } => digest.hash,
    };
    // In parts, as it may be large.
    let mut at = 0;
    while at < there.size {
        let end = there.size.min(at + LOOK_BYTES);
        match patient.get_range(&path, at..end).await {
            Ok(bytes) => hasher.update(&bytes),
            Err(object_store::Error::NotFound { .. }) => return Ok(There::Nothing),
            Err(error) => return Err(error),
        };
        at = end;
    }
    Ok(if hasher.finalize() == ours {
        There::Ours
    } else {
        There::Others
    })
}

/// Bytes that are read back at a time.
const LOOK_BYTES: u64 = 8 << 20;

fn hash<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    pieces.for_each(|piece| {
        hasher.update(piece);
    });
    hasher.finalize()
}

/// From half of `wait` to all of it, so that those who failed together do not come again together.
pub(super) fn jittered(wait: Duration, nonce: &[u8; 16]) -> Duration {
    let [byte, ..] = *nonce;
    wait / 2 + wait / 2 * u32::from(byte) / 255
}
