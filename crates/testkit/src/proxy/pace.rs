//! Writers that are slow, or drop a part.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::control::Control;

/// Writes at most so many bytes per second.
#[derive(Debug)]
pub(super) struct Paced<'a, W> {
    to: W,
    bytes_per_second: Option<u64>,
    control: &'a Control,
}

impl<'a, W: Write> Paced<'a, W> {
    pub(super) fn new(to: W, bytes_per_second: Option<u64>, control: &'a Control) -> Self {
        Paced {
            to,
            bytes_per_second,
            control,
        }
    }
}

impl<W: Write> Write for Paced<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(rate) = self.bytes_per_second else {
            return self.to.write(bytes);
        };
        // A piece is what a twentieth of a second lets through.
        let piece = usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1);
        let piece = bytes.get(..piece).unwrap_or(bytes);
        let nanos = (piece.len() as u64).saturating_mul(1_000_000_000) / rate;
        self.control.wait(Duration::from_nanos(nanos))?;
        self.to.write_all(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes only the bytes of a range, and drops those before and behind it.
#[derive(Debug)]
pub(super) struct Window<W> {
    to: W,
    skip: u64,
    take: u64,
}

impl<W: Write> Window<W> {
    pub(super) fn new(to: W, skip: u64, take: u64) -> Window<W> {
        Window { to, skip, take }
    }
}

impl<W: Write> Write for Window<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = at_most(self.skip, bytes.len());
        let taken = at_most(self.take, bytes.len() - skipped);
        self.skip -= skipped as u64;
        self.take -= taken as u64;
        let kept = bytes.get(skipped..skipped + taken).unwrap_or_default();
        self.to.write_all(kept)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn at_most(wanted: u64, available: usize) -> usize {
    usize::try_from(wanted).map_or(available, |wanted| wanted.min(available))
}
