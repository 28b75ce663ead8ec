//! Taking fixed-width little-endian fields from the front of bytes, and putting them there.

use crate::{
    error::{DecodeError, Fault},
    name::Name,
    units::{count, length},
};

/// Takes fields from the front of bytes; knows where it stands, for errors.
#[derive(Clone, Debug)]
pub struct Take<'a> {
    part: &'static str,
    rest: &'a [u8],
    total: usize,
}

impl<'a> Take<'a> {
    /// Starts at the front of `bytes`, which are the `part` of an object.
    #[must_use]
    pub const fn new(part: &'static str, bytes: &'a [u8]) -> Take<'a> {
        Take {
            part,
            rest: bytes,
            total: bytes.len(),
        }
    }

    /// An error at the place reached.
    #[must_use]
    pub fn error(&self, fault: Fault) -> DecodeError {
        DecodeError {
            part: self.part,
            offset: count(self.total - self.rest.len()),
            fault,
        }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::Truncated`] where fewer are left; likewise all others here.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.rest.split_first_chunk() else {
            return Err(self.error(Fault::Truncated));
        };
        self.rest = tail;
        Ok(*head)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// Fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(self.error(Fault::Truncated));
        };
        self.rest = tail;
        Ok(head)
    }

    /// A byte.
    ///
    /// # Errors
    ///
    /// None is left.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// A 16-bit number.
    ///
    /// # Errors
    ///
    /// Too few bytes are left.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A 32-bit number.
    ///
    /// # Errors
    ///
    /// Too few bytes are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A 64-bit number.
    ///
    /// # Errors
    ///
    /// Too few bytes are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reserved bytes, which are zero.
    ///
    /// # Errors
    ///
    /// They are not, or too few are left.
    pub fn reserved<const N: usize>(&mut self) -> Result<(), DecodeError> {
        let here = self.clone();
        if self.array::<N>()? == [0; N] {
            Ok(())
        } else {
            Err(here.error(Fault::Field("a reserved byte")))
        }
    }

    /// A name behind its one-byte length.
    ///
    /// # Errors
    ///
    /// It is not a name, or too few bytes are left.
    pub fn name(&mut self) -> Result<Name, DecodeError> {
        let here = self.clone();
        let len = self.u8()?;
        let bytes = self.bytes(usize::from(len))?;
        std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| Name::new(text).ok())
            .ok_or_else(|| here.error(Fault::Field("a name")))
    }

    /// A text behind its one-byte length: UTF-8 without control characters.
    ///
    /// # Errors
    ///
    /// It is longer than `max`, or is no such text, or too few bytes are left.
    pub fn text(&mut self, max: usize) -> Result<String, DecodeError> {
        let here = self.clone();
        let len = usize::from(self.u8()?);
        let bytes = self.bytes(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if len <= max && !text.chars().any(char::is_control) => Ok(text.to_owned()),
            _ => Err(here.error(Fault::Field("a text"))),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    ///
    /// [`Fault::Trailing`] where something is.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(Fault::Trailing))
        }
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Puts fields one after the other.
#[derive(Clone, Debug, Default)]
pub struct Put(pub Vec<u8>);

impl Put {
    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A 16-bit number.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    /// A 32-bit number.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// A 64-bit number.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// A text of at most 255 bytes behind its one-byte length.
    ///
    /// # Panics
    ///
    /// With a longer one; names and marker texts are bounded when they are made.
    pub fn text(&mut self, text: &str) {
        self.u8(u8::try_from(text.len()).expect("texts are bounded when they are made"));
        self.bytes(text.as_bytes());
    }

    /// Bytes put so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        length(&self.0)
    }
}
