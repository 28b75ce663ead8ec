//! The testkit's proxy before a server, for measuring what latency costs.
//!
//! `cargo run --release -p afterimage-benches --example fault_proxy -- 127.0.0.1:5000 --latency-ms 100`
//!
//! Prints where it listens and runs until its standard input ends.

use std::{error::Error, io::Read, net::SocketAddr, time::Duration};

use afterimage_testkit::{FaultProxy, Faults};
use clap::Parser;

/// Delays requests to a server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    server: SocketAddr,
    /// How long each request waits.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
}

#[expect(clippy::print_stdout, reason = "it says where it listens")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let faults = Faults {
        latency: Duration::from_millis(arguments.latency_ms),
        ..Faults::none()
    };
    let proxy = FaultProxy::start(arguments.server, faults)?;
    println!("{}", proxy.addr());
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    Ok(())
}
