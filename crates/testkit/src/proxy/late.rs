//! A request that reaches the server when its client no longer waits.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use super::{
    control::Control,
    link::Link,
    message::{Answer, Request},
};

/// A request that is held back.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) address: SocketAddr,
    pub(super) request: Request,
    pub(super) body: Vec<u8>,
    pub(super) wait: Duration,
}

impl Late {
    /// Lets a thread of its own send the request when its time has come.
    pub(super) fn start(self, control: &Arc<Control>) -> io::Result<()> {
        let outstanding = control.outstanding();
        let shared = Arc::clone(control);
        control.spawn(move || {
            // Nobody is there to be told of a failure. The request is as good as lost on its way.
            let _ = self.send(&shared);
            drop(outstanding);
        })
    }

    fn send(&self, control: &Control) -> io::Result<()> {
        control.wait(self.wait)?;
        let mut server = Link::connect(self.address)?;
        control.admit_late(&server.socket)?;
        server.socket.write_all(self.request.head.bytes())?;
        server.socket.write_all(&self.body)?;
        let (_, mut body) = Answer::read_last(&mut server.reader, &self.request)?;
        body.drain(&mut server.reader)
    }
}
