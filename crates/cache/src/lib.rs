//! The change-log cache: where the source machine puts its segments and the service takes them.
//!
//! Segments are objects `<group>/<stream>/<number>.seg`, numbered without a gap. A writer that takes
//! over goes on at the next number with a higher epoch, so the create-only name fences the old one;
//! a reader always knows the next name. A segment is deleted once a durable point covers it, except
//! the last covered one, which anchors the chain.

mod error;
mod name;
mod reader;
mod writer;

pub use error::{CacheError, CacheErrorKind};
pub use name::{claim_key, claimed_epoch, segment_key, segment_number, stream_prefix, streams};
pub use reader::{Segment, StreamReader, check_anchor, load_segment, open_segment};
pub use writer::{SegmentLimits, StreamWriter, WriterOptions};
