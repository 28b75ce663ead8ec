//! Stopping on a signal.

use afterimage::Stop;

use crate::failure::Failure;

/// A stop that the first interrupt or termination signal gives; the second one ends the process.
pub(crate) fn stop_on_signal() -> Result<Stop, Failure> {
    let stop = Stop::default();
    let given = stop.clone();
    ctrlc::set_handler(move || {
        if given.is_stopped() {
            std::process::exit(130);
        }
        given.stop();
    })
    .map_err(|error| Failure::invalid(format!("signals cannot be received: {error}")))?;
    Ok(stop)
}
