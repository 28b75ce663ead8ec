//! What the heads of requests and answers mean for the proxy.

use std::io::{self, BufRead};

use super::{
    body::Body,
    faults::FaultKind,
    head::{Head, invalid},
};

/// A request without its body.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: Head,
    method: String,
    /// Whether the client may wait for a 100 before it sends the body.
    pub(super) expects: bool,
    /// Whether it got one from the proxy.
    pub(super) invited: bool,
    /// Whether the server may get it twice: it has no effect and no body.
    pub(super) repeats: bool,
    /// Whether the client takes no other answer from this connection.
    pub(super) closes: bool,
}

/// An answer without its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) status: u16,
    /// Whether the connection ends with this answer.
    pub(super) closes: bool,
}

impl Request {
    /// `None` where the client has closed the connection.
    ///
    /// # Errors
    ///
    /// If it is no request, or the connection fails.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<(Request, Body)>> {
        let Some(head) = Head::read(from)? else {
            return Ok(None);
        };
        let body = framing(&head)?.unwrap_or(Body::none());
        let request = Request {
            method: head.word(0).to_owned(),
            repeats: matches!(head.word(0), "GET" | "HEAD") && body.is_over(),
            expects: head.has("expect", "100-continue") && !body.is_over(),
            invited: false,
            closes: closes(&head, head.word(2)),
            head,
        };
        Ok(Some((request, body)))
    }

    /// Whether its answer has no body, whatever its length.
    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether a fault of this kind can happen to it.
    pub(super) fn suits(&self, kind: FaultKind, body: &Body) -> bool {
        let method = self.method.as_str();
        match kind {
            FaultKind::Duplicated => matches!(method, "PUT" | "POST" | "DELETE"),
            FaultKind::Late => matches!(method, "PUT" | "POST"),
            FaultKind::RequestCut => !body.is_over(),
            FaultKind::RangeIgnored | FaultKind::RangeShifted => {
                method == "GET" && self.head.fields("range").next().is_some()
            }
            _ => true,
        }
    }
}

impl Answer {
    /// # Errors
    ///
    /// If there is no answer.
    pub(super) fn read(from: &mut impl BufRead, to: &Request) -> io::Result<(Answer, Body)> {
        let head = Head::read(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.word(1).parse();
        let status = status.map_err(|_| invalid("an answer has no status"))?;
        let bodiless = to.method == "HEAD" || matches!(status, 100..200 | 204 | 304);
        let body = if bodiless {
            Body::none()
        } else {
            framing(&head)?.unwrap_or(Body::until_close())
        };
        let answer = Answer {
            status,
            closes: closes(&head, head.word(0)) || body.is_until_close(),
            head,
        };
        Ok((answer, body))
    }

    /// The answer that ends the exchange; those before it are dropped.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(super) fn read_last(from: &mut impl BufRead, to: &Request) -> io::Result<(Answer, Body)> {
        loop {
            let (answer, body) = Answer::read(from, to)?;
            if !answer.is_interim() {
                return Ok((answer, body));
            }
        }
    }

    /// Whether another answer follows it.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100..200)
    }
}

/// The body that a head announces, if it does.
fn framing(head: &Head) -> io::Result<Option<Body>> {
    if head.has("transfer-encoding", "chunked") {
        return Ok(Some(Body::chunked()));
    }
    let length = head.fields("content-length").next();
    let length = length.map(|length| length.parse().map(Body::of_length));
    let length = length.transpose();
    length.map_err(|_| invalid("a Content-Length is no number"))
}

fn closes(head: &Head, version: &str) -> bool {
    let old = version == "HTTP/1.0" && !head.has("connection", "keep-alive");
    old || head.has("connection", "close")
}
