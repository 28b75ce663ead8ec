//! Requests that the server does not get, or not as they were sent.

use std::{
    io::{self, Write},
    net::Shutdown,
};

use super::{
    body::Body,
    connection::Connection,
    control::Plan,
    faults::Refusal,
    late::Late,
    message::{Answer, Request},
    pace::Paced,
    reply::{Next, denial, status},
};

impl Connection {
    /// Answers with this status, and the fields that come with it.
    pub(super) fn refuse(
        &mut self,
        request: &mut Request,
        body: Body,
        plan: &Plan,
        line: &str,
    ) -> io::Result<Next> {
        self.swallow(request, body, plan)?;
        self.control.count(plan.kind);
        self.client.socket.write_all(&status(line, request))?;
        Ok(Next::after(request))
    }

    /// Answers with the refusal.
    pub(super) fn deny(
        &mut self,
        request: &mut Request,
        body: Body,
        plan: &Plan,
        refusal: &Refusal,
    ) -> io::Result<Next> {
        self.swallow(request, body, plan)?;
        let answer = denial(refusal, request);
        self.client.socket.write_all(&answer)?;
        Ok(Next::after(request))
    }

    /// Does not answer.
    pub(super) fn stall(
        &mut self,
        request: &mut Request,
        body: Body,
        plan: &Plan,
    ) -> io::Result<Next> {
        self.swallow(request, body, plan)?;
        self.control.count(plan.kind);
        Ok(Next::Stall(plan.stall))
    }

    /// The server gets a part of the body, then the end of the connection.
    pub(super) fn cut(
        &mut self,
        request: &mut Request,
        mut body: Body,
        plan: &Plan,
    ) -> io::Result<Next> {
        let mut server = self.reach()?;
        self.invite(request)?;
        server.socket.write_all(request.head.bytes())?;
        let mut to = Paced::new(&mut server.socket, plan.bytes_per_second, &self.control);
        body.copy_part(&mut self.client.reader, &mut to, plan.detail)?;
        server.socket.shutdown(Shutdown::Both);
        self.control.count(plan.kind);
        Ok(Next::Close)
    }

    /// The server gets the request twice, the client the second answer.
    pub(super) fn duplicate(
        &mut self,
        request: &mut Request,
        mut body: Body,
        mut plan: Plan,
    ) -> io::Result<Next> {
        let held = self.hold(request, &mut body)?;
        if !body.is_over() {
            plan.kind = None;
            return self.pass(request, body, &held, plan);
        }
        let mut server = self.ask(request, &held)?;
        let (answer, mut dropped) = Answer::read_last(&mut server.reader, request)?;
        dropped.drain(&mut server.reader)?;
        self.server = (!answer.closes).then_some(server);
        self.pass(request, body, &held, plan)
    }

    /// The client is told that nothing has happened, the server gets the request later.
    pub(super) fn postpone(
        &mut self,
        request: &mut Request,
        mut body: Body,
        mut plan: Plan,
    ) -> io::Result<Next> {
        let held = self.hold(request, &mut body)?;
        if !body.is_over() {
            plan.kind = None;
            return self.pass(request, body, &held, plan);
        }
        let late = Late {
            address: self.address,
            request: request.clone(),
            body: held,
            wait: plan.late,
        };
        late.start(&self.control)?;
        self.control.count(plan.kind);
        if plan.detail.is_multiple_of(2) {
            return Ok(Next::Close);
        }
        let answer = status("503 Service Unavailable", request);
        self.client.socket.write_all(&answer)?;
        Ok(Next::after(request))
    }

    /// Takes the body from the client, for nobody.
    fn swallow(&mut self, request: &mut Request, mut body: Body, plan: &Plan) -> io::Result<()> {
        self.invite(request)?;
        let mut nobody = Paced::new(io::sink(), plan.bytes_per_second, &self.control);
        body.copy(&mut self.client.reader, &mut nobody)
    }
}
