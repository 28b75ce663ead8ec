//! What goes wrong between a client and a server, and how often.

use std::{collections::BTreeMap, time::Duration};

use crate::random::Random;

/// Shares are parts of this.
const WHOLE: u64 = 10_000;

/// What is done to one request.
///
/// "Before" is without any effect: the server has not seen the request. "After" is with its effect,
/// of which the client does not learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// 408, before.
    RequestTimeout,
    /// 429 with `Retry-After: 0` or `Retry-After: 1`, before.
    TooManyRequests,
    /// 500, before.
    InternalError,
    /// 503, before.
    Unavailable,
    /// 500, after.
    InternalErrorAfter,
    /// 503, after.
    UnavailableAfter,
    /// The connection is reset, before.
    ResetBefore,
    /// The connection is reset, after.
    ResetAfter,
    /// No answer for [`Faults::stall`], then the connection is closed, before.
    StallBefore,
    /// No answer for [`Faults::stall`], then the connection is closed, after.
    StallAfter,
    /// The answer's head and a part of its body, then the connection is closed. An answer that has no
    /// body, or one that only the end of the connection delimits, is passed on.
    AnswerCut,
    /// The server gets the head and a part of the body, then both connections are closed. A request
    /// without a body is passed on.
    RequestCut,
    /// A 206 becomes a 200 without `Content-Range`, with the same body.
    RangeIgnored,
    /// A 206 is of another range than was asked for, and its `Content-Range` says so: later by one
    /// byte, or without some bytes at its start or at its end.
    RangeShifted,
    /// The server gets a PUT, POST or DELETE twice, and the client the second answer.
    Duplicated,
    /// A PUT or POST is answered with 503, or its connection is closed. The server gets it
    /// [`Faults::late`] after that.
    Late,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 16] = [
        FaultKind::RequestTimeout,
        FaultKind::TooManyRequests,
        FaultKind::InternalError,
        FaultKind::Unavailable,
        FaultKind::InternalErrorAfter,
        FaultKind::UnavailableAfter,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::StallBefore,
        FaultKind::StallAfter,
        FaultKind::AnswerCut,
        FaultKind::RequestCut,
        FaultKind::RangeIgnored,
        FaultKind::RangeShifted,
        FaultKind::Duplicated,
        FaultKind::Late,
    ];
}

/// An answer that a server gives for reasons of its own, whatever is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status and reason, such as `403 Forbidden`.
    pub status: &'static str,
    /// The provider's code, as S3 and Azure have it in the body.
    pub code: &'static str,
    /// Whether what has no body is let through.
    pub writes_only: bool,
}

/// What a [`FaultProxy`](crate::FaultProxy) does to requests. The default does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Where the choice of faults follows from. The same seed gives the same faults to the same
    /// order of requests.
    pub seed: u64,
    /// Of 10,000 requests, how many have a fault of this kind; their sum is at most 10,000. A fault
    /// that does not suit its request, say a range of a PUT, does not happen.
    pub shares: BTreeMap<FaultKind, u64>,
    /// How long every request waits before anything is done with it.
    pub latency: Duration,
    /// How fast the body of a request or of an answer goes, each for itself. One that is held in
    /// memory goes at once.
    pub bytes_per_second: Option<u64>,
    /// How long a stalled request waits.
    pub stall: Duration,
    /// How long a late request waits.
    pub late: Duration,
    /// Whether every connection is reset as soon as it is made.
    pub gone: bool,
    /// What requests are answered with instead of being passed on; they are not counted as faults.
    pub refusal: Option<Refusal>,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Faults {
        Faults::default()
    }

    /// A store that vanishes: nothing gets through.
    #[must_use]
    pub fn gone() -> Faults {
        Faults {
            gone: true,
            ..Faults::default()
        }
    }

    /// A server that refuses.
    #[must_use]
    pub fn refusing(status: &'static str, code: &'static str, writes_only: bool) -> Faults {
        Faults {
            refusal: Some(Refusal {
                status,
                code,
                writes_only,
            }),
            ..Faults::default()
        }
    }

    /// Faults of every kind, each with the same share of 10,000 requests: at most 625.
    #[must_use]
    pub fn all(seed: u64, share: u64) -> Faults {
        Faults {
            seed,
            shares: FaultKind::ALL.map(|kind| (kind, share)).into(),
            ..Faults::default()
        }
    }

    /// These, with a share of 10,000 for one kind.
    #[must_use]
    pub fn with(mut self, kind: FaultKind, share: u64) -> Faults {
        self.shares.insert(kind, share);
        self
    }

    /// # Panics
    ///
    /// If the shares are more than all, or a link so slow that nothing passes.
    pub(super) fn check(&self) {
        let shares: u64 = self.shares.values().sum();
        assert!(shares <= WHOLE, "{shares} faults in {WHOLE} requests");
        assert_ne!(self.bytes_per_second, Some(0), "bytes per second");
    }

    /// The fault of the next request, and a number for what is left open of it.
    pub(super) fn draw(&self, random: &mut Random) -> (Option<FaultKind>, u64) {
        let mut point = random.below(WHOLE);
        // Drawn with every request, so that what a fault needs does not change those after it.
        let detail = random.next();
        for (&kind, &share) in &self.shares {
            if point < share {
                return (Some(kind), detail);
            }
            point -= share;
        }
        (None, detail)
    }
}
