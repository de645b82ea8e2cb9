//! Send memory: blocks of three sizes and the pool that keeps them warm.
//!
//! A block is written front to back and is either being filled or in flight, never both. A
//! reservation is always contiguous, so an encoder sees a plain `&mut [u8]` and a wrap does not
//! exist. Reserving is not committing: bytes count only once their frame is whole.
//!
//! ```text
//!   0 .. start .......... end ............... capacity
//!        sent | committed     | free, perhaps reserved       start <= end <= capacity
//! ```

use std::sync::Arc;

/// One frame, encoded once and shared by reference among many send queues.
pub type SharedFrame = Arc<[u8]>;

/// The sizes of blocks in bytes, smallest first. The largest holds the largest frame of the wire.
pub const BLOCK_SIZES: [usize; 3] = [4 * 1024, 16 * 1024, 64 * 1024];

/// A contiguous piece of send memory.
#[derive(Debug)]
pub struct Block {
    memory: Box<[u8]>,
    /// 32 bits each, since a session holds a block's place also while it has none.
    start: u32,
    end: u32,
}

impl Block {
    /// Makes a block of the smallest size class that holds `bytes`, or of just `bytes` when none
    /// does.
    ///
    /// # Panics
    /// When `bytes` is 4 GiB or more.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        assert!(
            u32::try_from(bytes).is_ok(),
            "a block of {bytes} bytes is too large"
        );
        let capacity = BLOCK_SIZES
            .into_iter()
            .find(|size| *size >= bytes)
            .unwrap_or(bytes);
        Self {
            memory: vec![0; capacity].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// The size of the block in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Committed bytes that are not consumed.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether nothing is committed, or all of it is consumed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that can still be reserved.
    #[must_use]
    pub fn room(&self) -> usize {
        self.memory.len() - self.end as usize
    }

    /// The committed bytes that are not consumed.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.start as usize..self.end as usize]
    }

    /// The next `bytes` bytes to write, or `None` when there is no room. Nothing is visible to a
    /// reader until [`Block::commit`].
    pub fn reserve(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let end = self.end as usize;
        self.memory.get_mut(end..end.checked_add(bytes)?)
    }

    /// Publishes the first `bytes` bytes that were reserved.
    ///
    /// # Panics
    /// When `bytes` is more than the room, since that was never reserved.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "no more than the room, which is below 4 GiB"
    )]
    pub fn commit(&mut self, bytes: usize) {
        assert!(
            bytes <= self.room(),
            "commit of {bytes} bytes, room for {}",
            self.room()
        );
        self.end += bytes as u32;
    }

    /// Drops the first `bytes` committed bytes.
    ///
    /// # Panics
    /// When fewer are committed.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "no more than is committed, which is below 4 GiB"
    )]
    pub fn consume(&mut self, bytes: usize) {
        assert!(
            bytes <= self.len(),
            "consume of {bytes} bytes, {} committed",
            self.len()
        );
        self.start += bytes as u32;
    }

    /// Forgets all bytes. The memory stays initialised.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// Spare blocks of one worker, by size. Not shared; bounded in bytes, the rest goes to the
/// allocator.
#[derive(Debug)]
pub struct BlockPool {
    spare: [Vec<Block>; BLOCK_SIZES.len()],
    bytes: usize,
    bytes_max: usize,
}

impl BlockPool {
    /// Makes an empty pool that keeps at most `bytes_max` bytes of spare blocks.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            spare: [const { Vec::new() }; BLOCK_SIZES.len()],
            bytes: 0,
            bytes_max,
        }
    }

    /// An empty block with room for at least `bytes` bytes; allocates when no spare one fits.
    pub fn take(&mut self, bytes: usize) -> Block {
        let class = BLOCK_SIZES.into_iter().position(|size| size >= bytes);
        match class.and_then(|class| self.spare[class].pop()) {
            Some(block) => {
                self.bytes -= block.capacity();
                block
            }
            None => Block::with_capacity(bytes),
        }
    }

    /// Keeps `block` for later, or frees it when the pool is full or its size is not a class.
    pub fn put(&mut self, mut block: Block) {
        let capacity = block.capacity();
        let class = BLOCK_SIZES.into_iter().position(|size| size == capacity);
        if let Some(class) = class.filter(|_| self.bytes + capacity <= self.bytes_max) {
            block.clear();
            self.bytes += capacity;
            self.spare[class].push(block);
        }
    }

    /// Bytes of spare blocks that the pool holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_without_commit_leaves_nothing() {
        let mut block = Block::with_capacity(10);
        block.reserve(4).unwrap().copy_from_slice(b"lost");
        assert!(block.is_empty());
        block.reserve(4).unwrap().copy_from_slice(b"kept");
        block.commit(4);
        assert_eq!(block.as_slice(), b"kept");
        block.consume(1);
        assert_eq!(block.as_slice(), b"ept");
    }

    #[test]
    fn a_reservation_past_the_end_is_refused() {
        let mut block = Block::with_capacity(4096);
        assert!(block.reserve(4097).is_none());
        assert!(block.reserve(usize::MAX).is_none());
        block.commit(4096);
        assert!(block.reserve(1).is_none());
    }

    #[test]
    fn the_pool_gives_back_what_fits_and_stays_in_bounds() {
        let mut pool = BlockPool::new(20 * 1024);
        pool.put(Block::with_capacity(1));
        pool.put(Block::with_capacity(16 * 1024));
        pool.put(Block::with_capacity(64 * 1024));
        assert_eq!(pool.bytes(), 20 * 1024);
        assert_eq!(pool.take(5000).capacity(), 16 * 1024);
        assert_eq!(pool.take(1).capacity(), 4096);
        assert_eq!(pool.bytes(), 0);
        assert_eq!(pool.take(65_535).capacity(), 64 * 1024);
    }
}
