//! The proof that nothing is lost and no point is ever wrong: the whole chain, from the agent's
//! segments to replica disks, on a simulated machine that forgets what was not synced.
//!
//! | module | what |
//! | --- | --- |
//! | `crash_sweep` | the power cut after every operation, and again while going on |
//! | `fault_sweep` | every operation failing, with and without its effect |
//! | `full_store` | a file system that runs full at any place |
//! | `fencing` | two workers, paused workers, gaps, outcomes in doubt |
//! | `invariants` | random histories against plain arrays |
//! | `upkeep` | pruning, compaction and collection, cut anywhere and beside readers |
//! | `rewind` | the any-write window: every single write is gone back to, cut and failing anywhere, with threads too, and spoiled |
//! | `threads` | the pipeline with its threads: steps that overlap, cut and failing anywhere |
//! | `mutants` | the chain with one rule broken at a time, each caught by one of the sweeps |
//!
//! All but `threads` and `rewind::threads` runs in a loop on one thread, so a run repeats exactly. `AFTERIMAGE_SWEEP=long` raises
//! the limits of what is sampled.

#[cfg(test)]
mod crash_sweep;
#[cfg(test)]
mod fault_sweep;
#[cfg(test)]
mod fencing;
#[cfg(test)]
mod full_store;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod rewind;
#[cfg(test)]
mod support;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod upkeep;
