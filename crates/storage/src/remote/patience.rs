//! How long something is tried again, and the pauses between.

use std::time::Duration;

use tokio::time::Instant;

use super::Shared;

/// The pause after the first failure; each of the next ones is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);

/// What is left of the patience of an address, from the first try on.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    shared: &'a Shared,
    began: Instant,
    pause: Duration,
}

impl<'a> Patience<'a> {
    pub(super) fn begin(shared: &'a Shared) -> Patience<'a> {
        Patience {
            shared,
            began: Instant::now(),
            pause: FIRST,
        }
    }

    /// Pauses before the next try, for half of the pause to all of it, so that those who failed together do
    /// not come again together. False, at once, where the patience would end meanwhile.
    pub(super) async fn pause(&mut self) -> bool {
        if self.began.elapsed() + self.pause > self.shared.address.patience {
            return false;
        }
        let [byte, ..] = self.shared.nonces.next();
        let half = self.pause / 2;
        tokio::time::sleep(half + half * u32::from(byte) / 255).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}
