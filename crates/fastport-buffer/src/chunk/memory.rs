//! One allocation of equal buffers, with a reference count each: what chunks and their store share.
//!
//! Whether a buffer may be read or written is not known here. Those who know are the store, which
//! writes a buffer only while it is held, and the chunks, which read one only while they count;
//! each says so at its `unsafe` block. The counts and the return stack are atomics and need no such
//! proof.

use crate::return_stack::ReturnStack;
use crate::sync::{AtomicU32, Ordering};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;

/// Buffers start on cache lines, and one line is skipped between them, so that the starts of
/// buffers of a power-of-two size do not all fall on the same cache sets.
const LINE: usize = 64;
/// The whole allocation starts on a page, so that the kernel pins no neighbour's memory.
const PAGE: usize = 4096;
/// More chunks of one buffer than this can only be forgotten ones.
const REFERENCES_MAX: u32 = u32::MAX / 2;

/// Equal buffers, all initialised. See the module's page.
pub(super) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    stride: usize,
    bytes: usize,
    references: Box<[AtomicU32]>,
    /// Buffers whose last chunk is gone, for the store to collect.
    pub(super) returned: ReturnStack,
}

// SAFETY: the bytes are reached only through `slice` and `slice_mut`, whose callers prove that
// nobody writes, or that nobody else is there, on any thread; the rest is atomics and plain values
// that never change. Test: the models in `models.rs`.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) fn new(count: u16, bytes: usize) -> Self {
        let stride = bytes.next_multiple_of(LINE) + if count > 1 { LINE } else { 0 };
        let size = stride * usize::from(count);
        let align = if count > 1 { PAGE } else { LINE };
        let layout = Layout::from_size_align(size, align).expect("at most 65,535 GiB");
        // SAFETY: the size is not zero, since neither count nor bytes is.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        let memory = Self {
            start,
            layout,
            stride,
            bytes,
            references: (0..count).map(|_| AtomicU32::new(0)).collect(),
            returned: ReturnStack::new(count),
        };
        memory.touch_pages();
        memory
    }

    /// Writes one byte in each page now, since a page fault in the kernel's receive path is dear.
    fn touch_pages(&self) {
        for offset in (0..self.layout.size()).step_by(PAGE) {
            // SAFETY: the offset is below the size of the allocation.
            let byte = unsafe { self.start.add(offset) };
            // SAFETY: the byte is inside the allocation, which nobody else has yet. Volatile, so
            // that the write to memory that is known to be zero is not left out.
            unsafe { byte.write_volatile(0) };
        }
    }

    /// The first byte of a buffer.
    pub(super) fn start(&self, id: u16) -> NonNull<u8> {
        assert!(
            usize::from(id) < self.references.len(),
            "buffer {id} does not exist"
        );
        // SAFETY: `id * stride` is inside the allocation, as the line above checks.
        unsafe { self.start.add(usize::from(id) * self.stride) }
    }

    /// The size of a buffer in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of chunks of a buffer.
    #[inline]
    pub(super) fn references(&self, id: u16) -> &AtomicU32 {
        &self.references[usize::from(id)]
    }

    /// Counts one more chunk of a buffer, for a caller that holds one.
    #[inline]
    pub(super) fn retain(&self, id: u16) {
        // Relaxed: the caller holds a reference, so the count can not reach zero meanwhile.
        let before = self.references(id).fetch_add(1, Ordering::Relaxed);
        // Chunks that are forgotten, not dropped, could count up to the wrap, and the next recycle
        // would give away a buffer that is being read. `Arc` guards its count in the same way.
        if before > REFERENCES_MAX {
            std::process::abort();
        }
    }

    /// A part of a buffer, to read.
    ///
    /// # Safety
    /// Nobody writes the buffer while the result is used.
    #[inline]
    pub(super) unsafe fn slice(&self, id: u16, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.bytes,
            "range outside the buffer"
        );
        // SAFETY: the range is inside buffer `id`, as the assertion and `start` check.
        let from = unsafe { self.start(id).add(range.start) };
        // SAFETY: the bytes were zeroed at allocation, so they are initialised; the caller proves
        // that they do not change.
        unsafe { std::slice::from_raw_parts(from.as_ptr(), range.len()) }
    }

    /// A whole buffer, to write.
    ///
    /// # Safety
    /// No chunk of the buffer exists, and no other slice of it, while the result is used.
    #[allow(
        clippy::mut_from_ref,
        reason = "the caller proves that the buffer is its own"
    )]
    pub(super) unsafe fn slice_mut(&self, id: u16) -> &mut [u8] {
        let start = self.start(id);
        // SAFETY: the bytes are initialised and inside the allocation; the caller has them alone.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.bytes) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the last user is gone, since all hold an
        // `Arc`.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
