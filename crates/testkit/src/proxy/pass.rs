//! Requests that the server gets as they were sent.

use std::{
    io::{self, BufReader, Write},
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering},
    thread::{Builder, scope},
};

use super::{
    body::Body,
    connection::Connection,
    control::{Control, Plan},
    link::Socket,
    message::Request,
    pace::Paced,
    reply::{Next, Replying},
};

/// How the sending of a request's body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    /// The client sent all of it, the server did not take all of it.
    NotTaken,
    /// The client did not send all of it.
    Cut,
}

impl Connection {
    /// Passes the request on, of whose body the part `held` was read already, and gives the client
    /// what the plan says of the answer.
    ///
    /// The rest of the body goes on in a thread of its own: a server may answer before it has it, and
    /// a client may send it only when the server says so.
    pub(super) fn pass(
        &mut self,
        request: &Request,
        mut body: Body,
        held: &[u8],
        plan: Plan,
    ) -> io::Result<Next> {
        let mut server = self.ask(request, held)?;
        let begun = AtomicBool::new(!held.is_empty());
        let client = &mut self.client;
        let control = &*self.control;
        let (reply, sent) = scope(|scope| {
            let mut replying = Replying {
                request,
                plan,
                control,
                begun: &begun,
                from: &mut server.reader,
                to: client.socket.clone(),
            };
            if body.is_over() {
                return Ok((replying.reply()?, Sent::Whole));
            }
            let to = &server.socket;
            let (from, begun) = (&mut client.reader, &begun);
            let send = move || send(&mut body, from, to, plan.bytes_per_second, control, begun);
            let sending = Builder::new().spawn_scoped(scope, send)?;
            let reply = replying.reply();
            match reply.as_ref().map(|reply| reply.next) {
                Ok(Next::Keep | Next::Stall(_)) => {}
                // The client may still send: it is told that no more is wanted, and can be read until
                // it has understood.
                Ok(Next::Close) => client.socket.shutdown(Shutdown::Write),
                Ok(Next::Reset) => client.socket.shutdown(Shutdown::Read),
                Err(_) => {
                    client.socket.shutdown(Shutdown::Both);
                    server.socket.shutdown(Shutdown::Both);
                }
            }
            let sent = sending.join().expect("sending does not panic");
            Ok::<_, io::Error>((reply?, sent))
        })?;

        if reply.reusable && sent == Sent::Whole {
            self.server = Some(server);
        }
        match sent {
            Sent::Cut if reply.next == Next::Keep => Ok(Next::Close),
            _ => Ok(reply.next),
        }
    }
}

/// Passes a request's body on. A client that stops within it ends the connection to the server; where
/// the server stops, the client may still send all of it before it looks at the answer.
fn send(
    body: &mut Body,
    from: &mut BufReader<Socket>,
    to: &Socket,
    bytes_per_second: Option<u64>,
    control: &Control,
    begun: &AtomicBool,
) -> Sent {
    let mut paced = Paced::new(to.clone(), bytes_per_second, control);
    let mut sent = Sent::Whole;
    let mut piece = Vec::new();
    loop {
        match body.read(from, &mut piece) {
            Ok(false) => return sent,
            Ok(true) => {
                begun.store(true, Ordering::Relaxed);
                if sent == Sent::Whole && paced.write_all(&piece).is_err() {
                    sent = Sent::NotTaken;
                }
            }
            Err(_) => {
                to.shutdown(Shutdown::Both);
                return Sent::Cut;
            }
        }
    }
}
