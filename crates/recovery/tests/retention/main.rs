//! Which points stay: the language, the presets, and what holds whatever the points are.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod language;
mod presets;
mod properties;
mod series;
mod times;
mod words;
