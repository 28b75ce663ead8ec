//! What can be wrong with stored bytes.

/// Stored bytes that were refused.
///
/// `offset` counts from the start of the part named, so that a dump opened there shows the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}, byte {offset}: {fault}")]
pub struct DecodeError {
    /// The part of the object.
    pub part: &'static str,
    /// Where in that part.
    pub offset: u64,
    /// What was wrong.
    pub fault: Fault,
}

/// The ways stored bytes can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end inside the part.
    #[error("the bytes end here, the part goes on")]
    Truncated,
    /// Bytes follow where the part ends.
    #[error("bytes follow where the part should end")]
    Trailing,
    /// The magic is another one.
    #[error("not an Afterimage object of this kind")]
    Magic,
    /// A newer version wrote it.
    #[error("format version {0} is not known to this version")]
    Version(u8),
    /// An encryption suite this version does not have.
    #[error("encryption suite {0} is not known to this version")]
    Suite(u16),
    /// The stored hash does not match the bytes.
    #[error("the hash does not match the bytes")]
    Digest,
    /// A field holds a value that it may not hold.
    #[error("{0} is not valid")]
    Field(&'static str),
    /// A number is over its limit.
    #[error("{0} is over its limit")]
    Limit(&'static str),
    /// Rows of a layer out of order or overlapping.
    #[error("rows are not in order")]
    Order,
    /// The compressed payload does not decompress to its declared length.
    #[error("the payload does not decompress to its declared length")]
    Payload,
}
