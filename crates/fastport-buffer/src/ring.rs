//! Byte rings with the operations of the origin's buffer interface, for code that carries over from
//! it.
//!
//! | origin | here |
//! |---|---|
//! | `AllocateWrite` | [`RingBuffer::allocate_write`] |
//! | `CommitWrite` | [`RingBuffer::commit_write`] |
//! | `GetReadBuffers` | [`RingBuffer::read_buffers`] |
//! | `Consume`, `Peek`, `Pop` | the methods of the same names |
//!
//! Unlike in the origin, reserving publishes nothing: a reader sees bytes only after their commit,
//! and a reservation that is never committed leaves no trace. A ring has one user at a time, as
//! `&mut` says; whoever shares one puts a lock around it.
//!
//! [`CircularBuffer`] has one piece of memory and wraps. [`BlockChain`] has as many blocks as it
//! needs and never wraps, so that a reservation is always contiguous.

mod block_chain;
mod circular;

pub use block_chain::BlockChain;
pub use circular::CircularBuffer;

/// A queue of bytes that is written and read in place.
pub trait RingBuffer {
    /// Room for exactly `bytes` bytes after those that are committed, or `None` when there is less.
    ///
    /// The contents are unspecified. What is written there counts after
    /// [`RingBuffer::commit_write`]; until then it can not be read, and the next reservation gets
    /// the same room again.
    fn allocate_write(&mut self, bytes: usize) -> Option<WriteSpans<'_>>;

    /// Publishes the first `bytes` bytes of the last reservation and gives up the rest of it.
    ///
    /// # Panics
    /// When fewer are reserved.
    fn commit_write(&mut self, bytes: usize);

    /// The oldest committed bytes in up to two pieces, for a vectored send. The second follows the
    /// first; if the first is empty, so is the ring.
    ///
    /// Guaranteed to be all of them by [`CircularBuffer`] alone. A [`BlockChain`] shows its first
    /// two blocks, and the rest after a consume.
    fn read_buffers(&self) -> (&[u8], &[u8]);

    /// Drops the oldest `bytes` bytes, once the kernel says that they are sent.
    ///
    /// # Panics
    /// When fewer are committed.
    fn consume(&mut self, bytes: usize);

    /// Copies the oldest bytes to fill `out` and leaves them. False, with `out` as it was, when
    /// fewer are committed.
    #[must_use]
    fn peek(&self, out: &mut [u8]) -> bool;

    /// As [`RingBuffer::peek`], and drops what was copied.
    #[must_use]
    fn pop(&mut self, out: &mut [u8]) -> bool {
        let there = self.peek(out);
        if there {
            self.consume(out.len());
        }
        there
    }

    /// Committed bytes.
    #[must_use]
    fn len(&self) -> usize;

    /// Whether nothing is committed.
    #[must_use]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest reservation that is possible now, in bytes.
    #[must_use]
    fn free(&self) -> usize;
}

/// Reserved memory in up to two pieces; the second is empty unless the ring wraps.
#[derive(Debug, Default)]
pub struct WriteSpans<'a> {
    first: &'a mut [u8],
    second: &'a mut [u8],
}

impl<'a> WriteSpans<'a> {
    /// Bytes of both pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    /// Whether nothing was reserved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both pieces, in the order in which they will be read.
    #[must_use]
    pub fn into_parts(self) -> (&'a mut [u8], &'a mut [u8]) {
        (self.first, self.second)
    }

    /// Fills the pieces with `bytes`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert!(
            bytes.len() == self.len(),
            "copy of {} bytes to {} reserved",
            bytes.len(),
            self.len()
        );
        let (first, second) = bytes.split_at(self.first.len());
        self.first.copy_from_slice(first);
        self.second.copy_from_slice(second);
    }
}
