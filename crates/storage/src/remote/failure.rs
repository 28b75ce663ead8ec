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
    let verdict = verdict(&error);
    let changes = matches!(operation, Operation::Create | Operation::Delete);
    let effect = if changes && verdict.may_have_happened {
        Effect::Unknown
    } else {
        Effect::None
    };
    let failed = StoreError::new(operation, what, verdict.kind).with_effect(effect);
    match advice(&told(&error)) {
        Some(advice) => failed.with_source(Explained { advice, error }),
        None => failed.with_source(shortened(&error)),
    }
}

/// Sorts an error.
pub(super) fn verdict(error: &object_store::Error) -> Verdict {
    let told = told(error);
    let certain = |kind| Verdict {
        kind,
        may_have_happened: false,
    };
    if NO_BUCKET.iter().any(|code| told.contains(code)) {
        return certain(StoreErrorKind::NoStore);
    }
    if FULL.iter().any(|code| told.contains(code)) {
        return certain(StoreErrorKind::Full);
    }
    match error {
        object_store::Error::NotFound { .. } => certain(StoreErrorKind::NotFound),
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            certain(StoreErrorKind::AlreadyExists)
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => certain(StoreErrorKind::Denied),
        _ if told.contains("status code: 416") => certain(StoreErrorKind::Range),
        // A wrong region, or a request that its server does not understand.
        _ if told.contains("status code: 30")
            || told.contains("status code: 400")
            || told.contains("redirect without LOCATION") =>
        {
            certain(StoreErrorKind::Denied)
        }
        _ if told.contains("status code: 429") => certain(StoreErrorKind::Unavailable),
        _ => Verdict {
            kind: StoreErrorKind::Unavailable,
            may_have_happened: true,
        },
    }
}

/// Codes of a bucket or container that is not there.
const NO_BUCKET: [&str; 4] = [
    "NoSuchBucket",
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "The specified bucket does not exist",
];

/// Codes of a store that takes no more.
const FULL: [&str; 5] = [
    "QuotaExceeded",
    "XMinioStorageFull",
    "InsufficientStorage",
    "status code: 507",
    "AccountLimitExceeded",
];

/// What to do about the codes that people meet.
fn advice(told: &str) -> Option<&'static str> {
    let known: [(&[&str], &str); 7] = [
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
