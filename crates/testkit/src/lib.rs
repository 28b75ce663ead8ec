//! What the tests of Afterimage share: simulated disk and store, oracle, workloads.
