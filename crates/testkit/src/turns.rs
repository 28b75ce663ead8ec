//! Threads that take turns: one of them runs at a time, and a seed says which.
//!
//! A thread gives its turn away where it calls [`Turn::step`], and nowhere else, so what the threads do
//! follows from the seed alone. One may be put to sleep there until the others have made many steps or
//! have ended: a worker that is paused for longer than anything waits for it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::random::Random;

/// How turns change, in times of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often another thread comes next.
    pub change: u64,
    /// How often the thread is put to sleep.
    pub sleep: u64,
    /// How often it is put to sleep at a step that matters.
    pub sleep_where_it_matters: u64,
    /// Most steps that it sleeps.
    pub sleep_max: u64,
}

/// What one of the threads runs.
pub type Turning<'a> = Box<dyn FnOnce(Turn) + Send + 'a>;

/// A thread's place among those that take turns.
#[derive(Clone, Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    number: usize,
}

#[derive(Debug)]
struct Turns {
    rota: Mutex<Rota>,
    /// One for each thread.
    called: Vec<Condvar>,
}

#[derive(Debug)]
struct Rota {
    random: Random,
    pace: Pace,
    /// Whose turn it is.
    turn: usize,
    steps: u64,
    /// The step up to which each sleeps; `None` where it has ended.
    asleep_until: Vec<Option<u64>>,
}

/// Runs all of them to their ends, each on a thread of its own, one at a time; says which of them
/// panicked.
#[must_use]
pub fn take_turns(seed: u64, pace: Pace, threads: Vec<Turning<'_>>) -> Vec<thread::Result<()>> {
    let mut rota = Rota {
        random: Random::new(seed),
        pace,
        turn: 0,
        steps: 0,
        asleep_until: threads.iter().map(|_| Some(0)).collect(),
    };
    rota.turn = rota.awake().unwrap_or(0);
    let turns = Arc::new(Turns {
        rota: Mutex::new(rota),
        called: threads.iter().map(|_| Condvar::new()).collect(),
    });
    thread::scope(|scope| {
        let numbered = threads.into_iter().enumerate();
        let running: Vec<_> = numbered
            .map(|(number, run)| {
                let turns = Arc::clone(&turns);
                let turn = Turn { turns, number };
                scope.spawn(move || {
                    let _ends = Ends(turn.clone());
                    turn.turns.wait(turn.turns.lock(), number);
                    run(turn);
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join()).collect()
    })
}

impl Turn {
    /// Which of the threads it is, counted from 0.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Lets others run, or not, as the seed says.
    pub fn step(&self, matters: bool) {
        let mut rota = self.turns.lock();
        rota.steps += 1;
        let Pace {
            change,
            sleep,
            sleep_where_it_matters,
            sleep_max,
        } = rota.pace;
        let share = if matters {
            sleep_where_it_matters
        } else {
            sleep
        };
        let sleeps = rota.random.below(1000) < share;
        if sleeps {
            let until = rota.steps + 1 + rota.random.below(sleep_max);
            if let Some(asleep_until) = rota.asleep_until.get_mut(self.number) {
                *asleep_until = Some(until);
            }
        }
        if sleeps || rota.random.below(1000) < change {
            self.turns.pass(&mut rota);
            self.turns.wait(rota, self.number);
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Rota> {
        // Nothing panics while it holds this.
        self.rota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, rota: &mut Rota) {
        if let Some(next) = rota.awake() {
            rota.turn = next;
            self.called
                .iter()
                .skip(next)
                .take(1)
                .for_each(Condvar::notify_one);
        }
    }

    fn wait(&self, mut rota: MutexGuard<'_, Rota>, number: usize) {
        let Some(called) = self.called.get(number) else {
            return;
        };
        while rota.turn != number {
            rota = called.wait(rota).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Rota {
    /// One that does not sleep; where all do, the first to wake up. `None` where all have ended.
    fn awake(&mut self) -> Option<usize> {
        let numbered = || self.asleep_until.iter().enumerate();
        let left = || numbered().filter_map(|(number, until)| Some((number, (*until)?)));
        let awake: Vec<usize> = left()
            .filter(|(_, until)| *until <= self.steps)
            .map(|(number, _)| number)
            .collect();
        if awake.is_empty() {
            let (number, until) = left().min_by_key(|(_, until)| *until)?;
            self.steps = until;
            return Some(number);
        }
        let chosen = self.random.below(u64::try_from(awake.len()).unwrap_or(1));
        awake.into_iter().nth(usize::try_from(chosen).unwrap_or(0))
    }
}

/// Passes the turn on when a thread ends, also where it panics.
struct Ends(Turn);

impl Drop for Ends {
    fn drop(&mut self) {
        let Turn { turns, number } = &self.0;
        let mut rota = turns.lock();
        if let Some(asleep_until) = rota.asleep_until.get_mut(*number) {
            *asleep_until = None;
        }
        turns.pass(&mut rota);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<(usize, u64)> {
        let pace = Pace {
            change: 300,
            sleep: 50,
            sleep_where_it_matters: 200,
            sleep_max: 40,
        };
        let order = Mutex::new(Vec::new());
        let threads = (0..3).map(|number| -> Turning<'_> {
            let order = &order;
            Box::new(move |turn: Turn| {
                for step in 0..50 {
                    order.lock().unwrap().push((number, step));
                    turn.step(step % 5 == 0);
                    assert!((number, step) != (2, 30), "one of them panics");
                }
            })
        });
        let ended = take_turns(seed, pace, threads.collect());
        let panicked: Vec<bool> = ended.iter().map(Result::is_err).collect();
        assert_eq!(panicked, [false, false, true]);
        order.into_inner().unwrap()
    }

    #[test]
    fn a_seed_repeats_the_order_of_turns_and_another_does_not() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        // All steps of two threads, and those of the third up to its end.
        assert_eq!(order(1).len(), 50 + 50 + 31);
    }
}
