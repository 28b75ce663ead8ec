//! The one place where asynchronous code runs.

use std::{io, sync::OnceLock};

use tokio::runtime::{Builder, Runtime};

/// Threads that talk to servers; what they move is hashed and compressed elsewhere.
const THREADS: usize = 2;

/// The runtime of the process; started by the first who asks.
///
/// # Errors
///
/// The system has no threads left.
pub(super) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("store")
        .enable_all()
        .build()?;
    // Where another thread was faster, this one's stops at once.
    Ok(RUNTIME.get_or_init(|| made))
}
