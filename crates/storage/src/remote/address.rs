//! Names of places in object stores, as people write them.

use std::{fmt, time::Duration};

use object_store::path::Path;

/// Where in which object store: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`.
///
/// Behind a `?` may stand, with `&` between them:
///
/// - `endpoint=URL`: another server than the provider's own; `http://` is taken where it is written
///   out here;
/// - `region=NAME` (S3), `account=NAME` (Azure);
/// - `timeout=SECONDS`: how long one request may take (60);
/// - `patience=SECONDS`: how long a request is tried again before its failure is reported (180);
/// - `in-flight=N`: requests at the same time (32).
///
/// Secrets are never part of it: they come from the provider's environment variables and credential
/// chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whose protocol is spoken.
    pub provider: Provider,
    /// The bucket or container.
    pub bucket: String,
    /// What stands before every key.
    pub prefix: Path,
    /// Another server than the provider's own.
    pub endpoint: Option<String>,
    /// The region (S3).
    pub region: Option<String>,
    /// The storage account (Azure).
    pub account: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How long a request is tried again.
    pub patience: Duration,
    /// Requests at the same time.
    pub in_flight: usize,
}

/// Whose protocol a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Amazon S3 and what is compatible with it.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Google,
}

/// Text that is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {what}")]
pub struct InvalidAddress {
    url: String,
    what: String,
}

/// Seconds that one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds that a request is tried again.
const PATIENCE: Duration = Duration::from_secs(180);
/// Requests at the same time.
const IN_FLIGHT: usize = 32;

impl Provider {
    /// The scheme of its URLs.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Provider::S3 => "s3",
            Provider::Azure => "az",
            Provider::Google => "gs",
        }
    }

    fn of_scheme(scheme: &str) -> Option<Provider> {
        [Provider::S3, Provider::Azure, Provider::Google]
            .into_iter()
            .find(|provider| provider.scheme() == scheme)
    }
}

impl Address {
    /// Reads a URL; `None` where its scheme is not one of an object store.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] with what is wrong.
    #[must_use]
    pub fn parse(url: &str) -> Option<Result<Address, InvalidAddress>> {
        let (scheme, rest) = url.split_once("://")?;
        let provider = Provider::of_scheme(scheme)?;
        let read = Address::read(provider, rest);
        Some(read.map_err(|what| InvalidAddress {
            url: url.to_owned(),
            what,
        }))
    }

    fn read(provider: Provider, rest: &str) -> Result<Address, String> {
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            let scheme = provider.scheme();
            return Err(format!("which bucket? write {scheme}://BUCKET/PREFIX"));
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix =
            Path::parse(prefix).map_err(|error| format!("its prefix is not a path: {error}"))?;
        if Path::from(prefix.as_ref()) != prefix {
            // Servers would list them under other names than they were given.
            return Err("its prefix has characters that names of objects escape".to_owned());
        }
        let mut address = Address {
            provider,
            bucket: bucket.to_owned(),
            prefix,
            endpoint: None,
            region: None,
            account: None,
            timeout: TIMEOUT,
            patience: PATIENCE,
            in_flight: IN_FLIGHT,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            address.set(name, value)?;
        }
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("{name} has no value"));
        }
        let number = |least: u64, most: u64| match value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("{name} is a number from {least} to {most}")),
        };
        match (name, self.provider) {
            ("endpoint", _) => {
                if !value.starts_with("http://") && !value.starts_with("https://") {
                    return Err("endpoint is a URL, as in http://127.0.0.1:9000".to_owned());
                }
                self.endpoint = Some(value.trim_end_matches('/').to_owned());
            }
            ("region", Provider::S3) => self.region = Some(value.to_owned()),
            ("account", Provider::Azure) => self.account = Some(value.to_owned()),
            ("timeout", _) => self.timeout = Duration::from_secs(number(1, 3600)?),
            ("patience", _) => self.patience = Duration::from_secs(number(0, 86_400)?),
            ("in-flight", _) => {
                self.in_flight = usize::try_from(number(1, 1024)?).map_err(|e| e.to_string())?;
            }
            _ => {
                return Err(format!(
                    "{name} is no option of {}://; there are endpoint, region (s3), account (az), \
                     timeout, patience and in-flight",
                    self.provider.scheme()
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    /// The URL without its options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.bucket)?;
        match self.prefix.as_ref() {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, String> {
        Address::parse(url)
            .expect("an object store's scheme")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn urls_are_read_and_shown() {
        let address = read(
            "s3://bucket/a/B?endpoint=http://localhost:9000/&region=eu-1&timeout=5&patience=0&in-flight=7",
        )
        .unwrap();
        assert_eq!(address.to_string(), "s3://bucket/a/B");
        assert_eq!(address.endpoint.as_deref(), Some("http://localhost:9000"));
        assert_eq!(address.region.as_deref(), Some("eu-1"));
        assert_eq!(address.timeout, Duration::from_secs(5));
        assert_eq!(address.patience, Duration::ZERO);
        assert_eq!(address.in_flight, 7);
        for plain in ["gs://bucket", "az://container/p"] {
            assert_eq!(read(plain).unwrap().to_string(), plain);
            assert_eq!(read(&format!("{plain}/")).unwrap().to_string(), plain);
        }
    }

    #[test]
    fn other_schemes_are_left_to_others() {
        for other in ["/srv/a", "file:///srv", "s3:/a", "ftp://a/b"] {
            assert!(Address::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, said) in [
            ("s3://", "which bucket"),
            ("s3:///a", "which bucket"),
            ("s3://b/a//c", "its prefix"),
            (
                "s3://b/~ops/points",
                "characters that names of objects escape",
            ),
            (
                "s3://b/b\u{fc}ro",
                "characters that names of objects escape",
            ),
            ("s3://b/a?endpoint=localhost", "endpoint is a URL"),
            ("s3://b/a?timeout=0", "timeout is a number"),
            ("s3://b/a?in-flight=lots", "in-flight is a number"),
            ("s3://b/a?account=x", "account is no option of s3://"),
            ("az://b/a?key=secret", "key is no option of az://"),
            ("gs://b/a?region", "region has no value"),
        ] {
            let error = read(url).unwrap_err();
            assert!(error.contains(said), "{url}: {error}");
            assert!(error.starts_with(url), "{error}");
        }
    }
}
