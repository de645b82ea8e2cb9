//! The receive buffers of a worker, of two sizes: large ones, taken when there are bytes, and
//! pages, posted in advance for the connections that [`steady`](super::steady) names.

use fastport_buffer::{Chunk, ChunkStore};
use std::ptr::NonNull;

/// What a store keeps between two buffers.
const GAP: usize = 64;
/// With the gap they are a page apart, so a receive pins one page of memory and no neighbour's.
pub(super) const PAGE_BYTES: usize = 4096 - GAP;

/// A buffer that was acquired.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Buffer {
    Large(u16),
    Page(u16),
}

/// All buffers of a worker.
pub(super) struct Buffers {
    large: ChunkStore,
    /// None when nothing is posted in advance.
    pages: Option<ChunkStore>,
}

impl Buffers {
    pub(super) fn new(count: u16, bytes: usize, pages: u16) -> Self {
        Self {
            large: ChunkStore::new(count, bytes),
            pages: (pages > 0).then(|| ChunkStore::new(pages, PAGE_BYTES)),
        }
    }

    pub(super) fn acquire_large(&mut self) -> Option<Buffer> {
        self.large.acquire().map(Buffer::Large)
    }

    pub(super) fn acquire_page(&mut self) -> Option<Buffer> {
        self.pages.as_mut()?.acquire().map(Buffer::Page)
    }

    /// Whether a large one can be had.
    pub(super) fn has_large(&mut self) -> bool {
        let id = self.large.acquire();
        if let Some(id) = id {
            self.large.release(id);
        }
        id.is_some()
    }

    pub(super) fn release(&mut self, buffer: Buffer) {
        let (store, id) = self.of(buffer);
        store.release(id);
    }

    pub(super) fn bytes(&mut self, buffer: Buffer) -> usize {
        self.of(buffer).0.bytes()
    }

    /// Where the kernel may write to until the buffer is lent or released.
    pub(super) fn address(&mut self, buffer: Buffer) -> NonNull<u8> {
        let (store, id) = self.of(buffer);
        store.address(id)
    }

    pub(super) fn slice_mut(&mut self, buffer: Buffer) -> &mut [u8] {
        let (store, id) = self.of(buffer);
        store.buffer_mut(id)
    }

    pub(super) fn lend(&mut self, buffer: Buffer, bytes: usize) -> Chunk {
        let (store, id) = self.of(buffer);
        store.lend(id, bytes)
    }

    #[inline]
    pub(super) fn recycle(&mut self, chunk: Chunk) {
        match &mut self.pages {
            Some(pages) if pages.owns(&chunk) => pages.recycle(chunk),
            _ => self.large.recycle(chunk),
        }
    }

    /// Whether holders of chunks should keep copies instead. Pages do not count: without them
    /// connections wait and take large ones.
    pub(super) fn is_scarce(&self) -> bool {
        self.large.is_scarce()
    }

    fn of(&mut self, buffer: Buffer) -> (&mut ChunkStore, u16) {
        match buffer {
            Buffer::Large(id) => (&mut self.large, id),
            Buffer::Page(id) => (self.pages.as_mut().expect("a page was acquired"), id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chunk_goes_back_to_where_it_came_from() {
        let mut buffers = Buffers::new(1, 8192, 1);
        for _ in 0..3 {
            let (large, page) = (buffers.acquire_large(), buffers.acquire_page());
            assert_eq!(large, Some(Buffer::Large(0)));
            assert_eq!(page, Some(Buffer::Page(0)));
            assert!(buffers.acquire_page().is_none() && !buffers.has_large());
            let (large, page) = (large.unwrap(), page.unwrap());
            assert_eq!(buffers.bytes(large), 8192);
            assert_eq!(buffers.bytes(page), PAGE_BYTES);
            let (large, page) = (buffers.lend(large, 1), buffers.lend(page, 1));
            buffers.recycle(large);
            buffers.recycle(page);
        }
        assert!(Buffers::new(1, 1, 0).acquire_page().is_none());
    }

    #[test]
    fn a_page_buffer_lies_in_one_page() {
        let mut buffers = Buffers::new(1, 1, 5);
        for _ in 0..5 {
            let page = buffers.acquire_page().unwrap();
            assert_eq!(buffers.address(page).as_ptr() as usize % 4096, 0);
        }
    }
}
