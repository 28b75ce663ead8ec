//! What the sweeps share: one history, the machine it runs on, and the judge.

pub(crate) mod check;
pub(crate) mod found;
pub(crate) mod hooked;
pub(crate) mod point_disk;
pub(crate) mod rig;
pub(crate) mod run;
pub(crate) mod scenario;
pub(crate) mod tearing;

pub(crate) use check::check;
pub(crate) use found::{Found, Plan, on_one_thread, spread};
pub(crate) use rig::{DiskPair, Rig, Wraps};
pub(crate) use run::{Progress, finish};
pub(crate) use scenario::{HISTORY, Scenario};
