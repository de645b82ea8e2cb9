//! The worker's ring of provided buffers: receive memory that the kernel picks from when data
//! arrives.
//!
//! It publishes buffers of a [`ChunkStore`], as many as the kernel is seen to need. A buffer is
//! free, or published, or lent; what comes back during a turn is published once at its end, with
//! one store of the tail.
//!
//! ```text
//!   free --publish--> published --completion--> lent --recycle, drop--> free
//! ```
//!
//! Invariant: `free + published + lent == count`, and only a published buffer is written by the
//! kernel.

use super::ops::BUFFER_GROUP;
use super::ring::Ring;
use fastport_buffer::{Chunk, ChunkStore};
use io_uring::types::BufRingEntry;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Most entries that the kernel takes in one ring.
const ENTRIES_MAX: u16 = 32_768;

/// So many are published at least, if there are so many: fewer would not be warmer.
const PUBLISHED_MIN: usize = 48;
/// After so many publications it is seen how many are needed.
const LOOKED_AT: u32 = 256;

/// The receive buffers of one worker and the ring by which the kernel gets them.
pub(super) struct ProvidedBuffers {
    store: ChunkStore,
    entries: Entries,
    tail: u16,
    published: usize,
    /// As many as were published when that was last done.
    left_out: usize,
    window: Window,
}

impl ProvidedBuffers {
    /// Makes `count` buffers, between 2 and 32,768, of `bytes` bytes each. Nothing is published.
    pub(super) fn new(count: u16, bytes: usize) -> io::Result<Self> {
        let count = count.clamp(2, ENTRIES_MAX);
        Ok(Self {
            store: ChunkStore::new(count, bytes),
            entries: Entries::map(count.next_power_of_two())?,
            tail: 0,
            published: 0,
            left_out: 0,
            window: Window::new(usize::from(count)),
        })
    }

    /// Makes the buffers known to `ring`.
    ///
    /// # Safety
    /// `ring` is dropped before `self`, or `self` is leaked.
    pub(super) unsafe fn register(&self, ring: &Ring) -> io::Result<()> {
        let address = self.entries.start.as_ptr() as u64;
        // SAFETY: the entries are mapped until `self` goes, which the caller makes later than the
        // ring.
        unsafe { ring.register_buffers(address, self.entries.count, BUFFER_GROUP) }
    }

    /// Publishes free buffers, those that other threads dropped included, as many as the kernel is
    /// seen to need.
    pub(super) fn publish(&mut self) {
        if self.store.has_returned() {
            self.store.collect();
        }
        self.window
            .note(self.left_out - self.published, self.published);
        let free = self.store.count() - self.store.lent() - self.published;
        let missing = self.window.size.saturating_sub(self.published).min(free);
        if missing == 0 {
            self.left_out = self.published;
            return;
        }
        let bytes = u32::try_from(self.store.bytes()).unwrap_or(u32::MAX);
        for _ in 0..missing {
            let Some(id) = self.store.acquire() else {
                break;
            };
            let address = self.store.address(id);
            self.entries.write(self.tail, address, bytes, id);
            self.tail = self.tail.wrapping_add(1);
            self.published += 1;
        }
        self.left_out = self.published;
        self.entries.set_tail(self.tail);
    }

    /// Buffers that are published, as far as the completions seen so far tell.
    pub(super) const fn published(&self) -> usize {
        self.published
    }

    /// The kernel filled the first `bytes` bytes of a published buffer.
    ///
    /// # Panics
    /// When the buffer is not published.
    #[inline]
    pub(super) fn lend(&mut self, id: u16, bytes: usize) -> Chunk {
        self.published -= 1;
        self.store.lend(id, bytes)
    }

    /// The kernel took a published buffer and did not use it.
    ///
    /// # Panics
    /// When the buffer is not published.
    pub(super) fn release(&mut self, id: u16) {
        self.published -= 1;
        self.store.release(id);
    }

    /// Gives a lent buffer back.
    #[inline]
    pub(super) fn recycle(&mut self, chunk: Chunk) {
        self.store.recycle(chunk);
    }

    /// Whether holders should copy.
    pub(super) fn is_scarce(&self) -> bool {
        self.store.is_scarce()
    }
}

/// How many buffers are published.
///
/// The kernel takes them in turn, the one that was published first, so all that are published lie
/// between two uses of one: of 256 buffers each has left the nearer caches when it is used again.
/// Those that are not published wait in the store, which gives the warmest first.
struct Window {
    size: usize,
    all: usize,
    /// Most that were used between two publications, of those that are looked at.
    most_used: usize,
    looked_at: u32,
}

impl Window {
    fn new(all: usize) -> Self {
        Self {
            size: all,
            all,
            most_used: 0,
            looked_at: 0,
        }
    }

    /// The kernel used so many since the last publication, and so many are left.
    #[inline]
    fn note(&mut self, used: usize, left: usize) {
        if used == 0 {
            return;
        }
        self.most_used = self.most_used.max(used);
        self.looked_at += 1;
        if left == 0 {
            // It may have wanted more, and ended receives for want of them.
            *self = Self::new(self.all);
        } else if self.looked_at == LOOKED_AT {
            let wanted = self.most_used + self.most_used / 2;
            self.size = wanted.clamp(PUBLISHED_MIN.min(self.all), self.all);
            (self.most_used, self.looked_at) = (0, 0);
        }
    }
}

/// The memory that is shared with the kernel: entries that we write and it reads, and the tail,
/// which lies in the unused part of the first entry.
struct Entries {
    start: NonNull<BufRingEntry>,
    /// A power of two.
    count: u16,
}

impl Entries {
    /// Maps zeroed, page-aligned memory for `count` entries, a power of two.
    fn map(count: u16) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping touches no memory that exists. DONTFORK is not needed: it
        // holds addresses, no data.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::bytes(count),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast())
            .ok_or_else(|| io::Error::other("memory was mapped at address 0"))?;
        Ok(Self { start, count })
    }

    fn bytes(count: u16) -> usize {
        usize::from(count) * size_of::<BufRingEntry>()
    }

    /// Writes the entry at `position`, which the kernel does not look at before the tail passes it.
    #[inline]
    fn write(&mut self, position: u16, buffer: NonNull<u8>, bytes: u32, id: u16) {
        let index = usize::from(position & (self.count - 1));
        // SAFETY: the index is below the number of entries that are mapped.
        let entry = unsafe { self.start.add(index) };
        let mut entry = entry;
        // SAFETY: the entry is mapped, zeroed or written before, and the kernel only reads it;
        // `self` is borrowed mutably, so no other reference to it exists. The setters leave the
        // tail alone.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(buffer.as_ptr() as u64);
        entry.set_len(bytes);
        entry.set_bid(id);
    }

    /// Publishes everything before `tail`.
    #[inline]
    fn set_tail(&mut self, tail: u16) {
        // SAFETY: `start` is the address of the first entry, which is initialised.
        let place = unsafe { BufRingEntry::tail(self.start.as_ptr()) };
        // SAFETY: the tail is mapped, aligned to 2, and accessed atomically from here on by both
        // sides.
        let shared = unsafe { AtomicU16::from_ptr(place.cast_mut()) };
        // Release: the kernel that sees the tail sees the entries (io_uring_buf_ring_advance(3)).
        shared.store(tail, Ordering::Release);
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let bytes = Self::bytes(self.count);
        // SAFETY: mapped in `map` with this size; the kernel reads it no more, since the ring that
        // it was registered with was dropped first, as `ProvidedBuffers::register` demands.
        let outcome = unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
        debug_assert_eq!(outcome, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_free_buffer_is_published_once() {
        let mut buffers = ProvidedBuffers::new(3, 64).unwrap();
        buffers.publish();
        buffers.publish();
        assert_eq!((buffers.published(), buffers.tail), (3, 3));
        let chunk = buffers.lend(0, 10);
        buffers.release(1);
        assert_eq!(buffers.published(), 1);
        buffers.publish();
        assert_eq!((buffers.published(), buffers.tail), (2, 4));
        std::thread::spawn(move || drop(chunk)).join().unwrap();
        buffers.publish();
        assert_eq!((buffers.published(), buffers.tail), (3, 5));
        buffers.store.check_invariants();
    }

    /// Turns in which so many of what is published are used, as often as it takes to be seen.
    fn use_often(buffers: &mut ProvidedBuffers, each: usize) {
        for _ in 0..2 * LOOKED_AT {
            let first = buffers.tail.wrapping_sub(buffers.published as u16);
            for position in first..first + each as u16 {
                let index = usize::from(position & (buffers.entries.count - 1));
                // SAFETY: the index is below the number of entries that are mapped.
                let entry = unsafe { buffers.entries.start.add(index) };
                // SAFETY: the entry is mapped and was written by `publish`; no ring reads it.
                let id = unsafe { entry.as_ref() }.bid();
                let chunk = buffers.lend(id, 10);
                buffers.recycle(chunk);
            }
            buffers.publish();
        }
    }

    #[test]
    fn no_more_are_published_than_are_used() {
        let mut buffers = ProvidedBuffers::new(256, 64).unwrap();
        buffers.publish();
        assert_eq!(buffers.published(), 256);
        use_often(&mut buffers, 40);
        assert_eq!(buffers.published(), 60);
        use_often(&mut buffers, 3);
        assert_eq!(buffers.published(), PUBLISHED_MIN);
        // All that are left are used: it may have wanted more.
        use_often(&mut buffers, PUBLISHED_MIN);
        assert!(buffers.published() > PUBLISHED_MIN);
        buffers.store.check_invariants();
    }

    #[test]
    fn one_turn_that_uses_all_has_all_published() {
        let mut window = Window::new(256);
        for _ in 0..LOOKED_AT {
            window.note(1, 255);
        }
        assert_eq!(window.size, PUBLISHED_MIN);
        window.note(PUBLISHED_MIN, 0);
        assert_eq!(window.size, 256);
        // A turn in which nothing is received says nothing.
        for _ in 0..LOOKED_AT {
            window.note(0, 256);
        }
        assert_eq!(window.size, 256);
        let few = &mut Window::new(3);
        for _ in 0..LOOKED_AT {
            few.note(1, 2);
        }
        assert_eq!(few.size, 3);
    }

    #[test]
    fn the_tail_does_not_disturb_the_first_entry() {
        let mut buffers = ProvidedBuffers::new(4, 64).unwrap();
        buffers.publish();
        let first = buffers.entries.start;
        // SAFETY: mapped and written by `publish`; no ring reads it.
        let entry = unsafe { first.as_ref() };
        assert_eq!((entry.bid(), entry.len()), (0, 64));
        assert_eq!(entry.addr(), buffers.store.address(0).as_ptr() as u64);
    }
}
