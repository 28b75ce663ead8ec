//! A proxy between a client and an HTTP/1.1 server that injects faults.
//!
//! | file | what it is |
//! | --- | --- |
//! | `faults`, `counts` | what goes wrong, and what has gone wrong |
//! | `control` | what the threads share: the choice of faults, and the end |
//! | `connection` | a client's requests in turn |
//! | `diverted`, `late` | requests that the server does not get, or not as they were sent, or not yet |
//! | `pass`, `reply`, `range` | requests that it gets, and what the client gets of its answer |
//! | `message`, `head`, `body` | HTTP/1.1, as far as it takes to find where messages end |
//! | `link`, `pace` | sockets, and writers that are slow or drop a part |
//!
//! Messages are passed on byte for byte, `Host` among them, so that what was signed for the proxy's
//! address stays signed. Each client connection has a connection to the server and a thread; a body on
//! its way to the server has another one.

mod body;
mod connection;
mod control;
mod counts;
mod diverted;
mod faults;
mod head;
mod late;
mod link;
mod message;
mod pace;
mod pass;
mod range;
mod reply;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

pub use counts::FaultCounts;
pub use faults::{FaultKind, Faults, Refusal};

use connection::Connection;
use control::Control;
use link::Link;

/// How long the proxy rests when it cannot accept, say for want of file descriptors.
const REST: Duration = Duration::from_millis(10);

/// A proxy on loopback that passes HTTP/1.1 on to one server, with faults by a seed.
///
/// A request has one fault at most, and it is drawn when the request arrives: the seed decides over
/// requests in the order of their arrival. A server that fails or is not there is a connection that
/// ends for the client, and is not counted.
///
/// It does no TLS and no pipelining, and follows no upgrade. Bodies are not held in memory, but for a
/// fault that needs them whole; where they are above 64 MiB that fault does not happen.
///
/// Dropping it closes all connections and forgets late requests, whether the server has seen them or
/// not.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    control: Arc<Control>,
}

impl FaultProxy {
    /// A proxy for the server at this address.
    ///
    /// # Errors
    ///
    /// If there is no port or no thread for it.
    ///
    /// # Panics
    ///
    /// If the shares of the faults are above 10,000 in all, or nothing passes in a second.
    pub fn start(server: SocketAddr, faults: Faults) -> io::Result<FaultProxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let proxy = FaultProxy {
            address: listener.local_addr()?,
            control: Arc::new(Control::new(faults)),
        };
        let control = Arc::clone(&proxy.control);
        let accepting = move || accept(&listener, server, &control);
        proxy.control.spawn(accepting)?;
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.control.counts()
    }

    /// Changes the faults of requests from now on, and starts over from the seed. Where the store is
    /// [gone](Faults::gone), the connections that are open are closed.
    ///
    /// # Panics
    ///
    /// As [`start`](FaultProxy::start).
    pub fn set(&self, faults: Faults) {
        self.control.set(faults);
    }

    /// Waits until every late request has reached the server and was answered, or has failed.
    pub fn settle(&self) {
        self.control.settle();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let threads = self.control.stop();
        // Wakes the thread that accepts. Where it fails, there is no such thread.
        drop(TcpStream::connect(self.address));
        for thread in threads {
            // One that panicked has said so, and a panic within a drop would hide it.
            let _ = thread.join();
        }
    }
}

/// Accepts clients until the proxy stops.
fn accept(listener: &TcpListener, server: SocketAddr, control: &Arc<Control>) {
    loop {
        let client = listener.accept().and_then(|(client, _)| Link::new(client));
        if control.wait(Duration::ZERO).is_err() {
            return;
        }
        let Ok(client) = client else {
            if control.wait(REST).is_err() {
                return;
            }
            continue;
        };
        if control.admit(&client.socket).is_err() {
            control.count_refused();
            client.socket.reset_at_close();
            continue;
        }
        let connection = Connection::new(client, server, Arc::clone(control));
        // Where there is no thread, the client's connection is closed.
        let _ = control.spawn(move || connection.serve());
    }
}
