//! What the client gets of the server's answer.

use std::{
    io::{self, BufReader, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{
    body::Body,
    control::{Control, Plan},
    faults::{FaultKind, Refusal},
    head::Head,
    link::Socket,
    message::{Answer, Request},
    pace::{Paced, Window},
    range,
};

/// What becomes of the connection to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It takes the next request.
    Keep,
    /// It ends.
    Close,
    /// It ends with an error.
    Reset,
    /// It ends when the client does, or after this time.
    Stall(Duration),
}

/// How the answer to a request has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) next: Next,
    /// Whether the connection to the server takes another request.
    pub(super) reusable: bool,
}

/// One request that waits for its answer.
#[derive(Debug)]
pub(super) struct Replying<'a> {
    pub(super) request: &'a Request,
    pub(super) plan: Plan,
    pub(super) control: &'a Control,
    /// Whether the client has begun to send the body.
    pub(super) begun: &'a AtomicBool,
    pub(super) from: &'a mut BufReader<Socket>,
    pub(super) to: Socket,
}

impl Next {
    /// After a whole answer to this request.
    pub(super) fn after(request: &Request) -> Next {
        if request.closes {
            Next::Close
        } else {
            Next::Keep
        }
    }
}

impl Replying<'_> {
    /// Reads the answer and gives the client what the plan says of it.
    pub(super) fn reply(&mut self) -> io::Result<Reply> {
        let mut invited = self.request.invited;
        let (answer, mut body) = loop {
            let (answer, body) = Answer::read(self.from, self.request)?;
            if !answer.is_interim() {
                break (answer, body);
            }
            // A second 100 may be taken for the answer.
            if answer.status != 100 || !self.request.invited {
                self.to.write_all(answer.head.bytes())?;
            }
            invited = true;
        };
        let next = self.deliver(&answer, &mut body)?;
        // A client that has waited with its body in vain does not send it any more.
        let waits = self.request.expects && !invited && !self.begun.load(Ordering::Relaxed);
        Ok(Reply {
            next: match next {
                Next::Keep if waits => Next::Close,
                next => next,
            },
            reusable: body.is_over() && !answer.closes,
        })
    }

    fn deliver(&mut self, answer: &Answer, body: &mut Body) -> io::Result<Next> {
        let kind = self.plan.kind;
        match kind {
            Some(FaultKind::InternalErrorAfter) => self.replace(body, "500 Internal Server Error"),
            Some(FaultKind::UnavailableAfter) => self.replace(body, "503 Service Unavailable"),
            Some(FaultKind::ResetAfter) => self.lose(body, Next::Reset),
            Some(FaultKind::StallAfter) => self.lose(body, Next::Stall(self.plan.stall)),
            Some(FaultKind::AnswerCut) if !body.is_over() && !body.is_until_close() => {
                self.cut(answer, body)
            }
            Some(FaultKind::RangeIgnored) => match range::ignored(answer) {
                Some(head) => self.give(kind, answer, &head, body, (0, u64::MAX)),
                None => self.give(None, answer, &answer.head, body, (0, u64::MAX)),
            },
            Some(FaultKind::RangeShifted) => {
                match range::shifted(answer, body.length(), self.plan.detail) {
                    Some((head, window)) => self.give(kind, answer, &head, body, window),
                    None => self.give(None, answer, &answer.head, body, (0, u64::MAX)),
                }
            }
            _ => {
                let kind = kind.filter(|&kind| kind == FaultKind::Duplicated);
                self.give(kind, answer, &answer.head, body, (0, u64::MAX))
            }
        }
    }

    /// Gives the client this head and a part of the body: where it starts and how long it is.
    fn give(
        &mut self,
        fault: Option<FaultKind>,
        answer: &Answer,
        head: &Head,
        body: &mut Body,
        (skip, take): (u64, u64),
    ) -> io::Result<Next> {
        self.control.count(fault);
        self.to.write_all(head.bytes())?;
        let paced = Paced::new(&mut self.to, self.plan.bytes_per_second, self.control);
        body.copy(self.from, &mut Window::new(paced, skip, take))?;
        if answer.closes {
            return Ok(Next::Close);
        }
        Ok(Next::after(self.request))
    }

    /// Gives the client the whole head, and less than the whole body.
    fn cut(&mut self, answer: &Answer, body: &mut Body) -> io::Result<Next> {
        self.control.count(self.plan.kind);
        self.to.write_all(answer.head.bytes())?;
        let mut paced = Paced::new(&mut self.to, self.plan.bytes_per_second, self.control);
        body.copy_part(self.from, &mut paced, self.plan.detail)?;
        Ok(Next::Close)
    }

    /// Gives the client another answer.
    fn replace(&mut self, body: &mut Body, line: &str) -> io::Result<Next> {
        let next = self.lose(body, Next::after(self.request))?;
        self.to.write_all(&status(line, self.request))?;
        Ok(next)
    }

    /// Gives the client nothing. The answer is read to its end: some servers send its head before the
    /// effect.
    fn lose(&mut self, body: &mut Body, next: Next) -> io::Result<Next> {
        body.drain(self.from)?;
        self.control.count(self.plan.kind);
        Ok(next)
    }
}

/// An answer without a body. The line may bring fields with it.
pub(super) fn status(line: &str, request: &Request) -> Vec<u8> {
    let close = if request.closes {
        "Connection: close\r\n"
    } else {
        ""
    };
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n{close}\r\n").into_bytes()
}

/// A refusal with its code, in the body and in the field of Azure: an answer to HEAD has no body.
pub(super) fn denial(refusal: &Refusal, request: &Request) -> Vec<u8> {
    let Refusal { status, code, .. } = refusal;
    let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    let body = if request.is_head() { "" } else { &text };
    let close = if request.closes {
        "Connection: close\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status}\r\nx-ms-error-code: {code}\r\nContent-Type: application/xml\r\n\
         Content-Length: {}\r\n{close}\r\n{body}",
        text.len()
    )
    .into_bytes()
}
