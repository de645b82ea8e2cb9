//! A global allocator that knows how many bytes live, by the thread that asks.
//!
//! A simulated run happens on one thread: when it is over, as many bytes live as before, or it has
//! lost some.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated and that were not freed by it.
#[must_use]
pub fn live_bytes() -> isize {
    LIVE.get()
}

/// The system's allocator, counting. Install it with `#[global_allocator]`.
#[derive(Debug)]
pub struct LiveAllocator;

fn note(bytes: usize, sign: isize) {
    // A thread that ends frees after its locals are gone: nobody asks for its count then.
    let _ = LIVE.try_with(|live| live.set(live.get() + sign * bytes as isize));
}

// SAFETY: every call goes to `System` unchanged; the count is a plain number of this thread, which
// needs no memory of the heap.
unsafe impl GlobalAlloc for LiveAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(layout.size(), -1);
        // SAFETY: the pointer came from `System` by one of the methods here, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(layout.size(), -1);
        note(new_size, 1);
        // SAFETY: the pointer came from `System` by one of the methods here, with this layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
