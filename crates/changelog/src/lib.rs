//! Nouns and bytes of Afterimage: units, records, and the one container that segments and layers are.
//!
//! No I/O, no threads, no clock. What is stored is laid out in `FORMAT.md` at the root of the
//! repository; the golden files beside this crate pin it.
//!
//! | module | what |
//! | --- | --- |
//! | [`units`] | sectors, sequences, epochs, digests, times |
//! | [`name`] | names that may become part of a path |
//! | [`disk`] | what a stream says of its disks |
//! | [`row`] | one row of an index: a write, a zeroed run, a marker |
//! | [`marker`] | where a point may be cut |
//! | [`frame`] | the unit of compression and of checking |
//! | [`header`], [`directory`], [`footer`] | the fixed parts of a container |
//! | [`builder`], [`container`] | writing and reading one |
//! | [`limits`] | every bound that a decoder relies on |

pub mod builder;
pub mod container;
pub mod directory;
pub mod disk;
pub mod error;
pub mod footer;
pub mod frame;
pub mod header;
pub mod limits;
pub mod marker;
pub mod name;
pub mod position;
pub mod row;
pub mod units;
pub mod wire;

pub use builder::{ContainerBuilder, Sealed};
pub use container::{Container, OpenError};
pub use directory::Directory;
pub use disk::Disk;
pub use error::{DecodeError, Fault};
pub use footer::Footer;
pub use frame::{Codec, EncodedFrame, FrameEntry};
pub use header::{Fidelity, Header, ObjectKind};
pub use marker::{Marker, MarkerKind};
pub use name::{InvalidName, Name};
pub use position::Position;
pub use row::{Row, RowKind};
pub use units::{
    Digest, Epoch, ObjectId, SECTOR, SectorSize, Sequence, Timestamp, count, length, size,
};
