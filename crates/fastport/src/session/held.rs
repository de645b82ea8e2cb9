//! Received chunks that wait until the send queue has room. Few sessions ever have any, so there is
//! no memory for them until one does, and none after the last is gone.

use fastport_buffer::Chunk;
use std::collections::VecDeque;

/// The chunks, oldest first.
#[allow(
    clippy::box_collection,
    reason = "a pointer in each session instead of an empty collection"
)]
#[derive(Debug, Default)]
pub(crate) struct Held(Option<Box<VecDeque<Chunk>>>);

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn push_back(&mut self, chunk: Chunk) {
        self.0.get_or_insert_default().push_back(chunk);
    }

    /// Puts a chunk before all others.
    pub(crate) fn push_front(&mut self, chunk: Chunk) {
        self.0.get_or_insert_default().push_front(chunk);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Chunk> {
        let chunks = self.0.as_mut()?;
        let first = chunks.pop_front();
        if chunks.is_empty() {
            self.0 = None;
        }
        first
    }

    /// Takes all of them.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Chunk> + use<> {
        self.0.take().into_iter().flat_map(|chunks| *chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_in_order_and_leave_no_memory_behind() {
        let mut held = Held::default();
        for bytes in [b"b", b"c"] {
            held.push_back(Chunk::copied(bytes));
        }
        held.push_front(Chunk::copied(b"a"));
        assert_eq!(held.pop_front().unwrap().as_slice(), b"a");
        let rest: Vec<_> = held.take().collect();
        assert_eq!(rest[0].as_slice(), b"b");
        assert_eq!(rest.len(), 2);
        assert!(held.is_empty() && held.pop_front().is_none());
        held.push_back(Chunk::copied(b"d"));
        held.pop_front();
        assert!(held.is_empty());
    }
}
