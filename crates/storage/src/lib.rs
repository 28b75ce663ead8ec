//! The two seams of Afterimage to the world: objects and disks.
//!
//! [`Store`] keeps immutable objects under create-only names, [`Disk`] is read and written in place.
//! No other crate opens a file; beside the two seams there is only [`open_input`].

mod dir_syncs;
mod disk;
mod draft_disk;
mod draft_file;
mod early_writeback;
mod error;
mod file_disk;
mod files;
mod input;
mod key;
mod local;
mod mapped;
mod memory;
mod memory_disk;
mod nonce;
mod os_files;
mod part;
mod probe;
mod raw_file;
mod read_ahead;
mod remote;
mod remove;
mod store;
mod vectored;

pub use disk::{Disk, Stamp};
pub use draft_disk::DraftDisk;
pub use error::{
    Cause, DiskError, DiskErrorKind, DiskOperation, Effect, Operation, StoreError, StoreErrorKind,
};
pub use file_disk::FileDisk;
pub use files::{Contents, Draft, Files, Listed};
pub use input::open_input;
pub use key::{InvalidKey, Key};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use memory_disk::MemoryDisk;
pub use nonce::Nonces;
pub use os_files::OsFiles;
pub use part::Part;
pub use probe::{ProbeError, probe};
pub use read_ahead::ReadAhead;
pub use remote::{
    Address, DELETES_MAX, InvalidAddress, LOOK_BYTES, PART_BYTES, Provider, RemoteStore, Requests,
};
pub use remove::remove_file;
pub use store::{Entry, Store, Tail, Upload};
