//! Rewritten layers read like the old ones, hold few dead bytes, and leave nothing when they stop.
//!
//! | file | what |
//! | --- | --- |
//! | `world.rs` | layers from writes, and a reader too simple to be wrong |
//! | `same.rs` | whatever is rewritten reads the same |
//! | `stop.rs` | stopped, or failed, at any place |
//! | `bounds.rs` | memory, dead bytes, and that it comes to an end |
//!
//! Mutants that were tried, each of them caught by the test behind it:
//!
//! - zeroed rows dropped where something is below: `same`;
//! - the last extent of a full window left out, or given to both windows: `same`, `bounds`;
//! - the oldest layer on top: `same`;
//! - the offset of an extent in a passed frame lost: `same`;
//! - rows of a passed frame joined across a hole in the frame: `same`;
//! - rows of the layer that was full before the window ended left out: `same`;
//! - disks numbered as in the old layer instead of the merged table: `same`;
//! - new layers left after a stop: `stop`;
//! - gathered frames kept until the window ends: `bounds`;
//! - every frame passed: `bounds`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod bounds;
mod same;
mod stop;
mod world;
