//! Recovery points: layers, the manifest chain, and the reader of points.
//!
//! | module | what |
//! | --- | --- |
//! | [`manifest`] | what a manifest says, and its bytes |
//! | [`page`] | points that do not change soon, in an object of their own |
//! | [`chain`] | finding the head of the chain, checking the chain |
//! | [`committer`] | taking a group over, committing, being fenced |
//! | [`compact`] | many layers become few |
//! | [`layer_writer`] | live extents in, layers out |
//! | [`layer`] | an opened layer, page by page |
//! | [`point`] | any bytes of any point |
//! | [`retention`] | which points stay |
//! | [`verify`] | proving that points can be read back |

pub mod chain;
mod change;
mod claim;
pub mod collect;
pub mod committer;
pub mod compact;
mod cover;
mod each_waiting;
mod ended;
mod error;
pub mod hold;
pub mod holds;
pub mod index_writer;
pub mod layer;
pub mod layer_writer;
pub mod manifest;
pub mod name;
mod output;
mod pack;
pub mod page;
pub mod point;
mod preloaded;
mod prune;
mod read_cache;
mod record;
mod region;
pub mod retention;
pub mod verify;

pub use chain::{Head, load_head};
pub use change::{Change, Proposal, Replacement};
pub use collect::{Collected, Collector};
pub use committer::Committer;
pub use ended::{forget_ended, has_ended, mark_ended};
pub use error::{RecoveryError, RecoveryErrorKind};
pub use index_writer::{IndexJob, IndexLimits, plan_indexes, write_index};
pub use layer_writer::{
    DraftLayers, LayerJob, WrittenLayers, delete_layers, draft_layers, write_layers,
};
pub use manifest::{IndexRef, LayerRef, Manifest, PageRef, Point, StreamPosition};
pub use point::PointReader;
pub use prune::{mark_pruning, plan_prune, unmark_pruning_before};
pub use verify::{Sample, Verified, verify_layer};
