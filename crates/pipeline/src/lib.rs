//! Crash-consistent recovery points from a captured stream of disk writes.
