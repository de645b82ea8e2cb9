//! Where TLS writes to: plain text into chunks that look like received ones, cipher text into send
//! blocks.

use crate::session::send_queue::{put_block, spare_batch, take_block};
use fastport_buffer::{Block, Chunk, ChunkStore, Piece, SendBatch};

/// A worker's buffers for plain text, and the size of each: what a record holds at most.
const PLAIN_BUFFERS: u16 = 64;
const PLAIN_BYTES: usize = 16 * 1024;
/// Cipher text goes into blocks of this size when there is much of it.
const BLOCK_BYTES: usize = 64 * 1024;
/// A block with less room than this is sent as it is.
const ROOM_MIN: usize = 2048;

/// A worker's memory for what was decrypted. Made when the first connection needs it.
#[derive(Default)]
pub(crate) struct PlainMemory(Option<ChunkStore>);

impl PlainMemory {
    /// A sink for what came at once. The chunks go to `ready` when it is dropped.
    pub(crate) fn sink<'a>(&'a mut self, ready: &'a mut Vec<Chunk>) -> PlainSink<'a> {
        let store = self
            .0
            .get_or_insert_with(|| ChunkStore::new(PLAIN_BUFFERS, PLAIN_BYTES));
        if store.has_returned() {
            store.collect();
        }
        PlainSink {
            store,
            open: None,
            ready,
        }
    }
}

/// Puts what was decrypted together, so that the frames of several records are parsed as one run.
pub(crate) struct PlainSink<'a> {
    store: &'a mut ChunkStore,
    /// The buffer that is being filled, and how far it is.
    open: Option<(u16, usize)>,
    ready: &'a mut Vec<Chunk>,
}

impl PlainSink<'_> {
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.open.is_none() && !self.store.is_scarce() {
                self.open = self.store.acquire().map(|id| (id, 0));
            }
            let Some((id, filled)) = &mut self.open else {
                // Whoever holds the buffers keeps them: memory of its own, then.
                self.ready.push(Chunk::copied(bytes));
                return;
            };
            let memory = &mut self.store.buffer_mut(*id)[*filled..];
            let taken = memory.len().min(bytes.len());
            memory[..taken].copy_from_slice(&bytes[..taken]);
            *filled += taken;
            bytes = &bytes[taken..];
            if *filled == PLAIN_BYTES {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        if let Some((id, filled)) = self.open.take() {
            self.ready.push(self.store.lend(id, filled));
        }
    }
}

impl Drop for PlainSink<'_> {
    fn drop(&mut self) {
        self.seal();
    }
}

/// Cipher text on its way into a batch.
pub(crate) struct CipherSink {
    batch: SendBatch,
    open: Option<Block>,
}

impl CipherSink {
    pub(crate) fn new() -> Self {
        Self {
            batch: spare_batch(),
            open: None,
        }
    }

    /// What has to go before all else.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let outcome = self.write(bytes.len(), |memory| {
                memory[..bytes.len()].copy_from_slice(bytes);
                Ok::<_, std::convert::Infallible>(bytes.len())
            });
            debug_assert!(outcome.is_ok(), "a copy does not fail");
        }
    }

    /// Makes room for a record of `bytes` plain bytes, or for a part of it, when `left` plain bytes
    /// follow in all and a record takes `overhead` more. How much room there is.
    pub(crate) fn room_for(&mut self, bytes: usize, left: usize, overhead: usize) -> usize {
        let room = self.open.as_ref().map_or(0, Block::room);
        if room >= (bytes + overhead).min(ROOM_MIN) {
            return room;
        }
        self.seal();
        let block = take_block((left + 2 * overhead).min(BLOCK_BYTES));
        self.open.insert(block).room()
    }

    /// Has `fill` write into at least `bytes` bytes of room; it tells how many it used.
    pub(crate) fn write<E>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        if self.open.as_ref().is_none_or(|block| block.room() < bytes) {
            self.seal();
        }
        let block = self.open.get_or_insert_with(|| take_block(bytes));
        let room = block.room();
        let Some(memory) = block.reserve(room) else {
            return Ok(());
        };
        let used = fill(memory)?;
        block.commit(used);
        Ok(())
    }

    /// What was written, in order.
    pub(crate) fn finish(mut self) -> SendBatch {
        self.seal();
        self.batch
    }

    fn seal(&mut self) {
        if let Some(block) = self.open.take() {
            if block.is_empty() {
                put_block(block);
            } else {
                self.batch.push(Piece::Block(block));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_put_together_and_never_lost() {
        let mut memory = PlainMemory::default();
        let mut ready = Vec::new();
        let bytes: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let mut sink = memory.sink(&mut ready);
        for part in bytes.chunks(7001) {
            sink.push(part);
        }
        drop(sink);
        assert_eq!(ready.len(), 100_000usize.div_ceil(PLAIN_BYTES));
        let together: Vec<u8> = ready
            .iter()
            .flat_map(|chunk| chunk.as_slice().to_vec())
            .collect();
        assert_eq!(together, bytes);
    }

    #[test]
    fn when_all_buffers_are_held_there_are_copies() {
        let mut memory = PlainMemory::default();
        let mut held = Vec::new();
        for number in 0..200u8 {
            memory.sink(&mut held).push(&[number; 100]);
        }
        assert_eq!(held.len(), 200);
        for (number, chunk) in held.iter().enumerate() {
            assert_eq!(chunk.as_slice(), [number as u8; 100]);
        }
        held.clear();
        let mut ready = Vec::new();
        memory.sink(&mut ready).push(&[1; 10]);
        let store = memory.0.as_mut().unwrap();
        assert_eq!(store.lent(), 1, "buffers that came home are used again");
    }

    #[test]
    fn cipher_text_fills_its_blocks() {
        let mut sink = CipherSink::new();
        sink.push(b"first");
        let mut left = 200_000;
        while left > 0 {
            let room = sink.room_for(left, left, 64);
            let bytes = left.min(16_384).min(room - 64);
            sink.write(room, |memory| {
                memory[..bytes].fill(7);
                Ok::<_, ()>(bytes + 22)
            })
            .unwrap();
            left -= bytes;
        }
        let batch = sink.finish();
        assert!(batch.pieces().len() <= 6, "{}", batch.pieces().len());
        assert!(batch.bytes() > 200_000 && batch.bytes() < 201_000);
    }
}
