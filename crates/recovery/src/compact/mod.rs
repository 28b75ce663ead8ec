//! Compaction: layers of one point become fewer, read the same, and hold few dead bytes.
//!
//! | part | what |
//! | --- | --- |
//! | [`is_worth_a_survey`] | whether there can be anything to rewrite, without opening a layer |
//! | [`survey`] | what rewriting would give back, from indexes alone |
//! | [`plan`] | which neighbouring layers to rewrite, and into what |
//! | [`rewrite`] | writes the layers that take their place |
//!
//! All of it goes over the merged index in windows, so that memory depends on [`Limits`] and not on
//! the size of the layers. Nothing that is there is touched: the new layers count once a manifest
//! names them, and whoever stops halfway leaves objects that no manifest names.

mod fate;
mod limits;
mod live;
mod plan;
mod rewrite;
mod sources;
mod survey;
mod window;

pub use limits::Limits;
pub use plan::{CompactionSettings, Plan, Reason, is_worth_a_survey, plan};
pub use rewrite::{Rewrite, Rewritten, rewrite};
pub use survey::{LayerSurvey, Survey, survey};

use std::ops::ControlFlow;

/// What is made of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A layer like others: what is dense passes as it is, something may lie below it.
    Merge,
    /// The bottom of all points: large frames in address order, so that a restore reads on and on.
    /// Nothing lies below, so zeroes need no rows.
    Base,
}

/// Asked before bytes are moved, with their number: it may take its time, and may stop the work.
pub type Pace<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;
