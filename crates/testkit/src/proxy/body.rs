//! The body of a message, as it is on the wire.
//!
//! Chunks are not decoded: their sizes are read to find the end, and passed on with what is between
//! them, so that what arrives is what was sent, byte for byte.

use std::io::{self, BufRead, Read, Write};

use super::{head::invalid, pace::Window};

/// Bytes of a body that is held in memory at most.
pub(super) const HELD_MAX: usize = 64 << 20;
/// Bytes passed on at once.
const PIECE: usize = 64 << 10;
/// Bytes of the line of a chunk or a trailer at most.
const LINE_MAX: u64 = 64 << 10;

/// Where in a body its reader is.
#[derive(Debug)]
pub(super) struct Body(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are left.
    Length(u64),
    /// The size of a chunk is next.
    ChunkSize,
    /// So many bytes of a chunk are left, the end of its line among them.
    Chunk(u64),
    /// A trailer or the empty line is next.
    Trailer,
    /// Everything until the connection ends.
    UntilClose,
    Over,
}

impl Body {
    pub(super) fn none() -> Body {
        Body(State::Over)
    }

    pub(super) fn of_length(length: u64) -> Body {
        match length {
            0 => Body::none(),
            _ => Body(State::Length(length)),
        }
    }

    pub(super) fn chunked() -> Body {
        Body(State::ChunkSize)
    }

    pub(super) fn until_close() -> Body {
        Body(State::UntilClose)
    }

    /// Whether nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        self.0 == State::Over
    }

    pub(super) fn is_until_close(&self) -> bool {
        self.0 == State::UntilClose
    }

    /// Bytes left, where that is known; they are at least one.
    pub(super) fn length(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Reads what comes next into `piece`, in place of what is there. False where the body is over.
    ///
    /// # Errors
    ///
    /// If the connection ends before the body does.
    pub(super) fn read(
        &mut self,
        from: &mut impl BufRead,
        piece: &mut Vec<u8>,
    ) -> io::Result<bool> {
        piece.clear();
        match self.0 {
            State::Over => return Ok(false),
            State::Length(left) => {
                self.0 = match read_some(from, left, piece)? {
                    0 => State::Over,
                    left => State::Length(left),
                }
            }
            State::Chunk(left) => {
                self.0 = match read_some(from, left, piece)? {
                    0 => State::ChunkSize,
                    left => State::Chunk(left),
                }
            }
            State::ChunkSize => {
                read_line(from, piece)?;
                self.0 = match chunk_size(piece)? {
                    0 => State::Trailer,
                    size => State::Chunk(size.saturating_add(2)),
                }
            }
            State::Trailer => {
                read_line(from, piece)?;
                if matches!(piece.as_slice(), b"\r\n" | b"\n") {
                    self.0 = State::Over;
                }
            }
            State::UntilClose => {
                if from.fill_buf()?.is_empty() {
                    self.0 = State::Over;
                    return Ok(false);
                }
                read_some(from, u64::MAX, piece)?;
            }
        }
        Ok(true)
    }

    /// Passes on what is left.
    ///
    /// # Errors
    ///
    /// If either side fails.
    pub(super) fn copy(&mut self, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
        let mut piece = Vec::new();
        while self.read(from, &mut piece)? {
            to.write_all(&piece)?;
        }
        Ok(())
    }

    /// Reads and forgets what is left.
    ///
    /// # Errors
    ///
    /// If the connection ends before the body does.
    pub(super) fn drain(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        self.copy(from, &mut io::sink())
    }

    /// Reads what is left, or the first part where it is too much to hold: then it is not over.
    ///
    /// # Errors
    ///
    /// If the connection ends before the body does.
    pub(super) fn hold(&mut self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut held = Vec::new();
        let mut piece = Vec::new();
        while held.len() < HELD_MAX && self.read(from, &mut piece)? {
            held.append(&mut piece);
        }
        Ok(held)
    }

    /// Passes on a part of what is left, never all of it. `point` decides how much.
    ///
    /// # Errors
    ///
    /// If either side fails.
    pub(super) fn copy_part(
        &mut self,
        from: &mut impl BufRead,
        to: &mut impl Write,
        point: u64,
    ) -> io::Result<()> {
        if let Some(keep) = self.length().and_then(|length| point.checked_rem(length)) {
            return self.copy(from, &mut Window::new(to, 0, keep));
        }
        let held = self.hold(from)?;
        if !self.is_over() {
            return to.write_all(&held);
        }
        // Without the last chunk, of which at least five bytes follow: a reader may go without them.
        let point = usize::try_from(point >> 32).expect("usize has at least 32 bits");
        let keep = point % held.len().saturating_sub(4).max(1);
        to.write_all(held.get(..keep).unwrap_or_default())
    }
}

/// Appends what is there of at most `left` bytes, and at least one. Returns how many are left.
fn read_some(from: &mut impl BufRead, left: u64, piece: &mut Vec<u8>) -> io::Result<u64> {
    let available = from.fill_buf()?;
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
    let taken = available.len().min(wanted);
    if taken == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.extend_from_slice(available.get(..taken).unwrap_or_default());
    from.consume(taken);
    Ok(left - taken as u64)
}

/// Appends a line with its end.
fn read_line(from: &mut impl BufRead, piece: &mut Vec<u8>) -> io::Result<()> {
    from.take(LINE_MAX).read_until(b'\n', piece)?;
    match piece.last() {
        Some(b'\n') => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The number at the start of a chunk's line; extensions may follow it.
fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let text = str::from_utf8(line).ok();
    let digits = text.and_then(|text| text.split(';').next());
    let size = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    size.ok_or_else(|| invalid("a chunk has no size"))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// A body and its bytes.
    type Case = (fn() -> Body, &'static [u8]);

    /// What a body takes of `bytes`, read in pieces of at most `at_once`, and whether it is whole.
    fn taken(mut body: Body, bytes: &[u8], at_once: usize) -> (Vec<u8>, bool) {
        let mut from = BufReader::with_capacity(at_once, bytes);
        let mut taken = Vec::new();
        let copied = body.copy(&mut from, &mut taken);
        (taken, copied.is_ok())
    }

    #[test]
    fn a_body_ends_where_it_says_however_it_arrives() {
        let chunked: &'static [u8] =
            b"5;name=\"1\"\r\nab\r\ne\r\nC\r\n0\r\n\r\n0123456\r\n0\r\nTrailer: 1\r\n\r\n";
        let bodies: [Case; 4] = [
            (Body::none, b""),
            (|| Body::of_length(0), b""),
            (|| Body::of_length(7), b"seven\r\n"),
            (Body::chunked, chunked),
        ];
        for (body, expected) in bodies {
            for at_once in 1..80 {
                let next = [expected, b"0\r\n\r\nnext"].concat();
                let found = taken(body(), &next, at_once);
                assert_eq!(found, (expected.to_vec(), true), "{at_once} at once");
                for end in 0..expected.len() {
                    let (found, whole) = taken(body(), &expected[..end], at_once);
                    assert!(expected[..end].starts_with(&found), "{end} bytes");
                    assert!(!whole, "{end} bytes");
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_body_is_never_the_whole() {
        let bodies: [Case; 3] = [
            (|| Body::of_length(1), b"1"),
            (|| Body::of_length(5), b"12345"),
            (Body::chunked, b"5\r\n12345\r\n0\r\n\r\n"),
        ];
        for (body, bytes) in bodies {
            for point in 0..100 {
                let mut part = Vec::new();
                let mut from = BufReader::new(bytes);
                let copied = body().copy_part(&mut from, &mut part, point << 32 | point);
                copied.expect("the body is whole");
                assert!(bytes.starts_with(&part), "{part:?}");
                let (_, whole) = taken(body(), &part, 10);
                assert!(!whole, "{part:?}");
            }
        }
    }

    #[test]
    fn chunks_without_a_size_are_refused() {
        for bytes in ["", "x", "-1", "10000000000000000", ";a=1"] {
            let bytes = format!("{bytes}\r\n\r\n");
            let (_, whole) = taken(Body::chunked(), bytes.as_bytes(), 10);
            assert!(!whole, "{bytes:?}");
        }
    }
}
