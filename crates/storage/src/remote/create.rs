//! Creates whose outcome is in doubt.
//!
//! After a timeout, a reset or an answer that says nothing about the effect, the request may have
//! taken effect, may take it later, or never. What a server says of the next try may be about the
//! first, and something on the way may have sent even the first one twice: a conflict is what a
//! success looks like that was retried. So whatever is not a success is followed by a look at the name:
//!
//! | what is there | what follows |
//! | --- | --- |
//! | ours | done |
//! | another create's object | refused |
//! | nothing | the same bytes are sent again, until patience ends |
//!
//! Each create puts a nonce into the object's metadata, and by that it is ours. A copy of what was put
//! together before has no metadata of its own; it is ours by its size and hash.

use std::borrow::Cow;

use object_store::{
    Attribute, AttributeValue, GetOptions, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    path::Path,
};

use super::{
    Provider, Shared, UP_BYTES_MAX,
    failure::{failure, verdict},
    kibibytes,
    patience::Patience,
};
use crate::{
    error::{Effect, Operation, StoreError, StoreErrorKind},
    key::Key,
};

/// Bytes of what is sent whatever else is on its way up.
const SMALL_BYTES_MAX: usize = 1 << 20;

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
    /// The bytes themselves, and what is in their metadata.
    Whole {
        payload: &'a PutPayload,
        nonce: &'a str,
    },
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
    // As many bytes on their way as a thin link gets through within the time that a request may take. What is
    // small, such as a manifest, does not wait behind them.
    let bytes = payload.content_length();
    let permits = kibibytes(bytes).min(kibibytes(UP_BYTES_MAX));
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let _room = match bytes > SMALL_BYTES_MAX {
        true => shared.up.acquire_many(permits).await.ok(),
        false => None,
    };
    let nonce = shared.nonces.next_text();
    let (payload, nonce) = (&payload, nonce.as_str());
    decide(shared, key, &Sent::Whole { payload, nonce }).await
}

/// Sends it until it is known what came of it.
pub(super) async fn decide(shared: &Shared, key: &Key, sent: &Sent<'_>) -> Result<(), StoreError> {
    let mut patience = Patience::begin(shared);
    let mut in_doubt = false;
    loop {
        let Err(error) = send(shared, key, sent).await else {
            return Ok(());
        };
        let verdict = verdict(&error);
        in_doubt |= verdict.may_have_happened;
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
        match look(shared, key, sent).await {
            Ok(There::Ours) => return Ok(()),
            Ok(There::Others) => {
                let kind = StoreErrorKind::AlreadyExists;
                return Err(StoreError::new(Operation::Create, shared.name(key), kind));
            }
            // Two creates at the same time may both be told of a conflict.
            Ok(There::Nothing) => {}
            // A conflict that nobody could look at may be of ours.
            Err(_) => failed.effect = Effect::Unknown,
        }
        if failed.kind == StoreErrorKind::AlreadyExists {
            failed.kind = StoreErrorKind::Unavailable;
            failed.effect = Effect::Unknown;
        }
        if !patience.pause().await {
            return Err(failed);
        }
    }
}

async fn send(shared: &Shared, key: &Key, sent: &Sent<'_>) -> Result<(), object_store::Error> {
    let to = shared.path(key);
    let once = &shared.clients.once;
    match sent {
        Sent::Whole { payload, nonce } => {
            let mut options = PutOptions::from(PutMode::Create);
            let nonce = AttributeValue::from((*nonce).to_owned());
            options.attributes.insert(NONCE, nonce);
            let payload = PutPayload::clone(payload);
            once.put_opts(&to, payload, options).await.map(drop)
        }
        Sent::Copy { from, .. } => {
            once.copy_if_not_exists(from, &to).await?;
            if shared.address.provider == Provider::Azure {
                copied(shared, key, sent).await?;
            }
            Ok(())
        }
    }
}

/// Waits until a copy is there whole: Azure may answer while it still copies, and does not say so here.
async fn copied(shared: &Shared, key: &Key, sent: &Sent<'_>) -> Result<(), object_store::Error> {
    let mut patience = Patience::begin(shared);
    while look(shared, key, sent).await? != There::Ours {
        if !patience.pause().await {
            return Err(object_store::Error::Generic {
                store: "Azure",
                source: "the copy that it began does not come to an end".into(),
            });
        }
    }
    Ok(())
}

/// Looks at what is under the name.
async fn look(shared: &Shared, key: &Key, sent: &Sent<'_>) -> Result<There, object_store::Error> {
    let path = shared.path(key);
    let options = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    let there = match shared.clients.patient.get_opts(&path, options).await {
        Ok(there) => there,
        Err(object_store::Error::NotFound { .. }) => return Ok(There::Nothing),
        Err(error) => return Err(error),
    };
    let is_ours = match sent {
        Sent::Whole { nonce, .. } => {
            let theirs = there.attributes.get(&NONCE);
            theirs.is_some_and(|theirs| theirs.as_ref() == *nonce)
        }
        Sent::Copy { digest, .. } => {
            there.meta.size == digest.size && hash(shared, &path, digest.size).await? == digest.hash
        }
    };
    Ok(if is_ours { There::Ours } else { There::Others })
}

/// What the nonce of a create is called in the metadata of its object.
const NONCE: Attribute = Attribute::Metadata(Cow::Borrowed("nonce"));

/// Reads an object back in parts, as it may be large.
async fn hash(
    shared: &Shared,
    path: &Path,
    size: u64,
) -> Result<blake3::Hash, object_store::Error> {
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < size {
        let end = size.min(at + LOOK_BYTES);
        let bytes = shared.clients.patient.get_range(path, at..end).await?;
        hasher.update(&bytes);
        at = end;
    }
    Ok(hasher.finalize())
}

/// Bytes that are read back at a time.
pub const LOOK_BYTES: u64 = 8 << 20;
