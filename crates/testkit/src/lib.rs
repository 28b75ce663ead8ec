//! What the tests of Afterimage share.
//!
//! - [`World`]: a simulated machine whose files and disks forget what was not synced, and
//!   [`CrashStates`], every state that a loss of power may leave of it;
//! - [`store_conformance`] and [`disk_conformance`]: the contracts of the two seams as suites;
//! - [`SimStore`]: an object store without a network that fails, answers late and is in doubt as one
//!   across a network, and [`take_turns`], which lets threads run one at a time by a seed;
//! - [`FaultProxy`]: stands between an object-store client and a server, and injects [`Faults`];
//! - [`PlainDisk`], [`stamp`] and [`Workload`]: an oracle, sectors that name the write they come
//!   from, and writes as guests make them, all from a seed;
//! - [`Spoil`]: what can be done to the bytes of a stored object.

mod conformance;
mod crash;
mod disk_conformance;
mod oracle;
mod proxy;
mod random;
pub mod servers;
mod sim_disk;
mod sim_files;
mod sim_store;
mod spoil;
mod stamp;
mod turns;
mod workload;
mod world;

pub use conformance::store_conformance;
pub use crash::CrashStates;
pub use disk_conformance::disk_conformance;
pub use oracle::PlainDisk;
pub use proxy::{FaultCounts, FaultKind, FaultProxy, Faults, Refusal};
pub use random::Random;
pub use sim_disk::SimDisk;
pub use sim_store::{SimClient, SimCounts, SimStore, StoreFaults};
pub use spoil::{Spoil, Tried};
pub use stamp::{STAMP_LEN, Stamp, stamp};
pub use turns::{Pace, Turn, Turning, take_turns};
pub use workload::{Workload, Write};
pub use world::{Fault, World};
