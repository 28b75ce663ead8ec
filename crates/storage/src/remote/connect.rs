//! From an address to clients.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut, S3CopyIfNotExists},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    multipart::MultipartStore,
};

use super::{
    address::{Address, Provider},
    requests::{Counter, Counting},
};

/// The first and the longest wait before a request is tried again; each is drawn at random below the next
/// step.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often a request is tried again at most within the patience of the address.
const RETRIES_MAX: usize = 100;
/// How long a request is sent again as it was signed; those who wait longer sign it anew.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// How long it may take to reach a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients of one place.
pub(super) struct Clients {
    /// Tries again what may be done twice without harm: reads, deletes, parts of uploads.
    pub(super) patient: Arc<dyn ObjectStore>,
    /// The same one, for uploads whose parts are named one by one.
    pub(super) parts: Arc<dyn MultipartStore>,
    /// Sends each request once: for creates, whose outcome has to be looked at before the next try.
    pub(super) once: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.patient.fmt(f)
    }
}

/// One client, by the two sides it has.
type Sides = (Arc<dyn ObjectStore>, Arc<dyn MultipartStore>);

fn sides<T: ObjectStore + MultipartStore>(client: T) -> Sides {
    let client = Arc::new(client);
    (Arc::clone(&client) as Arc<dyn ObjectStore>, client)
}

/// Makes the clients; talks to nobody yet. `settings` go over the environment's.
pub(super) fn connect(
    address: &Address,
    settings: &[(&str, &str)],
    counter: &Arc<Counter>,
) -> Result<Clients, object_store::Error> {
    let patient = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: BACKOFF.0,
            max_backoff: BACKOFF.1,
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        // A request that is sent again keeps its signature, which servers take for some minutes only.
        retry_timeout: address.patience.min(SIGNED_FOR),
    };
    let once = RetryConfig {
        max_retries: 0,
        ..patient.clone()
    };
    let (patient, parts) = client(address, settings, counter, patient)?;
    Ok(Clients {
        patient,
        parts,
        once: client(address, settings, counter, once)?.0,
    })
}

fn client(
    address: &Address,
    settings: &[(&str, &str)],
    counter: &Arc<Counter>,
    retry: RetryConfig,
) -> Result<Sides, object_store::Error> {
    let counting = Counting(Arc::clone(counter));
    let endpoint = address.endpoint.clone();
    let client = match address.provider {
        Provider::S3 => {
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(&address.bucket)
                .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                .with_retry(retry)
                .with_http_connector(counting);
            for (key, value) in settings {
                builder =
                    builder.with_config(AmazonS3ConfigKey::from_str(&key.to_lowercase())?, *value);
            }
            for (key, value) in options(address) {
                builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(region) = &address.region {
                builder = builder.with_region(region);
            }
            sides(builder.build()?)
        }
        Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(&address.bucket)
                .with_retry(retry)
                .with_http_connector(counting);
            for (key, value) in settings {
                builder =
                    builder.with_config(AzureConfigKey::from_str(&key.to_lowercase())?, *value);
            }
            for (key, value) in options(address) {
                builder = builder.with_config(AzureConfigKey::Client(key), value);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(account) = &address.account {
                builder = builder.with_account(account);
            }
            sides(builder.build()?)
        }
        Provider::Google => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&address.bucket)
                .with_retry(retry)
                .with_http_connector(counting);
            for (key, value) in settings {
                builder =
                    builder.with_config(GoogleConfigKey::from_str(&key.to_lowercase())?, *value);
            }
            for (key, value) in options(address) {
                builder = builder.with_config(GoogleConfigKey::Client(key), value);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_base_url(&endpoint);
            }
            sides(builder.build()?)
        }
    };
    Ok(client)
}

/// What is set over what the environment says.
fn options(address: &Address) -> Vec<(ClientConfigKey, String)> {
    let seconds = |time: Duration| format!("{} seconds", time.as_secs());
    let connect = address.timeout.min(CONNECT_TIMEOUT);
    let mut options = vec![
        (ClientConfigKey::Timeout, seconds(address.timeout)),
        (ClientConfigKey::ConnectTimeout, seconds(connect)),
    ];
    // Whoever writes `http://` into the address means it.
    let endpoint = address.endpoint.as_deref().unwrap_or_default();
    if endpoint.starts_with("http://") {
        options.push((ClientConfigKey::AllowHttp, "true".to_owned()));
    }
    options
}
