//! Crash-consistent recovery points from a captured stream of disk writes.
//!
//! This is the crate that service binaries link. A [`Pipeline`] turns the segments that an agent put
//! into a cache into recovery points at a target; [`Points`] lists, reads and proves them; a
//! [`Restore`] gives any of them back as a disk. The parts it is made of are crates of their own,
//! re-exported here where a caller needs them.
//!
//! ```
//! use afterimage::{Pipeline, open_store};
//!
//! let (cache, target) = (open_store("memory://")?, open_store("memory://")?);
//! let pipeline = Pipeline::builder("shop".parse()?, cache, target).memory(256 << 20).build()?;
//! pipeline.run_once(&mut |event| println!("{event:?}"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod disk_of_point;
mod doctor;
mod driver;
mod error;
mod figures;
mod gather;
mod held;
mod in_use;
mod ingest;
mod location;
mod maintain;
mod pipeline;
pub mod plan;
mod points;
mod replicas;
mod restore;
mod restore_at;
mod rewind;
mod stages;
mod stop;
mod tend;

pub use afterimage_cache as cache;
pub use afterimage_changelog as changelog;
pub use afterimage_recovery as recovery;
pub use afterimage_storage as storage;

pub use afterimage_changelog::{MarkerKind, Name, Timestamp};
pub use afterimage_recovery::{Point, PointReader, Sample, Verified};
pub use afterimage_target::Applied;
pub use clock::{Clock, system_clock};
pub use doctor::{Finding, Role, Verdict, examine};
pub use error::{Error, ErrorKind};
pub use figures::{Figures, Snapshot, Stage, StageSnapshot, Sums};
pub use held::{HeldPoints, PointHold, holds, pin, unpin};
pub use ingest::{Ingest, IngestParts, PointReport};
pub use location::{open_existing_store, open_store, open_worker_store};
pub use maintain::{Tended, Upkeep};
pub use pipeline::{Event, Outcome, Pipeline, PipelineBuilder, Watch};
pub use points::{PointSelector, Points};
pub use replicas::{ReplicaReport, ReplicaSpec};
pub use restore::{Onto, Restore, RestoreProgress, Restored};
pub use restore_at::{RestoreAt, RestoredAt};
pub use rewind::{Moment, Rewound};
pub use stop::Stop;
pub use tend::{Tend, decisions};
