//! See `afterimage_fuzzing::bodies::hold`.

#![no_main]

use afterimage_fuzzing::{Counting, bodies, capped};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|bytes: &[u8]| capped(bodies::hold, bytes));
