//! A connection to the client or to the server.

use std::{
    io::{self, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Weak},
    time::Duration,
};

/// Bytes read at once.
const BUFFER: usize = 64 << 10;
/// How long a server on loopback may take to accept.
const CONNECT: Duration = Duration::from_secs(10);

/// A socket; clones are the same one, and the last one closes it.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<TcpStream>);

/// A socket and what was read of it ahead.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) reader: BufReader<Socket>,
    pub(super) socket: Socket,
}

impl Link {
    /// # Errors
    ///
    /// If the socket is no longer connected.
    pub(super) fn new(stream: TcpStream) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        let socket = Socket(Arc::new(stream));
        Ok(Link {
            reader: BufReader::with_capacity(BUFFER, socket.clone()),
            socket,
        })
    }

    /// # Errors
    ///
    /// If nobody accepts.
    pub(super) fn connect(server: SocketAddr) -> io::Result<Link> {
        Link::new(TcpStream::connect_timeout(&server, CONNECT)?)
    }

    /// Whether the other side has closed this idle connection, or said something unasked.
    pub(super) fn is_stale(&self) -> bool {
        let stream = &self.socket.0;
        let peeked = stream
            .set_nonblocking(true)
            .and_then(|()| stream.peek(&mut [0]));
        let idle = matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        !idle || !self.reader.buffer().is_empty() || stream.set_nonblocking(false).is_err()
    }
}

impl Socket {
    pub(super) fn downgrade(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.0)
    }

    /// Ends one or both directions. That of a socket which is closed already is no error.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let _ = self.0.shutdown(how);
    }

    /// Lets the close be a reset, so that the other side gets an error and no end.
    pub(super) fn reset_at_close(&self) {
        // Where it fails, the other side is gone and sees neither.
        let _ = rustix::net::sockopt::set_socket_linger(&*self.0, Some(Duration::ZERO));
    }

    /// Waits until the other side closes or says something, or the time is over.
    ///
    /// # Errors
    ///
    /// If the other side has reset the connection.
    pub(super) fn wait_readable(&self, time: Duration) -> io::Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        self.0.set_read_timeout(Some(time))?;
        match self.0.peek(&mut [0]) {
            // Unix says the first of a timeout, Windows the second.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
