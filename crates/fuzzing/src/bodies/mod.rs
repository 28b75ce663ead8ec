//! The bodies: one file each.

mod coalesce;
mod container;
mod directory;
mod footer;
mod frame;
mod header;
mod hold;
mod layer;
mod manifest;
mod marker;
mod names;
mod page;
mod point_reader;
mod progress;
mod segment;
mod write_log;

pub use coalesce::coalesce;
pub use container::container;
pub use directory::directory;
pub use footer::footer;
pub use frame::frame;
pub use header::header;
pub use hold::hold;
pub use layer::layer;
pub use manifest::manifest;
pub use marker::marker;
pub use names::names;
pub use page::page;
pub use point_reader::point_reader;
pub use progress::progress;
pub use segment::segment;
pub use write_log::write_log;

/// A body, and what a corpus begins with.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Its name, which its fuzz target and the folder of its corpus have too.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&[u8]),
    /// Inputs that reach far into it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! bodies {
    ($($name:ident)*) => {
        /// All bodies.
        pub const BODIES: &[Body] = &[$(Body {
            name: stringify!($name),
            run: $name::$name,
            seeds: $name::seeds,
        }),*];
    };
}

bodies! {
    coalesce container directory footer frame header hold layer manifest marker names page point_reader
    progress segment write_log
}
