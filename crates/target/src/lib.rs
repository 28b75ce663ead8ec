//! The applier: live extents onto a disk, and replica disks that follow the points.
//!
//! | module | what |
//! | --- | --- |
//! | [`applier`] | extents in, bytes on a disk |
//! | [`gaps`] | the whole of a disk from the extents of a point |
//! | [`areas`] | extents cut to the areas that may differ |
//! | [`progress`] | what a replica's disk holds, in two slots |
//! | [`replica`] | moving a disk from point to point, whatever crash comes between |

pub mod applier;
pub mod areas;
mod error;
pub mod gaps;
pub mod progress;
pub mod replica;

pub use applier::{Applied, Applier, Mode};
pub use areas::Areas;
pub use error::{TargetError, TargetErrorKind};
pub use gaps::Gaps;
pub use progress::{Progress, Stand, Standing};
pub use replica::Replica;
