//! The stages from segments to points: plain structs that are pushed and pulled, which cannot tell a
//! thread from a loop.
//!
//! ```text
//! Segment -> Cutter -> Part -> Mover -> Moved -> (seal) -> Sealed -> Commits -> Acknowledger
//! ```
//!
//! A **part** is an interval, or a piece of one that did not fit the memory. What is done to it is
//! this, and a part overtakes no other at step 5:
//!
//! 1. the indexes of its segments are read: nothing is changed;
//! 2. its records are gathered and coalesced: in memory;
//! 3. its layers are written: a crash leaves nothing, for they have no names yet;
//! 4. its layers are sealed, durable and then named: a crash leaves objects that no manifest names;
//! 5. the names of the segments that were read are made durable, so that no later cache contradicts
//!    the point;
//! 6. one manifest commits the points, positions and layers of all intervals that have come so far,
//!    and is read back: a crash before leaves layers nobody names, a crash after leaves the points
//!    committed though nobody was told;
//! 7. the segments before the newest committed position are deleted: a crash leaves some, which the
//!    next open deletes.
//!
//! Of different parts, steps 1 to 4 and 7 may be done at the same time as any step of another.

mod acknowledger;
mod commits;
mod cutter;
mod mover;
mod open;
mod part;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use acknowledger::Acknowledger;
pub(crate) use commits::{Commits, Committed, ReadMark};
pub(crate) use cutter::Cutter;
pub(crate) use mover::Mover;
pub(crate) use open::{PART_SHARE, Stages, open};
pub(crate) use part::{Counts, Moved, Part, Sealed};
