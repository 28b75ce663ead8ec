//! What people and programs see.

use std::io::{self, IsTerminal, Write};

use afterimage::{ErrorKind, Timestamp};
use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Standard output, for people or as JSON.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether whoever read it has gone.
    closed: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Output {
        Output {
            json,
            closed: false,
        }
    }

    /// Whether nobody reads any more. What is done goes on; what only prints may end.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Prints a line for people; nothing where JSON is wanted.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    /// Prints JSON on one line; nothing where people read.
    pub(crate) fn value(&mut self, value: &Value) -> Result<(), Failure> {
        if self.json {
            self.line(&value.to_string())
        } else {
            Ok(())
        }
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // Whoever read it has seen enough; that is no reason to leave work undone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => {
                let what = format!("standard output cannot be written: {error}");
                Err(Failure::new(ErrorKind::Unavailable, what))
            }
        }
    }

    /// Says on standard error why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure {
            kind,
            message,
            cause,
        } = failure;
        let text = if self.json {
            json!({"error": {
                "kind": kind.word(),
                "message": message,
                "cause": cause,
                "advice": kind.advice(),
                "exit_code": kind.exit_code(),
            }})
            .to_string()
        } else {
            let cause = cause
                .as_ref()
                .map_or(String::new(), |cause| format!(" ({cause})"));
            format!(
                "error: {message}{cause}\n  {}: {}",
                kind.word(),
                kind.advice()
            )
        };
        // Where standard error is gone there is nobody to tell.
        let _gone = writeln!(io::stderr(), "{text}");
    }
}

/// Whether a person watches.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A rate for people; nothing is known of no time.
pub(crate) fn rate(bytes: u64, seconds: f64) -> String {
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure for people"
    )]
    let per_second = (bytes as f64 / seconds) as u64;
    format!("{}/s", size(per_second))
}

/// A time in RFC 3339.
pub(crate) fn time(time: Timestamp) -> String {
    let micros = i64::try_from(time.0).ok();
    let known = micros.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    known.map_or_else(|| format!("{} us", time.0), |time| time.to_string())
}
