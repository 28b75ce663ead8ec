//! Cache and target on servers: Azurite speaks Azure Blob, moto speaks S3.
//!
//! | file | what |
//! | --- | --- |
//! | `faults.rs` | faults of every kind before both: nothing lost, nothing twice, every point exact |
//! | `races.rs` | two workers on one group: one chain |
//! | `requests.rs` | what is asked of a server: no listing of the cache once it runs |
//! | `refusals.rs` | bad credentials, no bucket, a store that vanishes: one clear error, or it goes on |
//!
//! Where a server cannot be had the test says `NOT RUN` and why.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod faults;
mod races;
mod refusals;
mod requests;
mod world;
