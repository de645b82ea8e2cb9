//! A queue of blocks that grows to a limit and never wraps.
//!
//! ```text
//!   front                                        back
//!   [ sent | committed ] [ committed |gap] ... [ committed | reserved | room ]
//! ```
//!
//! A reservation lies in the last block whole, or in a new one; the room that was too small for it
//! stays unused. Committed bytes never move, so the kernel can read them while more are written.
//!
//! Invariant: `len == sum of the blocks' committed bytes`, `len + reserved <= bytes_max`, and
//! `reserved <= room of the last block`; no block but the last is empty.

use super::{RingBuffer, WriteSpans};
use crate::{Block, BlockPool};
use std::collections::VecDeque;

/// A queue of pooled blocks. See the module's drawing.
#[derive(Debug)]
pub struct BlockChain {
    blocks: VecDeque<Block>,
    pool: BlockPool,
    len: usize,
    reserved: usize,
    bytes_max: usize,
}

impl BlockChain {
    /// Makes an empty chain for at most `bytes_max` committed bytes, with blocks from `pool`.
    /// Blocks go back to the pool as they are consumed; an empty chain keeps one at most.
    #[must_use]
    pub const fn new(bytes_max: usize, pool: BlockPool) -> Self {
        Self {
            blocks: VecDeque::new(),
            pool,
            len: 0,
            reserved: 0,
            bytes_max,
        }
    }

    /// All committed bytes, a piece per block, oldest first. No piece is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks
            .iter()
            .map(Block::as_slice)
            .filter(|piece| !piece.is_empty())
    }

    /// Checks the invariant of the module's page; every change does so in debug builds.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn check_invariants(&self) {
        assert_eq!(self.blocks.iter().map(Block::len).sum::<usize>(), self.len);
        assert!(self.len + self.reserved <= self.bytes_max);
        assert!(self.reserved <= self.blocks.back().map_or(0, Block::room));
        let last = self.blocks.len().saturating_sub(1);
        assert!(self.blocks.iter().take(last).all(|block| !block.is_empty()));
    }

    /// Makes the last block one with room for `bytes`.
    fn make_room(&mut self, bytes: usize) {
        if self.blocks.back().is_some_and(|last| last.room() >= bytes) {
            return;
        }
        // An empty last block is what an earlier reservation left; behind it, it would stay for
        // ever.
        match self.blocks.pop_back() {
            Some(small) if small.is_empty() => self.pool.put(small),
            Some(filled) => self.blocks.push_back(filled),
            None => (),
        }
        let block = self.pool.take(bytes);
        self.blocks.push_back(block);
    }

    fn changed(&self) {
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }
}

impl RingBuffer for BlockChain {
    /// The second span is always empty.
    fn allocate_write(&mut self, bytes: usize) -> Option<WriteSpans<'_>> {
        if bytes > self.free() {
            return None;
        }
        self.make_room(bytes);
        self.reserved = bytes;
        self.changed();
        let first = self.blocks.back_mut()?.reserve(bytes)?;
        Some(WriteSpans {
            first,
            second: &mut [],
        })
    }

    fn commit_write(&mut self, bytes: usize) {
        assert!(
            bytes <= self.reserved,
            "commit of {bytes} bytes, {} reserved",
            self.reserved
        );
        if let Some(last) = self.blocks.back_mut() {
            last.commit(bytes);
        }
        self.len += bytes;
        self.reserved = 0;
        self.changed();
    }

    fn read_buffers(&self) -> (&[u8], &[u8]) {
        let mut pieces = self.pieces();
        let mut next = || pieces.next().unwrap_or_default();
        (next(), next())
    }

    fn consume(&mut self, bytes: usize) {
        assert!(
            bytes <= self.len,
            "consume of {bytes} bytes, {} committed",
            self.len
        );
        self.len -= bytes;
        let mut left = bytes;
        while let Some(mut front) = self.blocks.pop_front() {
            let here = left.min(front.len());
            front.consume(here);
            left -= here;
            // The last block stays while its room is reserved: a commit is still to come.
            let awaited = self.blocks.is_empty() && self.reserved > 0;
            if front.is_empty() && !awaited {
                self.pool.put(front);
            } else {
                self.blocks.push_front(front);
                break;
            }
        }
        self.changed();
    }

    fn peek(&self, out: &mut [u8]) -> bool {
        if out.len() > self.len {
            return false;
        }
        let mut rest = out;
        for piece in self.pieces() {
            let (here, later) = rest.split_at_mut(rest.len().min(piece.len()));
            here.copy_from_slice(&piece[..here.len()]);
            rest = later;
        }
        true
    }

    fn len(&self) -> usize {
        self.len
    }

    fn free(&self) -> usize {
        self.bytes_max - self.len
    }
}
