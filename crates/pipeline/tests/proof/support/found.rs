//! How far a sweep goes, and what it found.

use std::fmt;

/// How far a sweep goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Crash states looked at for each cut; all of them where there are no more.
    pub(crate) states: usize,
    /// Of those, how many go on to the end of the history.
    pub(crate) resumed: usize,
    /// How often each one that goes on is cut once more on its way.
    pub(crate) again: u64,
    /// Crash states looked at for each second cut.
    pub(crate) states_again: usize,
    /// Ends with the first loss: enough to tell that a mutant is caught.
    pub(crate) first_loss_only: bool,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Places at which the run was cut or an operation failed.
    pub(crate) places: u64,
    /// States looked at after it.
    pub(crate) states: u64,
    /// States looked at after a second crash.
    pub(crate) states_again: u64,
    /// Runs that went on and had to come to the end.
    pub(crate) resumed: u64,
    /// Every broken promise.
    pub(crate) losses: Vec<String>,
}

impl Plan {
    /// Many times as much where `AFTERIMAGE_SWEEP` is `long`.
    pub(crate) fn scaled(self) -> Plan {
        if !is_long() {
            return self;
        }
        Plan {
            states: self.states * 20,
            resumed: self.resumed * 5,
            again: self.again * 5,
            states_again: self.states_again * 5,
            ..self
        }
    }
}

impl Found {
    /// Takes a verdict; `place` says where it was found.
    pub(crate) fn judge<T>(&mut self, verdict: Result<T, String>, place: impl fmt::Display) {
        if let Err(loss) = verdict {
            self.losses.push(format!("{place}: {loss}"));
        }
    }

    /// Whether the sweep may end here.
    pub(crate) fn is_enough(&self, plan: &Plan) -> bool {
        plan.first_loss_only && !self.losses.is_empty()
    }

    /// Panics with the first losses, if there is one.
    pub(crate) fn assert_lossless(&self) {
        let first: Vec<&String> = self.losses.iter().take(12).collect();
        assert!(first.is_empty(), "{self}, the first: {first:#?}");
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} places, {} states, {} states after a second crash, {} runs resumed to the end, {} \
             losses",
            self.places,
            self.states,
            self.states_again,
            self.resumed,
            self.losses.len()
        )
    }
}

/// Whether there is time for many more cases.
pub(crate) fn is_long() -> bool {
    std::env::var_os("AFTERIMAGE_SWEEP").is_some_and(|value| value == "long")
}

/// The numbers below `end`, each once, in an order that is soon everywhere: what only a few of them
/// show is found without going through all before.
pub(crate) fn spread(end: u64) -> impl Iterator<Item = u64> {
    // A step that shares no factor with the end reaches every number.
    let is_coprime = |step: &u64| {
        let (mut one, mut other) = (*step, end);
        while other > 0 {
            (one, other) = (other, one % other);
        }
        one == 1
    };
    let step = (end * 5 / 13..).find(is_coprime).unwrap_or(1);
    (0..end).map(move |turn| turn * step % end)
}

/// Runs `work` where all parallel work is done by one thread, so that it repeats exactly.
pub(crate) fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    pool.install(work)
}
