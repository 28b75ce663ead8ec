//! The requests of one client, one after another.

use std::{
    io::{self, BufRead, Write},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    body::{Body, HELD_MAX},
    control::Control,
    faults::FaultKind,
    link::Link,
    message::Request,
    reply::Next,
};

/// A client, and the connection to the server that is its own.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Link,
    /// None where the next request makes one.
    pub(super) server: Option<Link>,
    pub(super) address: SocketAddr,
    pub(super) control: Arc<Control>,
}

impl Connection {
    pub(super) fn new(client: Link, address: SocketAddr, control: Arc<Control>) -> Connection {
        Connection {
            client,
            server: None,
            address,
            control,
        }
    }

    /// Passes requests on until either side has enough. What fails on one side is a connection that
    /// ends for the other.
    pub(super) fn serve(mut self) {
        loop {
            match self.serve_one() {
                Ok(Next::Keep) => {}
                Ok(Next::Close) | Err(_) => return,
                Ok(Next::Reset) => return self.client.socket.reset_at_close(),
                Ok(Next::Stall(time)) => {
                    // Whether the client gives up before makes no difference.
                    let _ = self.client.socket.wait_readable(time);
                    return;
                }
            }
        }
    }

    fn serve_one(&mut self) -> io::Result<Next> {
        let Some((mut request, body)) = Request::read(&mut self.client.reader)? else {
            return Ok(Next::Close);
        };
        let mut plan = self.control.plan();
        plan.kind = plan.kind.filter(|&kind| request.suits(kind, &body));
        self.control.wait(plan.latency)?;
        if let Some(refusal) = plan.refusal
            && !(refusal.writes_only && body.is_over())
        {
            return self.deny(&mut request, body, &plan, &refusal);
        }
        match plan.kind {
            Some(FaultKind::RequestTimeout) => {
                self.refuse(&mut request, body, &plan, "408 Request Timeout")
            }
            Some(FaultKind::TooManyRequests) => {
                let line = format!("429 Too Many Requests\r\nRetry-After: {}", plan.detail % 2);
                self.refuse(&mut request, body, &plan, &line)
            }
            Some(FaultKind::InternalError) => {
                self.refuse(&mut request, body, &plan, "500 Internal Server Error")
            }
            Some(FaultKind::Unavailable) => {
                self.refuse(&mut request, body, &plan, "503 Service Unavailable")
            }
            Some(FaultKind::ResetBefore) => {
                self.control.count(plan.kind);
                Ok(Next::Reset)
            }
            Some(FaultKind::StallBefore) => self.stall(&mut request, body, &plan),
            Some(FaultKind::RequestCut) => self.cut(&mut request, body, &plan),
            Some(FaultKind::Duplicated) => self.duplicate(&mut request, body, plan),
            Some(FaultKind::Late) => self.postpone(&mut request, body, plan),
            _ => self.pass(&request, body, &[], plan),
        }
    }

    /// Tells a client that waits for it to send its body.
    pub(super) fn invite(&mut self, request: &mut Request) -> io::Result<()> {
        if request.expects && !request.invited {
            request.invited = true;
            let invitation = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.client.socket.write_all(invitation)?;
        }
        Ok(())
    }

    /// Takes the body from the client. Where it is too large, it is not over after that.
    pub(super) fn hold(&mut self, request: &mut Request, body: &mut Body) -> io::Result<Vec<u8>> {
        if body.length().is_some_and(|length| length > HELD_MAX as u64) {
            return Ok(Vec::new());
        }
        self.invite(request)?;
        body.hold(&mut self.client.reader)
    }

    /// Sends the request as far as it was read to the server.
    ///
    /// A server may close a connection that is idle just when a request goes out on it. One that can
    /// be repeated is, so that this does not look like a fault.
    pub(super) fn ask(&mut self, request: &Request, held: &[u8]) -> io::Result<Link> {
        let reused = self.server.is_some();
        let mut server = self.reach()?;
        let sent = write(&mut server, request, held);
        if !reused || !request.repeats {
            return sent.map(|()| server);
        }
        let answered = sent.and_then(|()| server.reader.fill_buf());
        if answered.is_ok_and(|answer| !answer.is_empty()) {
            return Ok(server);
        }
        let mut server = self.reach()?;
        write(&mut server, request, held)?;
        Ok(server)
    }

    /// The connection to the server.
    pub(super) fn reach(&mut self) -> io::Result<Link> {
        if let Some(server) = self.server.take().filter(|server| !server.is_stale()) {
            return Ok(server);
        }
        let server = Link::connect(self.address)?;
        self.control.admit(&server.socket)?;
        Ok(server)
    }
}

fn write(server: &mut Link, request: &Request, held: &[u8]) -> io::Result<()> {
    server.socket.write_all(request.head.bytes())?;
    server.socket.write_all(held)
}
