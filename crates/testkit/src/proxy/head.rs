//! The head of a message, byte for byte.

use std::io::{self, BufRead, Read};

/// Bytes of a head at most.
const HEAD_MAX: u64 = 256 << 10;

/// The first line and the fields of a request or an answer, up to and with the empty line, as they
/// were sent.
#[derive(Clone, Debug)]
pub(super) struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// `None` where the connection ends before a head begins.
    ///
    /// # Errors
    ///
    /// If the connection ends within the head, or the head is too long.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        let mut from = from.take(HEAD_MAX);
        loop {
            let start = bytes.len();
            from.read_until(b'\n', &mut bytes)?;
            match bytes.get(start..).unwrap_or_default() {
                b"\r\n" | b"\n" => return Ok(Some(Head { bytes })),
                [.., b'\n'] => {}
                [] if start == 0 => return Ok(None),
                _ => return Err(invalid("a head has no end")),
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A word of the first line; empty where there is none.
    pub(super) fn word(&self, number: usize) -> &str {
        let line = self.lines().next().and_then(|line| line.to_str());
        let word = line.and_then(|line| line.split_ascii_whitespace().nth(number));
        word.unwrap_or_default()
    }

    /// The values of a field, in their order.
    pub(super) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines()
            .skip(1)
            .filter_map(move |line| line.value(name))
    }

    /// Whether one of a field's values, which are separated by commas, is this.
    pub(super) fn has(&self, name: &str, token: &str) -> bool {
        self.fields(name)
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(token))
    }

    /// The same head with another first line.
    pub(super) fn with_first_line(&self, first: &str) -> Head {
        let mut bytes = format!("{first}\r\n").into_bytes();
        bytes.extend(self.lines().skip(1).flat_map(|line| line.0));
        Head { bytes }
    }

    /// The same head with this value of a field, or without it.
    pub(super) fn with_field(&self, name: &str, value: Option<&str>) -> Head {
        let mut bytes = Vec::new();
        for line in self.lines() {
            match (line.value(name), value) {
                (None, _) => bytes.extend(line.0),
                (Some(_), None) => {}
                (Some(_), Some(value)) => bytes.extend(format!("{name}: {value}\r\n").bytes()),
            }
        }
        Head { bytes }
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.bytes.split_inclusive(|&byte| byte == b'\n').map(Line)
    }
}

/// A line with its end.
struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// `None` where it is no text, which no field that matters here is.
    fn to_str(&self) -> Option<&'a str> {
        str::from_utf8(self.0).ok()
    }

    /// The value, if the line is a field of this name.
    fn value(&self, name: &str) -> Option<&'a str> {
        let (found, value) = self.to_str()?.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    }
}

/// Something that is not HTTP/1.1, or more of it than anybody sends.
pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
