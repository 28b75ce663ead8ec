//! What a worker reads itself while it gives space back: the replicas are brought forward from one
//! manifest, which may take long, and what that names is not deleted meanwhile.
//!
//! It is the order of holds without a store: who reads says so and learns whether there is a newer
//! manifest to read from, who collects says as of which one and learns who reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afterimage_recovery::Head;

/// The one manifest that is read from, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    reading: Option<Arc<Head>>,
    /// As of this one something was given back: what only older ones name may be gone.
    collected: Option<Arc<Head>>,
}

/// Reading from a manifest, until this is dropped.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    in_use: &'a InUse,
    head: Arc<Head>,
}

impl InUse {
    /// Says that a manifest is read from now, or a newer one where that is too late for it. One at a
    /// time.
    pub(crate) fn read(&self, head: Arc<Head>) -> Reading<'_> {
        let mut state = self.state();
        let head = match &state.collected {
            Some(newer) if newer.manifest.number > head.manifest.number => Arc::clone(newer),
            _ => head,
        };
        state.reading = Some(Arc::clone(&head));
        Reading { in_use: self, head }
    }

    /// Says that what a manifest does not name is deleted; gives the one of which it is to stay.
    pub(crate) fn collect(&self, head: &Arc<Head>) -> Option<Arc<Head>> {
        let mut state = self.state();
        state.collected = Some(Arc::clone(head));
        state.reading.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading<'_> {
    /// What is read from.
    pub(crate) const fn head(&self) -> &Arc<Head> {
        &self.head
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.in_use.state().reading = None;
    }
}
