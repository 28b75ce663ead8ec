//! The one place that asks for the time. It is for display, lookup and retention only.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use afterimage_changelog::Timestamp;

/// Says what time it is; tests put their own here.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(now)
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock is")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    Timestamp(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// For measuring how long something takes.
#[expect(clippy::disallowed_methods, reason = "timing belongs to the pipeline")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
