//! The two halves of a session's send queue.
//!
//! The local half belongs to the worker: appending to it takes no lock and no atomic
//! read-modify-write. The remote half is what other threads append to, under its session's lock;
//! the owner splices it behind the local half before each own append, so what was sent first goes
//! out first. A byte becomes visible to the sender only with its whole frame: reserve, write,
//! commit.
//!
//! ```text
//!   local:  [in flight] [sealed piece] [sealed piece] [open piece, may grow]
//!   remote:                                           [sealed] [open]  --splice--> sealed
//! ```
//!
//! Invariants: `bytes == in_flight + sum(sealed) + open`; each piece holds whole frames, and begins
//! with one. So `dropping` finds the messages of a queue without anybody having counted them.

mod dropping;
mod keys;

use fastport_buffer::{Block, BlockPool, Chunk, Piece, SendBatch};
use keys::Keys;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of one send: a batch is no larger, so that completions show progress of a slow peer.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Pieces of one send.
const BATCH_PIECES_MAX: usize = 256;
/// Received frames of at least so many bytes are forwarded by reference, smaller ones copied: a
/// copy of a few cache lines costs less than a piece of its own.
const FORWARD_BYTES_MIN: usize = 2048;
/// Spare send blocks that a worker keeps.
const POOL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Empty batches, and empty queues, that a worker keeps for reuse.
const SPARES_MAX: usize = 1024;

/// The send memory of one thread: a worker's, or what another thread encodes into.
pub(crate) struct SendMemory {
    blocks: BlockPool,
    batches: Vec<SendBatch>,
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    queued: Vec<Box<Queued>>,
}

thread_local! {
    static MEMORY: RefCell<SendMemory> = const {
        RefCell::new(SendMemory {
            blocks: BlockPool::new(POOL_BYTES_MAX),
            batches: Vec::new(),
            queued: Vec::new(),
        })
    };
}

/// A block with room for `bytes` from this thread's pool.
pub(crate) fn take_block(bytes: usize) -> Block {
    MEMORY.with(|memory| memory.borrow_mut().blocks.take(bytes))
}

/// Gives a block to this thread's pool.
pub(crate) fn put_block(block: Block) {
    MEMORY.with(|memory| memory.borrow_mut().blocks.put(block));
}

/// Frees what this thread keeps for reuse, so that a simulation can see whether memory is lost.
#[cfg(feature = "simulation")]
pub(crate) fn release_spares() {
    MEMORY.with(|memory| {
        *memory.borrow_mut() = SendMemory {
            blocks: BlockPool::new(POOL_BYTES_MAX),
            batches: Vec::new(),
            queued: Vec::new(),
        };
    });
}

/// An empty batch, with memory if there is one to be used again.
pub(crate) fn spare_batch() -> SendBatch {
    MEMORY
        .with(|memory| memory.borrow_mut().batches.pop())
        .unwrap_or_default()
}

fn take_queued() -> Box<Queued> {
    MEMORY
        .with(|memory| memory.borrow_mut().queued.pop())
        .unwrap_or_default()
}

/// Drops what is still queued and keeps the memory, unless there is much.
fn put_queued(mut queued: Box<Queued>) {
    queued.clear();
    MEMORY.with(|memory| {
        let spare = &mut memory.borrow_mut().queued;
        if spare.len() < SPARES_MAX && queued.sealed.capacity() <= BATCH_PIECES_MAX {
            spare.push(queued);
        }
    });
}

/// Takes the memory of a finished batch apart: blocks and the batch itself stay on this thread,
/// forwarded chunks go to `recycle`.
pub(crate) fn reclaim(mut batch: SendBatch, mut recycle: impl FnMut(Chunk)) {
    MEMORY.with(|memory| {
        let memory = &mut *memory.borrow_mut();
        batch.empty(|piece| match piece {
            Piece::Block(block) => memory.blocks.put(block),
            Piece::Forward(chunk) => recycle(chunk),
            Piece::Shared(..) => {}
        });
        let room = batch.capacity();
        if memory.batches.len() < SPARES_MAX && (1..=BATCH_PIECES_MAX).contains(&room) {
            memory.batches.push(batch);
        }
    });
}

/// What is queued, in order. One pointer, and no memory while nothing is.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Option<Box<Queued>>);

impl Pieces {
    /// Bytes that are committed.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queued| queued.bytes)
    }

    /// Reserves `bytes` contiguous bytes, lets `write` fill them and commits. When `write` panics,
    /// nothing was appended.
    #[inline]
    pub(crate) fn append(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) {
        self.queued().append(bytes, write);
    }

    /// As [`Pieces::append`], and takes `write`, if the block that is being filled has room.
    #[inline]
    pub(crate) fn append_behind(
        &mut self,
        bytes: usize,
        write: &mut Option<impl FnOnce(&mut [u8])>,
    ) -> bool {
        let Some(queued) = &mut self.0 else {
            return false;
        };
        let Some(Piece::Block(block)) = &mut queued.open else {
            return false;
        };
        let Some(memory) = block.reserve(bytes) else {
            return false;
        };
        let Some(write) = write.take() else {
            return false;
        };
        write(memory);
        block.commit(bytes);
        queued.bytes += bytes;
        true
    }

    /// Appends a piece by reference.
    pub(crate) fn push(&mut self, piece: Piece) {
        self.queued().push(piece);
    }

    /// Appends `range` of a received chunk by reference, if that is worth it and `may_lend`: it
    /// continues the last piece, or is large, or begins what may become a large piece: the frames
    /// of a pipelining peer follow each other in one chunk, and an echo of all of them is one
    /// piece. False: copy it.
    pub(crate) fn push_forward(
        &mut self,
        from: &Chunk,
        range: Range<usize>,
        may_lend: bool,
    ) -> bool {
        let queued = self.queued();
        queued.extend_forward(from, range.start, range.len())
            || queued.begin_forward(from, range, may_lend)
    }

    /// The first half of [`Pieces::push_forward`]: only if it continues the last piece.
    #[inline]
    pub(crate) fn extend_forward(&mut self, from: &Chunk, at: usize, bytes: usize) -> bool {
        let queued = self.0.as_mut();
        queued.is_some_and(|queued| queued.extend_forward(from, at, bytes))
    }

    /// Moves everything of `other` behind what is here.
    /// Returns how many messages with a key took the place of an older one with the same key.
    pub(crate) fn splice(&mut self, other: &mut Self) -> u64 {
        let Some(mut behind) = other.0.take() else {
            return 0;
        };
        match &mut self.0 {
            None => {
                self.0 = Some(behind);
                0
            }
            Some(queued) => {
                let replaced = queued.splice(&mut behind);
                put_queued(behind);
                replaced
            }
        }
    }

    /// Takes the next batch to send, in order and within the limits; empty when nothing is queued.
    pub(crate) fn take_batch(&mut self) -> SendBatch {
        let Some(queued) = &mut self.0 else {
            return SendBatch::default();
        };
        let batch = queued.take_batch();
        if queued.sealed.is_empty() {
            // An idle session holds no send memory.
            self.clear();
        }
        batch
    }

    /// Drops everything that is queued.
    pub(crate) fn clear(&mut self) {
        if let Some(queued) = self.0.take() {
            put_queued(queued);
        }
    }

    #[inline]
    fn queued(&mut self) -> &mut Queued {
        self.0.get_or_insert_with(take_queued)
    }
}

/// Pieces in order, and behind them the one that may still grow.
#[derive(Debug, Default)]
struct Queued {
    sealed: VecDeque<Piece>,
    /// A block that is being filled, or the frames of one chunk that are forwarded together.
    open: Option<Piece>,
    bytes: usize,
    /// Made when a message with a key is queued.
    keys: Option<Box<Keys>>,
}

impl Queued {
    fn append(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) {
        if !self.has_room(bytes) {
            let size = self.next_block_bytes(bytes);
            self.seal();
            self.open = Some(Piece::Block(take_block(size)));
        }
        let Some(Piece::Block(block)) = &mut self.open else {
            return;
        };
        let Some(memory) = block.reserve(bytes) else {
            return;
        };
        write(memory);
        block.commit(bytes);
        self.bytes += bytes;
    }

    /// Whether a block is being filled that takes so many more bytes.
    fn has_room(&self, bytes: usize) -> bool {
        matches!(&self.open, Some(Piece::Block(block)) if block.room() >= bytes)
    }

    fn push(&mut self, piece: Piece) {
        self.seal();
        self.bytes += piece.len();
        match piece {
            Piece::Forward(_) => self.open = Some(piece),
            Piece::Block(_) | Piece::Shared(..) => self.sealed.push_back(piece),
        }
    }

    /// Whether the last piece is a forwarded one that the `bytes` bytes of `from` which begin at
    /// `at` continue; then they do.
    #[inline]
    fn extend_forward(&mut self, from: &Chunk, at: usize, bytes: usize) -> bool {
        let Some(Piece::Forward(last)) = &mut self.open else {
            return false;
        };
        let extended = last.extend_by(from, at, bytes);
        if extended {
            self.bytes += bytes;
        }
        extended
    }

    /// A forwarded piece of its own, if that is worth it.
    fn begin_forward(&mut self, from: &Chunk, range: Range<usize>, may_lend: bool) -> bool {
        let bytes = range.len();
        // With something between that was not forwarded small pieces would not grow.
        let begins = !matches!(self.open, Some(Piece::Forward(_)));
        let worth_it = bytes >= FORWARD_BYTES_MIN || begins && from.len() >= FORWARD_BYTES_MIN;
        if !worth_it || !may_lend {
            return false;
        }
        self.push(Piece::Forward(from.split(range)));
        true
    }

    fn splice(&mut self, other: &mut Self) -> u64 {
        self.seal();
        other.seal();
        if other.keys.is_some() {
            return self.splice_keyed(other);
        }
        self.sealed.append(&mut other.sealed);
        self.bytes += std::mem::take(&mut other.bytes);
        0
    }

    fn take_batch(&mut self) -> SendBatch {
        let mut batch = spare_batch();
        let count = if self.sealed.is_empty() {
            // Most are this: all that a turn led to is one piece.
            match self.open.take() {
                Some(piece) => batch.push(piece),
                None => return batch,
            }
            1
        } else {
            self.seal();
            self.take_sealed(&mut batch)
        };
        if let Some(keys) = &mut self.keys {
            keys.pass(count);
        }
        self.bytes -= batch.bytes();
        batch
    }

    /// Moves as many pieces as go into a batch. How many there were.
    fn take_sealed(&mut self, batch: &mut SendBatch) -> usize {
        let (mut count, mut bytes) = (0, 0);
        while let Some(piece) = self.sealed.get(count)
            && batch_fits(count, bytes, piece.len())
        {
            bytes += piece.len();
            count += 1;
        }
        for piece in self.sealed.drain(..count) {
            batch.push(piece);
        }
        count
    }

    /// Drops everything that is queued; the list keeps its memory.
    fn clear(&mut self) {
        self.sealed.clear();
        self.keys = None;
        if let Some(Piece::Block(block)) = self.open.take() {
            put_block(block);
        }
        self.bytes = 0;
    }

    /// The last piece grows no more.
    fn seal(&mut self) {
        match self.open.take() {
            // Its writer panicked.
            Some(Piece::Block(block)) if block.is_empty() => put_block(block),
            Some(piece) => self.sealed.push_back(piece),
            None => {}
        }
    }

    /// Grows with use: a session that queues much gets larger blocks, so that a batch has few
    /// pieces.
    fn next_block_bytes(&self, bytes: usize) -> usize {
        let wanted = match self.bytes {
            0..8192 => 0,
            8192..65536 => 16 * 1024,
            _ => 64 * 1024,
        };
        bytes.max(wanted)
    }
}

/// Whether a piece still goes into a batch of `pieces` with `bytes`. The first always does.
fn batch_fits(pieces: usize, bytes: usize, piece_bytes: usize) -> bool {
    pieces == 0 || (pieces < BATCH_PIECES_MAX && bytes + piece_bytes <= BATCH_BYTES_MAX)
}

/// The owning worker's half.
#[derive(Debug, Default)]
pub(crate) struct LocalQueue {
    pub(crate) pieces: Pieces,
    /// Bytes that the engine holds.
    pub(crate) in_flight: usize,
    /// The session is on its worker's attention list.
    pub(crate) attention: bool,
    /// The session is in the line of those that heard a cast.
    pub(crate) in_line: bool,
    /// The queue was above the high watermark and has not fallen below the low one since.
    pub(crate) above_high: bool,
}

impl LocalQueue {
    /// Bytes queued here and in flight.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.bytes() + self.in_flight
    }

    /// Takes the next batch, which counts as in flight from here on.
    #[inline]
    pub(crate) fn take_batch(&mut self) -> SendBatch {
        let batch = self.pieces.take_batch();
        self.in_flight += batch.bytes();
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastport_buffer::ChunkStore;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn sent(pieces: &mut Pieces) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let batch = pieces.take_batch();
            if batch.is_empty() {
                return bytes;
            }
            assert!(batch.pieces().len() <= BATCH_PIECES_MAX);
            for piece in batch.pieces() {
                bytes.extend_from_slice(piece.as_slice());
            }
            reclaim(batch, drop);
        }
    }

    #[test]
    fn a_panicking_encoder_leaves_nothing() {
        let mut pieces = Pieces::default();
        pieces.append(3, |memory| memory.copy_from_slice(b"abc"));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pieces.append(3, |memory| {
                memory[0] = b'x';
                panic!("encoder");
            });
        }));
        assert!(outcome.is_err());
        pieces.append(3, |memory| memory.copy_from_slice(b"def"));
        assert_eq!(pieces.bytes(), 6);
        assert_eq!(sent(&mut pieces), b"abcdef");
    }

    #[test]
    fn frames_that_follow_each_other_in_a_chunk_are_one_piece() {
        let mut store = ChunkStore::new(2, 8192);
        let (id, small) = (store.acquire().unwrap(), store.acquire().unwrap());
        store.buffer_mut(id).fill(7);
        let (chunk, small) = (store.lend(id, 8192), store.lend(small, 2000));
        let mut pieces = Pieces::default();
        let first = pieces.push_forward(&small, 0..10, true);
        assert!(!first, "small, and nothing large can follow: copy");
        assert!(!pieces.push_forward(&chunk, 0..4096, false), "scarce: copy");
        assert!(pieces.push_forward(&chunk, 0..4096, true));
        assert!(pieces.push_forward(&chunk, 4096..4100, true));
        assert!(pieces.push_forward(&chunk, 4100..8192, false));
        let batch = pieces.take_batch();
        assert_eq!((batch.pieces().len(), batch.bytes()), (1, 8192));
    }

    #[test]
    fn small_frames_with_gaps_are_copied_after_the_first() {
        let mut store = ChunkStore::new(1, 8192);
        let id = store.acquire().unwrap();
        let chunk = store.lend(id, 8192);
        let mut pieces = Pieces::default();
        let first = pieces.push_forward(&chunk, 0..10, true);
        assert!(first, "a large piece may follow");
        assert!(pieces.push_forward(&chunk, 10..20, true));
        assert!(!pieces.push_forward(&chunk, 30..40, true), "it did not");
    }

    proptest! {
        /// Whatever is appended and spliced, and however batches are cut, the bytes come out in
        /// order.
        #[test]
        fn bytes_come_out_in_order(
            steps in prop::collection::vec((0u8..3, 1usize..70_000), 1..60),
        ) {
            let (mut local, mut remote) = (Pieces::default(), Pieces::default());
            let (mut expected, mut behind, mut out) = (Vec::new(), Vec::new(), Vec::new());
            for (index, (kind, bytes)) in steps.into_iter().enumerate() {
                let fill = index as u8;
                match kind {
                    0 => {
                        local.splice(&mut remote);
                        expected.append(&mut behind);
                        local.append(bytes, |memory| memory.fill(fill));
                        expected.extend(std::iter::repeat_n(fill, bytes));
                    }
                    1 => {
                        remote.append(bytes, |memory| memory.fill(fill));
                        behind.extend(std::iter::repeat_n(fill, bytes));
                    }
                    _ => {
                        let batch = local.take_batch();
                        for piece in batch.pieces() {
                            out.extend_from_slice(piece.as_slice());
                        }
                        reclaim(batch, drop);
                    }
                }
            }
            local.splice(&mut remote);
            expected.append(&mut behind);
            prop_assert_eq!(local.bytes() + out.len(), expected.len());
            out.append(&mut sent(&mut local));
            prop_assert!(out == expected);
            prop_assert_eq!(local.bytes(), 0);
        }
    }
}
