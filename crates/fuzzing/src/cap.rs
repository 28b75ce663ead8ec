//! A limit on what one run of a body may allocate.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// What one run may allocate in sum, freed or not. The largest legitimate run, with every frame of a
/// sample decoded, stays far below it; a length that is believed before it is checked does not.
const ALLOCATED_BYTES_MAX: usize = 64 << 20;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator with a count of the bytes it gave. A program that calls [`capped`] makes it
/// its global allocator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let grown = new_size.saturating_sub(layout.size());
        ALLOCATED.fetch_add(grown, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

/// Runs a body and checks what it allocated. What other threads allocate counts too, so one body
/// runs at a time.
///
/// # Panics
///
/// Where the body does, where it allocated over 64 MiB, or where [`Counting`] is not the program's
/// allocator.
pub fn capped(body: fn(&[u8]), bytes: &[u8]) {
    ALLOCATED.store(0, Ordering::Relaxed);
    drop(std::hint::black_box(vec![0u8]));
    body(bytes);
    let allocated = ALLOCATED.load(Ordering::Relaxed);
    assert!(allocated > 0, "the allocator does not count");
    assert!(
        allocated <= ALLOCATED_BYTES_MAX,
        "{allocated} bytes were allocated for {} bytes of input",
        bytes.len()
    );
}
