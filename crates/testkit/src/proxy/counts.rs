//! What a proxy has done so far.

use std::collections::BTreeMap;

use super::faults::FaultKind;

/// What a [`FaultProxy`](crate::FaultProxy) has done so far. A request is counted when its head was
/// read, its fate before the client can see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Requests that arrived.
    pub requests: u64,
    /// Requests of which the server's own answer was passed on as it is.
    pub passed: u64,
    /// Connections that were reset because the store is gone.
    pub refused: u64,
    /// Requests with a fault, by kind.
    pub injected: BTreeMap<FaultKind, u64>,
}

impl FaultCounts {
    /// Requests with a fault of this kind.
    #[must_use]
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.injected.get(&kind).copied().unwrap_or(0)
    }

    /// Requests with a fault.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.injected.values().sum()
    }

    /// Counts a request that was passed on, or had a fault.
    pub(super) fn add(&mut self, fault: Option<FaultKind>) {
        let count = match fault {
            None => &mut self.passed,
            Some(kind) => self.injected.entry(kind).or_default(),
        };
        *count += 1;
    }
}
