//! What servers say, in the words of the seam.

use std::{error::Error, fmt};

use crate::error::{Effect, Operation, StoreError, StoreErrorKind};

/// What became of a request, by what an operator or a caller can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: StoreErrorKind,
    /// Whether the server may have done it: it was sent, and no answer says that it was not.
    pub(super) may_have_happened: bool,
}

/// An error of a server, with the advice for the cases that people meet.
#[derive(Debug)]
struct Explained {
    advice: &'static str,
    error: object_store::Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.advice, shortened(&self.error))
    }
}

impl Error for Explained {}

/// An error of a request for `what`.
pub(super) fn failure(
    operation: Operation,
    what: impl fmt::Display,
    error: object_store::Error,
) -> StoreError {
    let mut verdict = verdict(&error);
    if verdict.kind == StoreErrorKind::AlreadyExists && operation != Operation::Create {
        // A conflict with the state of an object, such as one in an archive.
        verdict.kind = StoreErrorKind::Denied;
    }
    let changes = matches!(operation, Operation::Create | Operation::Delete);
    let effect = if changes && verdict.may_have_happened {
        Effect::Unknown
    } else {
        Effect::None
    };
    let failed = StoreError::new(operation, what, verdict.kind).with_effect(effect);
    explained(failed, error)
}

/// An error before anything was sent: there is no usable configuration for `what`.
pub(super) fn unusable(what: impl fmt::Display, error: object_store::Error) -> StoreError {
    let denied = StoreError::new(Operation::Open, what, StoreErrorKind::Denied);
    explained(denied, error)
}

fn explained(failed: StoreError, error: object_store::Error) -> StoreError {
    match advice(&told(&error)) {
        Some(advice) => failed.with_source(Explained { advice, error }),
        None => failed.with_source(shortened(&error)),
    }
}

/// Sorts an error.
pub(super) fn verdict(error: &object_store::Error) -> Verdict {
    let told = told(error);
    let holds = |codes: &[&str]| codes.iter().any(|code| told.contains(code));
    let certain = |kind| Verdict {
        kind,
        may_have_happened: false,
    };
    let unknown = Verdict {
        kind: StoreErrorKind::Unavailable,
        may_have_happened: true,
    };
    if holds(&METADATA) {
        // What it says is about credentials and never about an object; the request was not sent.
        let is_refused = matches!(status(&told), Some(400..500));
        return certain(match is_refused {
            true => StoreErrorKind::Denied,
            false => StoreErrorKind::Unavailable,
        });
    }
    match status(&told) {
        Some(507) => return certain(StoreErrorKind::Full),
        // Whatever else the answer says, it may have been done.
        Some(500..) => return unknown,
        _ => {}
    }
    if holds(&NO_BUCKET) {
        return certain(StoreErrorKind::NoStore);
    }
    if holds(&FULL) {
        return certain(StoreErrorKind::Full);
    }
    match error {
        object_store::Error::NotFound { .. } => certain(StoreErrorKind::NotFound),
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            certain(StoreErrorKind::AlreadyExists)
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => certain(StoreErrorKind::Denied),
        // One key of a bulk delete that was refused.
        _ if holds(&["code: AccessDenied", "code: 403"]) => certain(StoreErrorKind::Denied),
        _ => match status(&told) {
            Some(416) => certain(StoreErrorKind::Range),
            Some(404) => certain(StoreErrorKind::NotFound),
            Some(408 | 429) => certain(StoreErrorKind::Unavailable),
            Some(400) if holds(&BROKEN_OFF) => certain(StoreErrorKind::Unavailable),
            // A wrong region, or a request that its server does not understand.
            Some(300..400 | 400 | 401 | 403) => certain(StoreErrorKind::Denied),
            None if told.contains("redirect without LOCATION") => certain(StoreErrorKind::Denied),
            _ => unknown,
        },
    }
}

/// The status of an answer; `None` where there was none.
fn status(told: &str) -> Option<u16> {
    let (_, behind) = told.split_once("status code: ")?;
    behind.get(..3)?.parse().ok()
}

/// Codes of a request that did not arrive whole.
const BROKEN_OFF: [&str; 4] = [
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
];

/// Hosts of the services that give a machine its credentials.
const METADATA: [&str; 3] = [
    "169.254.169.254",
    "169.254.170.",
    "metadata.google.internal",
];

/// Codes of a bucket or container that is not there.
const NO_BUCKET: [&str; 4] = [
    "NoSuchBucket",
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "The specified bucket does not exist",
];

/// Codes of a store that takes no more.
const FULL: [&str; 4] = [
    "QuotaExceeded",
    "XMinioStorageFull",
    "InsufficientStorage",
    "AccountLimitExceeded",
];

/// What to do about the codes that people meet.
fn advice(told: &str) -> Option<&'static str> {
    let known: [(&[&str], &str); 10] = [
        // First: what the metadata service answers says nothing about the store.
        (
            &METADATA,
            "no credentials are set, and the metadata service of this machine gave none",
        ),
        (
            &["Account must be specified"],
            "name the storage account: ?account=NAME or AZURE_STORAGE_ACCOUNT_NAME",
        ),
        (
            &["BlobArchived", "InvalidObjectState"],
            "it was moved to an archive, from which it has to be fetched first",
        ),
        (
            &NO_BUCKET,
            "create the bucket or container, or correct its name",
        ),
        (
            &FULL,
            "raise the quota or prune points; it goes on by itself then",
        ),
        (
            &[
                "RequestTimeTooSkewed",
                "Request date header too old",
                "the clock",
            ],
            "the clock of this machine is off: set it by NTP",
        ),
        (
            &[
                "PermanentRedirect",
                "AuthorizationHeaderMalformed",
                "redirect without LOCATION",
                "IllegalLocationConstraint",
            ],
            "the bucket is in another region: give it as ?region=NAME or AWS_REGION",
        ),
        (
            &[
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
                "AuthenticationFailed",
                "InvalidClientTokenId",
                "status code: 401",
            ],
            "the credentials are not valid here",
        ),
        (
            &["ExpiredToken", "TokenRefreshRequired"],
            "the credentials have expired",
        ),
        (
            &[
                "AccessDenied",
                "AuthorizationPermissionMismatch",
                "status code: 403",
            ],
            "these credentials do not allow it",
        ),
    ];
    let holds = |codes: &[&str]| codes.iter().any(|code| told.contains(code));
    let mut advices = known.iter();
    advices
        .find(|(codes, _)| holds(codes))
        .map(|(_, advice)| *advice)
}

/// All that is said by an error and by those below it.
fn told(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push(' ');
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}

/// Servers put pages of HTML and XML into their answers.
fn shortened(error: &object_store::Error) -> String {
    const CHARACTERS_MAX: usize = 400;
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str) -> (StoreErrorKind, bool) {
        let error = object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        };
        let Verdict {
            kind,
            may_have_happened,
        } = verdict(&error);
        (kind, may_have_happened)
    }

    #[test]
    fn answers_are_sorted_by_their_status_first() {
        for (text, kind, may_have_happened) in [
            (
                "status code: 503: status code: 400",
                StoreErrorKind::Unavailable,
                true,
            ),
            (
                "status code: 500: InsufficientStorage",
                StoreErrorKind::Unavailable,
                true,
            ),
            ("status code: 507: full", StoreErrorKind::Full, false),
            (
                "status code: 403: QuotaExceeded",
                StoreErrorKind::Full,
                false,
            ),
            (
                "status code: 404: NoSuchBucket",
                StoreErrorKind::NoStore,
                false,
            ),
            (
                "status code: 403: AccessDenied",
                StoreErrorKind::Denied,
                false,
            ),
            (
                "status code: 400: RequestTimeout",
                StoreErrorKind::Unavailable,
                false,
            ),
            (
                "status code: 400: AuthorizationHeaderMalformed",
                StoreErrorKind::Denied,
                false,
            ),
            ("status code: 416: ", StoreErrorKind::Range, false),
            (
                "failed for key a: no (code: AccessDenied)",
                StoreErrorKind::Denied,
                false,
            ),
            ("error sending request", StoreErrorKind::Unavailable, true),
            (
                "GET http://169.254.169.254/latest/meta-data: status code: 404",
                StoreErrorKind::Denied,
                false,
            ),
            (
                "PUT http://169.254.169.254/latest/api/token: error sending request",
                StoreErrorKind::Unavailable,
                false,
            ),
            (
                "GET http://169.254.170.2/v2: status code: 503",
                StoreErrorKind::Unavailable,
                false,
            ),
        ] {
            assert_eq!(sorted(text), (kind, may_have_happened), "{text}");
        }
    }

    #[test]
    fn the_first_cause_that_is_known_is_the_one_that_is_told() {
        for (text, said) in [
            (
                "PUT http://169.254.169.254/latest/api/token: status code: 403",
                "no credentials are set",
            ),
            ("Account must be specified", "?account=NAME"),
            ("status code: 403: QuotaExceeded", "raise the quota"),
            ("status code: 403: AccessDenied", "do not allow it"),
        ] {
            assert!(advice(text).unwrap().contains(said), "{text}");
        }
        assert_eq!(advice("error sending request"), None);
        let azure = object_store::azure::MicrosoftAzureBuilder::new().with_container_name("c");
        let error = unusable("az://c", azure.build().unwrap_err());
        assert_eq!(error.kind, StoreErrorKind::Denied);
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("?account=NAME"), "{cause}");
    }
}
