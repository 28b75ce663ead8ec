//! What the fuzz targets run.
//!
//! A body takes any bytes and panics where the code under it breaks a promise. `fuzz/` has a target
//! for each, and `tests/corpus.rs` runs them all on a stable compiler, over the committed corpus and
//! over edits of it that follow from a seed.
//!
//! Bodies of decoders read their bytes in several ways, by the first byte: as the object itself, as
//! edits of a valid one, and as edits of a valid one whose hashes are computed anew afterwards, so
//! that the code behind the hashes is reached. What decodes has to encode to the same bytes.
//!
//! | module | what |
//! | --- | --- |
//! | [`bodies`] | the bodies, and the list of them |
//! | [`cap`] | a limit on what one run may allocate |
//! | `choices`, `spoil` | bytes as decisions, bytes as edits |
//! | `sample`, `rehash` | valid objects, and valid hashes for spoiled ones |

pub mod bodies;
pub mod cap;
mod choices;
mod rehash;
mod sample;
mod spoil;

pub use bodies::{BODIES, Body};
pub use cap::{Counting, capped};
pub use spoil::spoiled_at_random;
