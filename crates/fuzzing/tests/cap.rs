//! The limit on allocation, in a program of its own: it counts for the whole program.

use afterimage_fuzzing::{Counting, capped};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
#[should_panic(expected = "bytes were allocated for 3 bytes of input")]
fn a_body_that_believes_a_length_is_stopped() {
    capped(
        |_| drop(std::hint::black_box(Vec::<u8>::with_capacity(65 << 20))),
        &[1, 2, 3],
    );
}
