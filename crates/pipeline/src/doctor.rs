//! Whether a store can be used, and by whom: reached, allowed, exact, in time.

use std::{sync::Arc, time::Duration};

use afterimage_storage::{Key, Nonces, RemoteStore, Store, StoreError, StoreErrorKind, probe};

use crate::{
    clock::{instant, system_clock},
    error::{Error, ErrorKind},
    location::{Location, open_remote, open_store, parse},
};

/// Who is to use a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The agent at the source: fills the cache, and should not be able to take anything away.
    Capture,
    /// A worker: empties the cache, makes and prunes points.
    Replicate,
    /// Whoever fails over: reads points, and holds them meanwhile.
    Restore,
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub verdict: Verdict,
    /// What was seen, and what to do.
    pub said: String,
    /// Where it does not work, what kind of error that is.
    pub error: Option<ErrorKind>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works; somebody should look at it.
    Notable,
    /// It does not work.
    Bad,
}

impl Verdict {
    /// The word that people and JSON see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Notable => "look",
            Verdict::Bad => "bad",
        }
    }
}

/// What a clock may be off before signed requests are refused somewhere: S3 takes 15 minutes.
const SKEW_MAX: Duration = Duration::from_secs(60);
/// Round trips that are timed.
const ROUND_TRIPS: usize = 7;

/// Examines the store that a URL names. Writes a few small objects below `afterimage-probe/` and deletes
/// them, where it may.
///
/// # Panics
///
/// Where the operating system has no random bytes or no threads.
#[must_use]
pub fn examine(url: &str, role: Role) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (store, remote) = match open(url) {
        Ok(opened) => opened,
        Err(error) => {
            findings.push(Finding {
                error: Some(error.kind()),
                ..bad("reach", error.again().to_string())
            });
            return findings;
        }
    };
    findings.push(good(
        "reach",
        "it answers, has the place and takes the credentials",
    ));
    let nonces = Nonces::from_os();
    let id = nonces.next_text();
    let key = Key::new(&format!("afterimage-probe/{id}")).expect("hexadecimal digits are a key");
    let created = store.create(&key, &[bytes::Bytes::from_static(b"probe")]);
    findings.push(permission("create", true, created.as_ref().err()));
    let read = store.read(&key);
    let read = read.err().filter(|error| !is_absent(error));
    findings.push(permission("read", true, read.as_ref()));
    let folder = Key::new("afterimage-probe").expect("a word is a key");
    let listed = store.list(&folder, None, 1);
    findings.push(permission("list", true, listed.as_ref().err()));
    if created.is_ok() {
        findings.extend(remote.as_ref().and_then(|remote| clock(remote, &key)));
        findings.push(round_trip(&store, &key));
    }
    let deleted = store.delete(&key);
    findings.push(permission(
        "delete",
        role != Role::Capture,
        deleted.as_ref().err(),
    ));
    if created.is_ok() {
        findings.push(match probe(&store, &nonces) {
            Ok(()) => good(
                "exactness",
                "of creates that race for a name exactly one succeeds",
            ),
            Err(error) => bad(
                "exactness",
                format!("not for more than one worker: {error}"),
            ),
        });
    }
    findings
}

fn open(url: &str) -> Result<(Arc<dyn Store>, Option<RemoteStore>), Error> {
    match parse(url)? {
        Location::Remote(address) => {
            let remote = open_remote(*address)?;
            Ok((Arc::new(remote.clone()), Some(remote)))
        }
        Location::Memory | Location::Folder(_) => Ok((open_store(url)?, None)),
    }
}

fn is_absent(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::NotFound
}

fn good(what: &'static str, said: impl Into<String>) -> Finding {
    Finding {
        what,
        verdict: Verdict::Good,
        said: said.into(),
        error: None,
    }
}

fn bad(what: &'static str, said: impl Into<String>) -> Finding {
    Finding {
        verdict: Verdict::Bad,
        error: Some(ErrorKind::Invalid),
        ..good(what, said)
    }
}

/// What keeps something from being done.
fn refused_by(what: &'static str, error: &StoreError) -> Finding {
    let may_pass = matches!(
        error.kind,
        StoreErrorKind::Unavailable | StoreErrorKind::Full
    );
    let kind = if may_pass {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Invalid
    };
    Finding {
        error: Some(kind),
        ..bad(what, explained(error))
    }
}

fn explained(error: &StoreError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or(error.to_string(), |cause| format!("{error} ({cause})"))
}

/// What may be missing, and what there may be too much of.
fn permission(what: &'static str, is_needed: bool, refused: Option<&StoreError>) -> Finding {
    match (refused, is_needed) {
        (None, true) => good(what, "allowed"),
        (Some(error), false) if error.kind == StoreErrorKind::Denied => {
            good(what, "not allowed, and not needed")
        }
        (Some(error), _) => refused_by(what, error),
        (None, false) => Finding {
            verdict: Verdict::Notable,
            ..good(what, "allowed, but an agent does not need it: take it away")
        },
    }
}

fn clock(remote: &RemoteStore, key: &Key) -> Option<Finding> {
    let created = remote.created(key).ok()?;
    let theirs = created.duration_since(std::time::UNIX_EPOCH).ok()?;
    let ours = Duration::from_micros(system_clock()().0);
    let skew = ours.abs_diff(theirs);
    let said = format!("the clocks are {} s apart", skew.as_secs());
    // Servers give whole seconds.
    Some(if skew <= SKEW_MAX {
        good("clock", said)
    } else {
        bad(
            "clock",
            format!("{said}: set the clock of this machine by NTP"),
        )
    })
}

fn round_trip(store: &Arc<dyn Store>, key: &Key) -> Finding {
    let mut times: Vec<Duration> = (0..ROUND_TRIPS)
        .filter_map(|_| {
            let began = instant();
            store.size(key).ok()?;
            Some(began.elapsed())
        })
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    good("round trip", format!("{median:.1?}, at most {worst:.1?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_good_and_an_agent_may_do_too_much_there() {
        let dir = tempfile::tempdir().unwrap();
        let url = dir.path().to_str().unwrap();
        let found = |role| -> Vec<(&str, Verdict)> {
            let findings = examine(url, role).into_iter();
            findings
                .filter(|finding| finding.verdict != Verdict::Good)
                .map(|finding| (finding.what, finding.verdict))
                .collect()
        };
        assert_eq!(found(Role::Replicate), []);
        assert_eq!(found(Role::Capture), [("delete", Verdict::Notable)]);
    }

    #[test]
    fn what_cannot_be_reached_is_bad() {
        let url = "s3://bucket/p?region=r&patience=0&timeout=1&endpoint=http://127.0.0.1:1";
        let findings = examine(url, Role::Restore);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].what, findings[0].verdict),
            ("reach", Verdict::Bad)
        );
    }
}
