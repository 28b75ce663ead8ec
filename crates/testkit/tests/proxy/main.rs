//! The proxy passes on what it should, and spoils what it is told to.

mod client;
mod faults;
mod framing;
mod running;
mod server;

use afterimage_testkit::{FaultKind, FaultProxy, Faults};
use server::Server;

/// A server, and a proxy before it.
fn start(faults: Faults) -> (Server, FaultProxy) {
    let server = Server::start();
    let proxy = FaultProxy::start(server.address, faults).expect("there are ports");
    (server, proxy)
}

/// Faults of this kind, and only them.
fn only(kind: FaultKind) -> Faults {
    Faults::none().with(kind, 10_000)
}

/// Bytes none of which is like its neighbours.
fn pattern(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}
