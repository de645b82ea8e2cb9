//! A global allocator that poisons what is freed and keeps it for a while, to catch who still uses
//! it: a reader finds garbage, and a write shows when the block is given back at last.
//!
//! It catches the kernel as well, which no sanitizer sees: an operation that completes late into
//! memory that was freed.
//!
//! ```
//! use fastport_testkit::poison_alloc::{PoisoningAllocator, damaged_blocks};
//!
//! #[global_allocator]
//! static ALLOCATOR: PoisoningAllocator = PoisoningAllocator;
//!
//! drop(Box::new(1));
//! assert_eq!(damaged_blocks(), 0);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What freed memory is filled with: as an address it is no valid one, as a length it is absurd.
const POISON: u8 = 0xDB;
/// Blocks that are kept.
const BLOCKS: usize = 4 * 1024;
/// Larger blocks are not kept.
const BYTES_MAX: usize = 256 * 1024;

static DAMAGED: AtomicU64 = AtomicU64::new(0);
static KEPT: Quarantine = Quarantine::new();

/// Looks through everything that is kept: blocks that were written to after they were freed, since
/// the start.
#[must_use]
pub fn damaged_blocks() -> u64 {
    KEPT.look();
    DAMAGED.load(Ordering::SeqCst)
}

/// The system's allocator, poisoning. Install it with `#[global_allocator]`.
#[derive(Debug)]
pub struct PoisoningAllocator;

// SAFETY: blocks come from `System` and go back to it with their own layouts; in between a freed
// block belongs to the quarantine alone.
unsafe impl GlobalAlloc for PoisoningAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's, and has this size.
        unsafe { pointer.write_bytes(POISON, layout.size()) };
        let out = if layout.size() > BYTES_MAX {
            Block { pointer, layout }
        } else {
            KEPT.exchange(Block { pointer, layout })
        };
        if !out.pointer.is_null() {
            // SAFETY: it came from `System` with this layout, and nobody else has it.
            unsafe { System.dealloc(out.pointer, out.layout) };
        }
    }
}

/// A freed block.
#[derive(Copy, Clone)]
struct Block {
    pointer: *mut u8,
    layout: Layout,
}

impl Block {
    const NONE: Self = Self {
        pointer: std::ptr::null_mut(),
        layout: Layout::new::<u8>(),
    };

    /// Whether somebody wrote to it. Repairs it, so that it is counted once.
    fn is_damaged(&self) -> bool {
        if self.pointer.is_null() {
            return false;
        }
        let mut damaged = false;
        // Word by word where the block is aligned for that, as nearly all are.
        let aligned = self.layout.align() >= align_of::<u64>();
        let words = if aligned {
            self.layout.size() / size_of::<u64>()
        } else {
            0
        };
        for word in 0..words {
            // SAFETY: inside the block, which is kept.
            let place = unsafe { self.pointer.cast::<u64>().add(word) };
            // Volatile, since others may write to it.
            // SAFETY: as above, and aligned.
            damaged |= unsafe { place.read_volatile() } != u64::from_ne_bytes([POISON; 8]);
        }
        for offset in words * size_of::<u64>()..self.layout.size() {
            // SAFETY: as above.
            let place = unsafe { self.pointer.add(offset) };
            // SAFETY: as above.
            damaged |= unsafe { place.read_volatile() } != POISON;
        }
        if damaged {
            // SAFETY: as above.
            unsafe { self.pointer.write_bytes(POISON, self.layout.size()) };
        }
        damaged
    }
}

/// The blocks that were freed last. No lock of the library's: that may allocate.
struct Quarantine {
    locked: AtomicBool,
    state: UnsafeCell<State>,
}

struct State {
    blocks: [Block; BLOCKS],
    next: usize,
}

// SAFETY: the state is used under the lock only, and blocks are nobody's.
unsafe impl Sync for Quarantine {}

impl Quarantine {
    const fn new() -> Self {
        Self {
            locked: AtomicBool::new(false),
            state: UnsafeCell::new(State {
                blocks: [Block::NONE; BLOCKS],
                next: 0,
            }),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        while self.locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is held.
        let result = act(unsafe { &mut *self.state.get() });
        self.locked.store(false, Ordering::Release);
        result
    }

    /// Keeps a block, and gives up the one that was kept longest, after a look at it.
    fn exchange(&self, block: Block) -> Block {
        let out = self.with(|state| {
            let out = std::mem::replace(&mut state.blocks[state.next], block);
            state.next = (state.next + 1) % BLOCKS;
            out
        });
        DAMAGED.fetch_add(u64::from(out.is_damaged()), Ordering::SeqCst);
        out
    }

    /// Looks at all that is kept.
    fn look(&self) {
        let damaged = self.with(|state| {
            let damaged = state.blocks.iter().filter(|block| block.is_damaged());
            damaged.count() as u64
        });
        DAMAGED.fetch_add(damaged, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_after_the_end_is_counted_once() {
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: the layout is not empty.
        let pointer = unsafe { PoisoningAllocator.alloc(layout) };
        // SAFETY: inside the block.
        unsafe { pointer.write_volatile(1) };
        // SAFETY: it came from there with this layout.
        unsafe { PoisoningAllocator.dealloc(pointer, layout) };
        assert_eq!(damaged_blocks(), 0);
        // SAFETY: the quarantine keeps the block, of which nobody else knows: it is still there.
        assert_eq!(unsafe { pointer.read_volatile() }, POISON);
        // SAFETY: as above.
        unsafe { pointer.wrapping_add(40).write_volatile(2) };
        assert_eq!(damaged_blocks(), 1);
        assert_eq!(damaged_blocks(), 1);
    }
}
