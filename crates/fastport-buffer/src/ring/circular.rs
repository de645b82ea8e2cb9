//! A ring of fixed size in one piece of memory.
//!
//! ```text
//!   0            head                                capacity
//!   |             |== committed ==|-- reserved --|     |          len + reserved <= capacity
//!
//!   0                             head               capacity     the same, wrapped:
//!   |== committed ==|-- reserved --| |== committed ====|          one piece at the end, one at 0
//! ```
//!
//! What is kept is the oldest byte and how many follow, not two positions: positions that are equal
//! would mean both empty and full.

use super::{RingBuffer, WriteSpans};

/// A ring of any fixed capacity. See the module's drawing.
#[derive(Debug)]
pub struct CircularBuffer {
    memory: Box<[u8]>,
    /// Where the oldest committed byte is; below the capacity unless that is 0.
    head: usize,
    len: usize,
    reserved: usize,
}

impl CircularBuffer {
    /// Makes an empty ring of `capacity` bytes, which need not be a power of two.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            memory: vec![0; capacity].into_boxed_slice(),
            head: 0,
            len: 0,
            reserved: 0,
        }
    }

    /// Bytes that fit in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Checks the invariant of the module's page; every change does so in debug builds.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn check_invariants(&self) {
        assert!(self.head < self.capacity() || self.head == 0);
        assert!(self.len + self.reserved <= self.capacity());
    }

    /// The place `offset` bytes after the oldest byte.
    fn position(&self, offset: usize) -> usize {
        let to_end = self.capacity() - self.head;
        // A comparison instead of a remainder: no division, and no overflow for any capacity.
        if offset < to_end {
            self.head + offset
        } else {
            offset - to_end
        }
    }

    fn changed(&self) {
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }
}

impl RingBuffer for CircularBuffer {
    fn allocate_write(&mut self, bytes: usize) -> Option<WriteSpans<'_>> {
        if bytes > self.free() {
            return None;
        }
        self.reserved = bytes;
        self.changed();
        let from = self.position(self.len);
        let (before, after) = self.memory.split_at_mut(from);
        let at_end = bytes.min(after.len());
        Some(WriteSpans {
            first: &mut after[..at_end],
            second: &mut before[..bytes - at_end],
        })
    }

    fn commit_write(&mut self, bytes: usize) {
        assert!(
            bytes <= self.reserved,
            "commit of {bytes} bytes, {} reserved",
            self.reserved
        );
        self.len += bytes;
        self.reserved = 0;
        self.changed();
    }

    fn read_buffers(&self) -> (&[u8], &[u8]) {
        let (before, after) = self.memory.split_at(self.head);
        let at_end = self.len.min(after.len());
        (&after[..at_end], &before[..self.len - at_end])
    }

    fn consume(&mut self, bytes: usize) {
        assert!(
            bytes <= self.len,
            "consume of {bytes} bytes, {} committed",
            self.len
        );
        self.head = self.position(bytes);
        self.len -= bytes;
        self.changed();
    }

    fn peek(&self, out: &mut [u8]) -> bool {
        if out.len() > self.len {
            return false;
        }
        let (first, second) = self.read_buffers();
        let (front, back) = out.split_at_mut(out.len().min(first.len()));
        front.copy_from_slice(&first[..front.len()]);
        back.copy_from_slice(&second[..back.len()]);
        true
    }

    fn len(&self) -> usize {
        self.len
    }

    fn free(&self) -> usize {
        self.capacity() - self.len
    }
}
