//! What the benches share.
//!
//! - [`Recording`]: the writes of a guest, with their bytes, ready to go through the cache;
//! - [`bench_bytes`]: how much a bench writes, from the environment;
//! - [`Turns`]: ours and the physical limit, measured in turns under criterion, and their ratio;
//! - [`copy_files`], [`copy_sparse`]: that limit, copying bytes that are there already;
//! - [`create_durable`]: a file as durable as a file can be.

mod copy;
mod recording;
mod settings;
mod turns;

pub use copy::{copy_files, copy_sparse, create_durable};
pub use recording::{Recording, make_points, writes_of};
pub use settings::{bench_bytes, word};
pub use turns::{Turns, median, timed};
