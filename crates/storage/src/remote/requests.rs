//! Counting what is asked of a server: providers bill requests by kind.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};

/// Requests that were sent, by what they are billed as; those that were tried again count each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Objects, parts of them, and what begins, ends and copies them.
    pub puts: u64,
    /// Objects and ranges of them.
    pub gets: u64,
    /// Sizes.
    pub heads: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Deletes, one by one or in bulk.
    pub deletes: u64,
}

impl Requests {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.puts + self.gets + self.heads + self.lists + self.deletes
    }

    /// Puts, gets, heads, lists and deletes.
    #[must_use]
    pub const fn counts(&self) -> [u64; 5] {
        [self.puts, self.gets, self.heads, self.lists, self.deletes]
    }

    /// Those since an earlier reading.
    #[must_use]
    pub const fn since(&self, earlier: &Requests) -> Requests {
        Requests {
            puts: self.puts - earlier.puts,
            gets: self.gets - earlier.gets,
            heads: self.heads - earlier.heads,
            lists: self.lists - earlier.lists,
            deletes: self.deletes - earlier.deletes,
        }
    }
}

/// Counts as they are sent.
#[derive(Debug, Default)]
pub(super) struct Counter {
    puts: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
}

impl Counter {
    pub(super) fn read(&self) -> Requests {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests {
            puts: read(&self.puts),
            gets: read(&self.gets),
            heads: read(&self.heads),
            lists: read(&self.lists),
            deletes: read(&self.deletes),
        }
    }

    fn count(&self, method: &str, query: &str) {
        let count = match kind_of(method, query) {
            Kind::Put => &self.puts,
            Kind::Get => &self.gets,
            Kind::Head => &self.heads,
            Kind::List => &self.lists,
            Kind::Delete => &self.deletes,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Get,
    Head,
    List,
    Delete,
}

/// The bill's kind of a request, by its method and query in the three protocols.
fn kind_of(method: &str, query: &str) -> Kind {
    let has = |name: &str| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    };
    let is = |pair: &str| query.split('&').any(|known| known == pair);
    match method {
        "GET" if has("list-type") || is("comp=list") => Kind::List,
        "GET" => Kind::Get,
        "HEAD" => Kind::Head,
        "DELETE" => Kind::Delete,
        // Bulk deletes: S3 and Google by one name, Azure by another.
        "POST" if has("delete") || is("comp=batch") => Kind::Delete,
        _ => Kind::Put,
    }
}

/// Makes clients that count.
#[derive(Debug)]
pub(super) struct Counting(pub(super) Arc<Counter>);

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(CountingService {
            client,
            counter: Arc::clone(&self.0),
        }))
    }
}

#[derive(Debug)]
struct CountingService {
    client: HttpClient,
    counter: Arc<Counter>,
}

#[async_trait]
impl HttpService for CountingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        self.counter.count(request.method().as_str(), query);
        self.client.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_in_each_protocol() {
        for (method, query, kind) in [
            ("PUT", "", Kind::Put),
            ("PUT", "partNumber=1&uploadId=list-type", Kind::Put),
            ("POST", "uploads", Kind::Put),
            ("POST", "uploads=", Kind::Put),
            ("PUT", "comp=block&blockid=AA", Kind::Put),
            ("PUT", "comp=blocklist", Kind::Put),
            ("GET", "", Kind::Get),
            ("GET", "list-type=2&prefix=a", Kind::List),
            ("GET", "restype=container&comp=list&prefix=a", Kind::List),
            ("HEAD", "", Kind::Head),
            ("DELETE", "", Kind::Delete),
            ("POST", "delete", Kind::Delete),
            ("POST", "delete=", Kind::Delete),
            ("POST", "restype=container&comp=batch", Kind::Delete),
        ] {
            assert_eq!(kind_of(method, query), kind, "{method} {query}");
        }
    }
}
