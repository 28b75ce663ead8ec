//! What the threads of a proxy share: its faults, its counts, and how to stop it.

use std::{
    io,
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use super::{
    counts::FaultCounts,
    faults::{FaultKind, Faults, Refusal},
    link::Socket,
};
use crate::random::Random;

/// What the threads of a proxy share.
#[derive(Debug)]
pub(super) struct Control {
    state: Mutex<State>,
    /// Told when the proxy stops, and when a late request has had its effect.
    changed: Condvar,
}

type Sockets = Vec<Weak<TcpStream>>;

#[derive(Debug)]
struct State {
    faults: Faults,
    random: Random,
    counts: FaultCounts,
    /// Every open socket. They are not owned, so that a socket closes when its thread says so.
    sockets: Sockets,
    /// Those of late requests.
    late_sockets: Sockets,
    threads: Vec<JoinHandle<()>>,
    /// Late requests that have not had their effect.
    late: usize,
    stopped: bool,
}

/// What is to be done with one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Option<FaultKind>,
    /// A random number for what is left open of the kind.
    pub(super) detail: u64,
    pub(super) latency: Duration,
    pub(super) stall: Duration,
    pub(super) late: Duration,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) refusal: Option<Refusal>,
}

/// A late request that has not had its effect.
#[derive(Debug)]
pub(super) struct Outstanding(Arc<Control>);

impl Control {
    pub(super) fn new(faults: Faults) -> Control {
        faults.check();
        Control {
            state: Mutex::new(State {
                random: Random::new(faults.seed),
                faults,
                counts: FaultCounts::default(),
                sockets: Sockets::new(),
                late_sockets: Sockets::new(),
                threads: Vec::new(),
                late: 0,
                stopped: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans two fields, so what a panic left is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the faults, and starts over from their seed.
    pub(super) fn set(&self, faults: Faults) {
        faults.check();
        let mut state = self.lock();
        state.random = Random::new(faults.seed);
        state.faults = faults;
        if state.faults.gone {
            shut(&mut state.sockets);
        }
    }

    /// Counts a request and draws what happens to it.
    pub(super) fn plan(&self) -> Plan {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.counts.requests += 1;
        let (kind, detail) = state.faults.draw(&mut state.random);
        Plan {
            kind,
            detail,
            latency: state.faults.latency,
            stall: state.faults.stall,
            late: state.faults.late,
            bytes_per_second: state.faults.bytes_per_second,
            refusal: state.faults.refusal,
        }
    }

    /// Counts a request that is passed on, or has a fault.
    pub(super) fn count(&self, fault: Option<FaultKind>) {
        self.lock().counts.add(fault);
    }

    /// Counts a connection that is refused.
    pub(super) fn count_refused(&self) {
        self.lock().counts.refused += 1;
    }

    pub(super) fn counts(&self) -> FaultCounts {
        self.lock().counts.clone()
    }

    /// Waits.
    ///
    /// # Errors
    ///
    /// If the proxy stops before the time is over.
    pub(super) fn wait(&self, time: Duration) -> io::Result<()> {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, time, |state| !state.stopped);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.check()
    }

    /// Takes a socket of a connection into the list of those that are shut when the proxy stops, or
    /// the store is gone.
    ///
    /// # Errors
    ///
    /// If that is so already.
    pub(super) fn admit(&self, socket: &Socket) -> io::Result<()> {
        let mut state = self.lock();
        state.check()?;
        if state.faults.gone {
            return Err(closed());
        }
        admit(&mut state.sockets, socket);
        Ok(())
    }

    /// The same for a late request, which was sent while the store was there, and arrives.
    pub(super) fn admit_late(&self, socket: &Socket) -> io::Result<()> {
        let mut state = self.lock();
        state.check()?;
        admit(&mut state.late_sockets, socket);
        Ok(())
    }

    /// Starts a thread, which is joined at the end.
    ///
    /// # Errors
    ///
    /// If the proxy is stopped, or there is no thread.
    pub(super) fn spawn(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        // Under the lock, so that none is started behind the back of `stop`.
        let mut state = self.lock();
        state.check()?;
        state.threads.retain(|thread| !thread.is_finished());
        let thread = Builder::new().name("fault-proxy".to_owned()).spawn(work)?;
        state.threads.push(thread);
        Ok(())
    }

    /// Announces a late request.
    pub(super) fn outstanding(self: &Arc<Self>) -> Outstanding {
        self.lock().late += 1;
        Outstanding(Arc::clone(self))
    }

    /// Waits until no late request is outstanding.
    pub(super) fn settle(&self) {
        let state = self.lock();
        let settled = self.changed.wait_while(state, |state| state.late > 0);
        drop(settled.unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends every wait and every connection. Returns the threads, which end soon.
    pub(super) fn stop(&self) -> Vec<JoinHandle<()>> {
        let mut state = self.lock();
        state.stopped = true;
        shut(&mut state.sockets);
        shut(&mut state.late_sockets);
        self.changed.notify_all();
        std::mem::take(&mut state.threads)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        if self.stopped {
            return Err(closed());
        }
        Ok(())
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.lock().late -= 1;
        self.0.changed.notify_all();
    }
}

fn admit(sockets: &mut Sockets, socket: &Socket) {
    sockets.retain(|socket| socket.strong_count() > 0);
    sockets.push(socket.downgrade());
}

fn shut(sockets: &mut Sockets) {
    for socket in sockets.drain(..).filter_map(|socket| socket.upgrade()) {
        // One that is closed at its other end already needs no shutting.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the proxy lets nothing through",
    )
}
