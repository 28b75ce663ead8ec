//! Stores in object stores: Amazon S3, Azure Blob, Google Cloud Storage.
//!
//! | part | what |
//! | --- | --- |
//! | [`Address`] | how a place is written |
//! | `connect` | clients of the provider's protocol |
//! | `requests` | counting what is billed |
//! | `patience` | how long something is tried again |
//! | `create` | creates whose outcome is in doubt |
//! | `upload` | objects larger than one request |
//! | `ahead` | ranges fetched before they are asked for |
//! | `body` | the memory of what was fetched |
//! | `failure` | what servers say, in the words of the seam |
//!
//! The client is asynchronous; nothing outside this folder is.

mod address;
mod ahead;
mod body;
mod connect;
mod create;
mod failure;
mod list;
mod patience;
mod requests;
mod runtime;
mod upload;

use std::{future::Future, ops::Range, sync::Arc, time::SystemTime};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt, path::Path};
use tokio::{runtime::Runtime, sync::Semaphore};

pub use self::{
    address::{Address, InvalidAddress, Provider},
    create::LOOK_BYTES,
    requests::Requests,
    upload::PART_BYTES,
};
use self::{connect::Clients, failure::failure, patience::Patience, requests::Counter};
use crate::{
    error::{Operation, StoreError, StoreErrorKind},
    key::Key,
    nonce::Nonces,
    read_ahead::ReadAhead,
    store::{Entry, Store, Tail, Upload},
};

/// Bytes that are kept of what was fetched ahead, for all users of a store together.
const AHEAD_BYTES_MAX: usize = 64 << 20;
/// Bytes that are on their way up at a time, of all users of a store together.
const UP_BYTES_MAX: usize = 64 << 20;
/// Keys of one bulk delete.
pub const DELETES_MAX: usize = 1000;

/// Objects below a prefix of a bucket or container. Clones share the client.
///
/// # Why it keeps the contract
///
/// - A create is a conditional request (`If-None-Match: *`, or the generation 0), so of many exactly
///   one succeeds, and a success is durable. A server that ignores the condition breaks this; the
///   probe ([`crate::probe`]) finds it out.
/// - After a create whose outcome is in doubt the truth is read back and compared. The same bytes are
///   sent again while nothing is there, never others, so a request that lands late lands as what
///   was meant.
/// - An object too large for one request is put together under a name that nobody else uses, outside of
///   all keys, and then copied to its own under the condition that nothing is there.
/// - Visible implies durable, so there is nothing to settle. Leftovers of uploads that died lie outside
///   of all keys, for the provider's lifecycle rules.
///
/// Its calls block and must not be made from asynchronous code.
#[derive(Clone, Debug)]
pub struct RemoteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    clients: Clients,
    counter: Arc<Counter>,
    runtime: &'static Runtime,
    nonces: Nonces,
    /// One permit a request of the callers' own; requests beyond wait.
    in_flight: Semaphore,
    /// One permit a KiB fetched ahead.
    ahead: Arc<Semaphore>,
    /// One permit a KiB on its way up.
    up: Arc<Semaphore>,
}

impl RemoteStore {
    /// Makes a client for an address, with configuration and credentials as the provider's own tools
    /// find them. Talks to nobody: [`check`](RemoteStore::check) does.
    ///
    /// # Errors
    ///
    /// There is no usable configuration for it.
    pub fn connect(address: Address) -> Result<RemoteStore, StoreError> {
        RemoteStore::connect_with(address, &[])
    }

    /// Makes a client as [`connect`](RemoteStore::connect) does, with settings that go over those of
    /// the environment and have the names of its variables: `("AWS_ACCESS_KEY_ID", "...")`.
    ///
    /// # Errors
    ///
    /// Those of `connect`, or a name that is no setting.
    pub fn connect_with(
        address: Address,
        settings: &[(&str, &str)],
    ) -> Result<RemoteStore, StoreError> {
        let counter = Arc::<Counter>::default();
        let clients = connect::connect(&address, settings, &counter);
        let clients = clients.map_err(|error| failure::unusable(&address, error))?;
        let runtime = runtime::runtime().map_err(|error| {
            let kind = StoreErrorKind::Unavailable;
            StoreError::new(Operation::Open, &address, kind).with_source(error)
        })?;
        Ok(RemoteStore {
            shared: Arc::new(Shared {
                in_flight: Semaphore::new(address.in_flight),
                ahead: Arc::new(Semaphore::new(kibibytes(AHEAD_BYTES_MAX))),
                up: Arc::new(Semaphore::new(kibibytes(UP_BYTES_MAX))),
                address,
                clients,
                counter,
                runtime,
                nonces: Nonces::from_os(),
            }),
        })
    }

    /// Asks for an object that cannot be there: finds out whether the server answers, knows the bucket
    /// and takes the credentials.
    ///
    /// # Errors
    ///
    /// What keeps it from answering, with what to do about it.
    pub fn check(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let absent = shared.staged();
        let asked = shared.run(shared.clients.patient.get(&absent));
        match asked.map_err(|error| failure(Operation::Open, &shared.address, error)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// When the server says that an object was created: its clock.
    ///
    /// # Errors
    ///
    /// Those of [`Store::size`].
    pub fn created(&self, key: &Key) -> Result<SystemTime, StoreError> {
        let shared = &self.shared;
        Ok(shared.run(shared.head(key))?.last_modified.into())
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    fn get(&self, key: &Key, range: Option<GetRange>) -> Result<(u64, Bytes), StoreError> {
        let shared = &self.shared;
        shared.run(shared.fetch(key, range))
    }
}

impl Shared {
    /// The object's path in the bucket.
    fn path(&self, key: &Key) -> Path {
        match self.address.prefix.as_ref() {
            "" => Path::from(key.as_str()),
            prefix => Path::from(format!("{prefix}/{key}")),
        }
    }

    /// A path that no key has: parts of keys begin with a letter or a digit.
    fn staged(&self) -> Path {
        let name = self.nonces.next_text();
        match self.address.prefix.as_ref() {
            "" => Path::from(format!("{STAGING}/{name}")),
            prefix => Path::from(format!("{prefix}/{STAGING}/{name}")),
        }
    }

    /// The object as errors name it.
    fn name(&self, key: &Key) -> String {
        format!("{}/{key}", self.address)
    }

    /// Waits for a request; holds one of the permits meanwhile.
    fn run<T>(&self, request: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let _permit = self.in_flight.acquire().await;
            request.await
        })
    }

    /// Does what may be done twice without harm, again and again while the store does not answer. The
    /// client tries again too, but not after every kind of loss: not when the body of an answer is cut, and
    /// not with a method that it does not know to be harmless.
    async fn patiently<T>(
        &self,
        mut request: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut patience = Patience::begin(self);
        loop {
            match request().await {
                Err(error) if error.kind == StoreErrorKind::Unavailable => {
                    if !patience.pause().await {
                        return Err(error);
                    }
                }
                ended => return ended,
            }
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta, StoreError> {
        let path = self.path(key);
        self.patiently(async || {
            let asked = self.clients.patient.head(&path).await;
            asked.map_err(|error| failure(Operation::Size, self.name(key), error))
        })
        .await
    }

    /// Fetches an object or a part of it, and learns its size.
    ///
    /// The client tries again what was not answered. What was answered wrongly, such as with another
    /// range, is tried again here.
    async fn fetch(&self, key: &Key, range: Option<GetRange>) -> Result<(u64, Bytes), StoreError> {
        let mut patience = Patience::begin(self);
        loop {
            let failed = match self.fetch_once(key, range.clone()).await {
                Ok((size, bytes)) if is_whole(range.as_ref(), size, &bytes) => {
                    return Ok((size, bytes));
                }
                Ok(_) => {
                    let kind = StoreErrorKind::Unavailable;
                    let short = StoreError::new(Operation::Read, self.name(key), kind);
                    short.with_source("the server gave other bytes than those asked for")
                }
                Err(error) => failure(Operation::Read, self.name(key), error),
            };
            let may_pass = matches!(
                failed.kind,
                StoreErrorKind::Unavailable | StoreErrorKind::Range
            );
            if !may_pass {
                return Err(failed);
            }
            if let Some(range) = &range
                && let Ok(meta) = self.clients.patient.head(&self.path(key)).await
                && !is_within(range, meta.size)
            {
                let kind = StoreErrorKind::Range;
                return Err(StoreError::new(Operation::Read, self.name(key), kind));
            }
            if !patience.pause().await {
                return Err(StoreError {
                    kind: StoreErrorKind::Unavailable,
                    ..failed
                });
            }
        }
    }

    async fn fetch_once(
        &self,
        key: &Key,
        range: Option<GetRange>,
    ) -> Result<(u64, Bytes), object_store::Error> {
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        let path = self.path(key);
        let got = self.clients.patient.get_opts(&path, options).await?;
        let size = got.meta.size;
        Ok((size, body::whole(got).await?))
    }
}

/// Whether these are as many bytes as were asked for. A server cuts a range that reaches beyond the end.
fn is_whole(range: Option<&GetRange>, size: u64, bytes: &Bytes) -> bool {
    let wanted = match range {
        None => size,
        Some(GetRange::Bounded(range)) => range.end - range.start,
        Some(GetRange::Offset(offset)) => size.saturating_sub(*offset),
        Some(GetRange::Suffix(bytes)) => size.min(*bytes),
    };
    u64::try_from(bytes.len()) == Ok(wanted)
}

/// Whether there is something to be had of a range.
const fn is_within(range: &GetRange, size: u64) -> bool {
    match range {
        GetRange::Bounded(range) => range.end <= size,
        GetRange::Offset(_) | GetRange::Suffix(_) => size > 0,
    }
}

/// The part of a path that is no part of a key.
const STAGING: &str = "_staging";

/// Bytes in units of permits, rounded up.
const fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

impl Store for RemoteStore {
    fn create(&self, key: &Key, body: &[Bytes]) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.run(create::create(shared, key, body.iter().cloned().collect()))
    }

    fn upload(&self, key: &Key) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(upload::RemoteUpload::new(
            Arc::clone(&self.shared),
            key.clone(),
        )))
    }

    fn read(&self, key: &Key) -> Result<Bytes, StoreError> {
        Ok(self.get(key, None)?.1)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let beyond = || {
            let name = self.shared.name(key);
            StoreError::new(Operation::Read, name, StoreErrorKind::Range)
        };
        if range.start >= range.end {
            // Nothing can be asked for; the size says whether it is within.
            let size = self.size(key).map_err(|error| StoreError {
                operation: Operation::Read,
                ..error
            })?;
            let within = range.start == range.end && range.end <= size;
            return if within {
                Ok(Bytes::new())
            } else {
                Err(beyond())
            };
        }
        Ok(self.get(key, Some(GetRange::Bounded(range)))?.1)
    }

    fn read_tail(&self, key: &Key, bytes_max: u64) -> Result<Tail, StoreError> {
        let is_azure = self.shared.address.provider == Provider::Azure;
        if bytes_max == 0 || is_azure {
            // Azure has no ranges from the end.
            let size = self.size(key).map_err(|error| StoreError {
                operation: Operation::Read,
                ..error
            })?;
            let bytes = self.read_range(key, size.saturating_sub(bytes_max)..size)?;
            return Ok(Tail { size, bytes });
        }
        match self.get(key, Some(GetRange::Suffix(bytes_max))) {
            Ok((size, bytes)) => Ok(Tail { size, bytes }),
            // An empty object has no end to ask for.
            Err(error) if error.kind == StoreErrorKind::Range => Ok(Tail {
                size: 0,
                bytes: Bytes::new(),
            }),
            Err(error) => Err(error),
        }
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        let shared = &self.shared;
        Ok(shared.run(shared.head(key))?.size)
    }

    fn list(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let shared = &self.shared;
        shared.run(shared.patiently(async || list::list(shared, prefix, after, limit).await))
    }

    fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.delete_all(std::slice::from_ref(key))
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        let shared = &self.shared;
        for keys in keys.chunks(DELETES_MAX) {
            shared.run(shared.patiently(async || list::delete_all(shared, keys).await))?;
        }
        Ok(())
    }

    fn requests(&self) -> Option<Requests> {
        Some(self.shared.counter.read())
    }

    fn settle(&self, _prefix: &Key) -> Result<(), StoreError> {
        Ok(())
    }

    fn read_ahead(&self, wanted: &[(Key, Range<u64>)]) -> Option<Box<dyn ReadAhead>> {
        Some(Box::new(ahead::Fetching::begin(&self.shared, wanted)))
    }
}
