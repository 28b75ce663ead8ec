//! A client that sends bytes and looks at bytes.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::server::field;

/// A connection.
pub(crate) struct Client(BufReader<TcpStream>);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the proxy listens");
        stream.set_nodelay(true).expect("it is connected");
        Client(BufReader::new(stream))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let sent = self.0.get_mut().write_all(bytes);
        sent.expect("the proxy reads");
    }

    /// The next bytes.
    pub(crate) fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = self.0.read_exact(&mut bytes);
        read.expect("there are so many bytes");
        bytes
    }

    /// Everything until the connection ends in order.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        read.expect("it ends in order");
        bytes
    }

    /// How the connection ends, which it does before another byte.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self.0.read(&mut [0])? {
            0 => Ok(()),
            _ => panic!("the connection goes on"),
        }
    }

    /// Sends a request and reads an answer with a `Content-Length`.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.0.get_mut().write_all(request)?;
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let length = field(&head, "Content-Length").unwrap_or_default();
        let mut body = vec![0; length.parse().unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.expect("an answer has a status"),
            head,
            body,
        })
    }
}

pub(crate) fn put(path: &str, body: &[u8]) -> Vec<u8> {
    put_with(path, "", body)
}

/// A PUT that does not replace an object.
pub(crate) fn create(path: &str, body: &[u8]) -> Vec<u8> {
    put_with(path, "If-None-Match: *\r\n", body)
}

/// A PUT that waits before it sends the body; here are its head and its body.
pub(crate) fn expecting(path: &str, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut head = put_with(path, "Expect: 100-continue\r\n", body);
    let body = head.split_off(head.len() - body.len());
    (head, body)
}

fn put_with(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    bodiless("GET", path, "")
}

pub(crate) fn get_range(path: &str, first: usize, last: usize) -> Vec<u8> {
    bodiless("GET", path, &format!("Range: bytes={first}-{last}\r\n"))
}

pub(crate) fn delete(path: &str) -> Vec<u8> {
    bodiless("DELETE", path, "")
}

fn bodiless(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
}
