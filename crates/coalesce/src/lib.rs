//! The one operator of Afterimage: ordered runs of extents in, one run of live extents out, the
//! last writer wins. It works on indexes alone and touches no payload.
//!
//! ```
//! use afterimage_coalesce::{Extent, coalesce};
//! let older = Extent { disk: 0, start: 0, sectors: 8, rank: 0, object: 0, frame: 0, offset: 0 };
//! let newer = Extent { start: 2, sectors: 2, rank: 1, frame: 1, ..older };
//! let live = coalesce(vec![older, newer]);
//! let runs: Vec<_> = live.iter().map(|run| (run.start, run.end(), run.frame)).collect();
//! assert_eq!(runs, [(0, 2, 0), (2, 4, 1), (4, 8, 0)]);
//! ```

mod coalescer;
mod density;
mod extent;
mod line;
mod merge;
mod order;
mod sweep;

pub use coalescer::{Coalescer, coalesce};
pub use density::{Density, FrameFate};
pub use extent::Extent;
pub use merge::Merge;
pub use sweep::Sweep;
