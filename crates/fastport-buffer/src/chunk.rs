//! Receive memory that an engine lends to the session layer, a chunk at a time.
//!
//! A [`ChunkStore`] belongs to one worker. It cuts one allocation into equal buffers; each is free,
//! or held by the kernel, or lent. A lent buffer is read through [`Chunk`]s, which any thread may
//! hold and split; it comes home when the last of them goes. The memory itself lives as long as any
//! chunk, even when the engine is gone.
//!
//! ```text
//!             acquire                lend(len)                 recycle (owner, last reference)
//!   Free ---------------> Held ------------------> Lent ------------------------------> Free
//!     ^                     |                        |
//!     +------ release ------+                        +--- last drop, any thread --> return stack
//! ```
//!
//! Invariant: `free + held + lent == count`; a buffer that is not lent has no chunk.

mod memory;

use crate::sync::Ordering;
use memory::Memory;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// The largest buffer: 1 GiB, so that offsets fit in 32 bits.
const BYTES_MAX: usize = 1 << 30;

/// A read-only piece of received bytes. Cheap to move; [`Chunk::split`] makes another view of it.
pub struct Chunk {
    memory: Arc<Memory>,
    id: u16,
    from: u32,
    to: u32,
}

impl Chunk {
    /// The bytes. They do not move or change while the chunk exists.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        let range = self.from as usize..self.to as usize;
        // SAFETY: this chunk counts, so the buffer is lent, and the store writes held ones alone.
        // Test: `every_buffer_is_where_the_model_says`, and the models in `models.rs`.
        unsafe { self.memory.slice(self.id, range) }
    }

    /// The number of bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Another view of the bytes `range` of this one, which keeps the same buffer lent.
    ///
    /// # Panics
    /// When the range is not inside the chunk.
    #[must_use]
    pub fn split(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "range outside the chunk"
        );
        self.memory.retain(self.id);
        let (from, to) = (
            self.from + narrow(range.start),
            self.from + narrow(range.end),
        );
        Self {
            memory: self.memory.clone(),
            id: self.id,
            from,
            to,
        }
    }

    /// Drops the first `bytes` bytes from the view.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, bytes: usize) {
        assert!(
            bytes <= self.len(),
            "advance of {bytes} bytes, {} left",
            self.len()
        );
        self.from += narrow(bytes);
    }

    /// Makes the view longer by `bytes` when they follow it in the same buffer, as `next` shows.
    /// Returns false, and changes nothing, when `next` is not what follows.
    pub fn extend_over(&mut self, next: &Self) -> bool {
        let follows =
            Arc::ptr_eq(&self.memory, &next.memory) && self.id == next.id && self.to == next.from;
        if follows {
            self.to = next.to;
        }
        follows
    }

    /// Whether the `bytes` bytes of `next` which begin at `at` follow this view in the same buffer;
    /// then the view grows over them and no new reference is needed.
    #[inline]
    pub fn extend_by(&mut self, next: &Self, at: usize, bytes: usize) -> bool {
        let inside = at.checked_add(bytes).is_some_and(|end| end <= next.len());
        // Inside the chunk, so that 32 bits hold both.
        let (at, bytes) = (at as u32, bytes as u32);
        let follows = inside
            && self.to == next.from + at
            && self.id == next.id
            && Arc::ptr_eq(&self.memory, &next.memory);
        if follows {
            self.to += bytes;
        }
        follows
    }

    /// A chunk with memory of its own that holds a copy of `bytes`; allocates.
    ///
    /// # Panics
    /// When `bytes` is over 1 GiB.
    #[must_use]
    pub fn copied(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= BYTES_MAX, "copy of {} bytes", bytes.len());
        let memory = Memory::new(1, bytes.len().max(1));
        let id = 0;
        // SAFETY: the memory was just made, so no chunk of it exists and this is its only user.
        let buffer = unsafe { memory.slice_mut(id) };
        buffer[..bytes.len()].copy_from_slice(bytes);
        memory.references(id).store(1, Ordering::Relaxed);
        Self {
            memory: Arc::new(memory),
            id,
            from: 0,
            to: narrow(bytes.len()),
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // AcqRel: all reads of the buffer, by whatever thread, happen before the owner reuses it.
        let last = self
            .memory
            .references(self.id)
            .fetch_sub(1, Ordering::AcqRel)
            == 1;
        if last {
            self.memory.returned.push(self.id);
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("id", &self.id)
            .field("bytes", &self.len())
            .finish()
    }
}

/// The state of one buffer as its owner sees it.
enum State {
    /// In nobody's hands. A chunk made earlier is kept, so that lending costs no reference count.
    Free(Option<Arc<Memory>>),
    /// Published to the kernel, or being read into.
    Held(Option<Arc<Memory>>),
    /// Out with at least one chunk.
    Lent,
}

/// The receive buffers of one worker.
pub struct ChunkStore {
    memory: Arc<Memory>,
    states: Box<[State]>,
    /// Free ids, newest last: what was used last is warm and goes out first.
    free: Vec<u16>,
    lent: usize,
}

impl ChunkStore {
    /// Makes `count` buffers of `bytes` bytes each and touches every page of them once.
    ///
    /// # Panics
    /// When `count` or `bytes` is 0, or `bytes` is over 1 GiB.
    #[must_use]
    pub fn new(count: u16, bytes: usize) -> Self {
        assert!(
            count > 0 && bytes > 0 && bytes <= BYTES_MAX,
            "chunk store of {count} x {bytes}"
        );
        Self {
            memory: Arc::new(Memory::new(count, bytes)),
            states: (0..count).map(|_| State::Free(None)).collect(),
            free: (0..count).rev().collect(),
            lent: 0,
        }
    }

    /// Buffers in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.states.len()
    }

    /// The size of a buffer in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Buffers that are out with a chunk.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Whether so many buffers are out that a holder should keep a copy instead: more than half.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.lent * 2 > self.states.len()
    }

    /// Takes a free buffer for the kernel or for a read; `None` when all are held or lent.
    pub fn acquire(&mut self) -> Option<u16> {
        if self.free.is_empty() {
            self.collect();
        }
        let id = self.free.pop()?;
        let state = &mut self.states[usize::from(id)];
        if let State::Free(spare) = state {
            *state = State::Held(spare.take());
        }
        Some(id)
    }

    /// Puts an acquired buffer back unused.
    ///
    /// # Panics
    /// When the buffer was not acquired.
    pub fn release(&mut self, id: u16) {
        let state = &mut self.states[usize::from(id)];
        let State::Held(spare) = state else {
            panic!("buffer {id} released, but not held")
        };
        *state = State::Free(spare.take());
        self.free.push(id);
    }

    /// The address of an acquired buffer, for the kernel to write [`ChunkStore::bytes`] bytes to.
    /// It is valid until the store and all its chunks are gone.
    ///
    /// # Panics
    /// When the buffer was not acquired.
    #[must_use]
    pub fn address(&mut self, id: u16) -> NonNull<u8> {
        assert!(
            matches!(self.states[usize::from(id)], State::Held(_)),
            "buffer {id} is not held"
        );
        self.memory.start(id)
    }

    /// An acquired buffer, to read into.
    ///
    /// # Panics
    /// When the buffer was not acquired.
    pub fn buffer_mut(&mut self, id: u16) -> &mut [u8] {
        assert!(
            matches!(self.states[usize::from(id)], State::Held(_)),
            "buffer {id} is not held"
        );
        // SAFETY: a held buffer has no chunk, only this store hands it out, and the store is
        // borrowed.
        unsafe { self.memory.slice_mut(id) }
    }

    /// Lends the first `bytes` bytes of an acquired buffer.
    ///
    /// # Panics
    /// When the buffer was not acquired, or is smaller.
    pub fn lend(&mut self, id: u16, bytes: usize) -> Chunk {
        assert!(
            bytes <= self.memory.bytes(),
            "lend of {bytes} bytes of {}",
            self.memory.bytes()
        );
        let state = &mut self.states[usize::from(id)];
        let State::Held(spare) = state else {
            panic!("buffer {id} lent, but not held")
        };
        let memory = spare.take().unwrap_or_else(|| self.memory.clone());
        *state = State::Lent;
        self.lent += 1;
        // Relaxed: nobody else has the buffer; the chunk's own hand-over publishes it.
        memory.references(id).store(1, Ordering::Relaxed);
        Chunk {
            memory,
            id,
            from: 0,
            to: narrow(bytes),
        }
    }

    /// Whether a chunk views a buffer of this store.
    #[must_use]
    #[inline]
    pub fn owns(&self, chunk: &Chunk) -> bool {
        Arc::ptr_eq(&chunk.memory, &self.memory)
    }

    /// Gives a chunk back on the owner's thread: no atomic read-modify-write when it is the last
    /// view. A chunk of another store, or a copy, is dropped.
    pub fn recycle(&mut self, chunk: Chunk) {
        let ours = self.owns(&chunk);
        // Acquire: pairs with the release of other views that were dropped elsewhere.
        let last = chunk.memory.references(chunk.id).load(Ordering::Acquire) == 1;
        if ours && last {
            let id = chunk.id;
            self.memory.references(id).store(0, Ordering::Relaxed);
            self.come_home(id, Some(into_memory(chunk)));
        }
    }

    /// Collects the buffers whose last chunk was dropped, on this thread or another.
    pub fn collect(&mut self) {
        let memory = self.memory.clone();
        memory.returned.take(|id| self.come_home(id, None));
    }

    /// Whether buffers wait to be collected.
    #[must_use]
    pub fn has_returned(&self) -> bool {
        !self.memory.returned.is_empty()
    }

    fn come_home(&mut self, id: u16, spare: Option<Arc<Memory>>) {
        let state = &mut self.states[usize::from(id)];
        debug_assert!(matches!(state, State::Lent), "buffer {id} came home twice");
        *state = State::Free(spare);
        self.lent -= 1;
        self.free.push(id);
    }

    /// Checks the invariant of the module's page.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn check_invariants(&self) {
        let count = |is: fn(&State) -> bool| self.states.iter().filter(|s| is(s)).count();
        assert_eq!(count(|s| matches!(s, State::Free(_))), self.free.len());
        assert_eq!(count(|s| matches!(s, State::Lent)), self.lent);
    }
}

impl fmt::Debug for ChunkStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStore")
            .field("count", &self.count())
            .field("bytes", &self.bytes())
            .field("lent", &self.lent)
            .finish_non_exhaustive()
    }
}

/// Takes the reference to the memory out of a chunk without running its drop.
fn into_memory(chunk: Chunk) -> Arc<Memory> {
    let chunk = std::mem::ManuallyDrop::new(chunk);
    // SAFETY: the chunk is never used or dropped again, so its reference is moved, not copied.
    unsafe { std::ptr::read(&raw const chunk.memory) }
}

/// An offset in a chunk. No buffer is over `BYTES_MAX`, so nothing is cut.
#[inline]
fn narrow(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod models;
