//! The receive buffers and the ring by which the kernel gets them. They live as long as the
//! process.
//!
//! A buffer is the kernel's from [`Buffers::give`] until a completion names it, and the server's
//! from then until the next `give`.

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// The group of the only buffer ring.
pub(super) const GROUP: u16 = 0;

const COUNT: u16 = 256;
const BYTES: usize = 32 * 1024;

pub(super) struct Buffers {
    /// The first of `COUNT` entries, page-aligned.
    entries: *mut BufRingEntry,
    /// The first byte of `COUNT` buffers.
    memory: *mut u8,
    /// Entries written so far, modulo 2^16; the kernel sees it after `publish`.
    tail: u16,
    /// Buffers that are the server's.
    held: u16,
}

/// 256 entries of 16 bytes.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

impl Buffers {
    /// Makes the buffers and gives all of them to the kernel.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        let page = Box::leak(Box::new(Page([0; 4096])));
        let memory = vec![0; usize::from(COUNT) * BYTES].leak();
        let mut buffers = Self {
            entries: page.0.as_mut_ptr().cast(),
            memory: memory.as_mut_ptr(),
            tail: 0,
            held: COUNT,
        };
        // SAFETY: the entries are leaked, so they outlive the ring; the page holds COUNT of them.
        unsafe { submitter.register_buf_ring_with_flags(buffers.entries as u64, COUNT, GROUP, 0) }?;
        for id in 0..COUNT {
            buffers.give(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Whether the kernel has at least one buffer.
    pub(super) const fn any_left(&self) -> bool {
        self.held < COUNT
    }

    /// A completion named the buffer: it is the server's.
    pub(super) const fn take(&mut self) {
        self.held += 1;
    }

    /// Gives a buffer back to the kernel, with the next `publish`.
    pub(super) fn give(&mut self, id: u16) {
        let at = usize::from(self.tail & (COUNT - 1));
        // SAFETY: `at` is below COUNT, the number of entries.
        let entry = unsafe { self.entries.add(at) };
        // SAFETY: the kernel reads entries below the published tail only and has consumed this one,
        // since no more than COUNT buffers exist; nothing else refers to it.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.start(id) as u64);
        entry.set_len(BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.held -= 1;
    }

    /// Lets the kernel see what was given.
    pub(super) fn publish(&self) {
        // SAFETY: it is the first entry of the ring, zeroed when it was made.
        let tail = unsafe { BufRingEntry::tail(self.entries) };
        // SAFETY: the tail is an aligned part of the first entry that no other field overlaps.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The first `length` bytes of a buffer.
    ///
    /// # Safety
    /// The buffer is the server's until the slice is gone, and `length` is at most what was
    /// received.
    pub(super) unsafe fn bytes(&self, id: u16, length: usize) -> &[u8] {
        assert!(
            length <= BYTES,
            "the kernel received more than the buffer holds"
        );
        // SAFETY: the buffer has BYTES initialised bytes, and the caller says that no one writes.
        unsafe { std::slice::from_raw_parts(self.start(id), length) }
    }

    fn start(&self, id: u16) -> *mut u8 {
        assert!(id < COUNT, "the kernel names a buffer that does not exist");
        // SAFETY: COUNT buffers of BYTES bytes follow each other.
        unsafe { self.memory.add(usize::from(id) * BYTES) }
    }
}
