//! What one send hands to an engine: pieces of memory that stay in place until its completion.

use crate::{Block, Chunk, SharedFrame};
use std::ops::Range;

/// One contiguous piece of a send.
#[derive(Debug)]
pub enum Piece {
    /// Bytes that were encoded for this session; the block goes back to the worker's pool.
    Block(Block),
    /// A part of a frame that other sessions send as well.
    Shared(SharedFrame, Range<usize>),
    /// Received bytes that are sent on without a copy.
    Forward(Chunk),
}

impl Piece {
    /// The bytes to send. They do not move while the piece exists.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Block(block) => block.as_slice(),
            Self::Shared(frame, range) => &frame[range.clone()],
            Self::Forward(chunk) => chunk.as_slice(),
        }
    }

    /// The number of bytes to send.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Block(block) => block.len(),
            Self::Shared(_, range) => range.len(),
            Self::Forward(chunk) => chunk.len(),
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pieces of one send, in order, and how far the sending has come. One pointer, so that it is
/// handed on in a register; what it points to travels with it and is reused.
#[derive(Debug, Default)]
pub struct SendBatch(Option<Box<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    pieces: Vec<Piece>,
    bytes: usize,
    /// The first piece that did not go whole, and how much of it went.
    piece: usize,
    offset: usize,
    sent: usize,
}

impl SendBatch {
    /// Appends a piece; an empty one is dropped. Allocates when the batch never had any, or not so
    /// many.
    #[inline]
    pub fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            let contents = self.0.get_or_insert_default();
            contents.bytes += piece.len();
            contents.pieces.push(piece);
        }
    }

    /// The pieces in the order in which they are sent. None is empty.
    #[must_use]
    #[inline]
    pub fn pieces(&self) -> &[Piece] {
        self.0.as_ref().map_or(&[], |contents| &contents.pieces)
    }

    /// Bytes of all pieces.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |contents| contents.bytes)
    }

    /// Whether there is nothing to send.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pieces().is_empty()
    }

    /// Bytes that the kernel took.
    #[must_use]
    #[inline]
    pub fn sent(&self) -> usize {
        self.0.as_ref().map_or(0, |contents| contents.sent)
    }

    /// Whether all of it is gone.
    #[must_use]
    #[inline]
    pub fn is_sent(&self) -> bool {
        self.sent() == self.bytes()
    }

    /// The pieces that are next, at most `pieces_max` of them, and how many bytes of the first one
    /// are gone.
    #[must_use]
    #[inline]
    pub fn rest(&self, pieces_max: usize) -> (&[Piece], usize) {
        let Some(contents) = &self.0 else {
            return (&[], 0);
        };
        let left = &contents.pieces[contents.piece..];
        (&left[..left.len().min(pieces_max)], contents.offset)
    }

    /// Notes that the kernel took so many more bytes; no more than there are.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        let Some(contents) = &mut self.0 else { return };
        contents.sent += bytes;
        contents.offset += bytes;
        while let Some(piece) = contents.pieces.get(contents.piece)
            && piece.len() <= contents.offset
        {
            contents.offset -= piece.len();
            contents.piece += 1;
        }
    }

    /// Gives each piece up, in order, and keeps the memory: what is left is an empty batch, nothing
    /// of which was sent.
    #[inline]
    pub fn empty(&mut self, give_up: impl FnMut(Piece)) {
        if let Some(contents) = &mut self.0 {
            contents.pieces.drain(..).for_each(give_up);
            (contents.bytes, contents.sent) = (0, 0);
            (contents.piece, contents.offset) = (0, 0);
        }
    }

    /// For how many pieces there is memory. 0 only for a batch that never had one.
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |contents| contents.pieces.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch of pieces of these lengths, each byte another than its neighbours.
    fn batch(lengths: &[usize]) -> SendBatch {
        let mut next = 0u8;
        let mut batch = SendBatch::default();
        for length in lengths {
            let mut piece = vec![0; *length];
            piece.fill_with(|| {
                next = next.wrapping_add(1);
                next
            });
            batch.push(Piece::Shared(piece.into(), 0..*length));
        }
        batch
    }

    fn bytes(pieces: &[Piece]) -> Vec<u8> {
        pieces.iter().flat_map(|p| p.as_slice()).copied().collect()
    }

    proptest! {
        /// Wherever a send is cut, and cut again, what is next is the rest of the stream.
        #[test]
        fn the_rest_follows_what_was_sent(
            lengths in prop::collection::vec(1usize..20, 1..20),
            cuts in prop::collection::vec(0usize..60, 1..10),
        ) {
            let mut batch = batch(&lengths);
            let whole = bytes(batch.pieces());
            for cut in cuts {
                batch.advance(cut.min(whole.len() - batch.sent()));
                let (rest, skip) = batch.rest(usize::MAX);
                let rest = bytes(rest);
                prop_assert_eq!(rest.get(skip..).unwrap_or_default(), &whole[batch.sent()..]);
                prop_assert_eq!(batch.is_sent(), batch.sent() == whole.len());
            }
        }
    }

    #[test]
    fn no_more_pieces_are_next_than_one_call_takes() {
        let mut batch = batch(&[1; 21]);
        assert_eq!(batch.rest(10).0.len(), 10);
        batch.advance(20);
        assert_eq!(batch.rest(10).0.len(), 1);
    }

    #[test]
    fn an_emptied_batch_is_as_new_and_keeps_its_memory() {
        let mut batch = batch(&[3, 4]);
        batch.advance(5);
        let room = batch.capacity();
        let mut lengths = Vec::new();
        batch.empty(|piece| lengths.push(piece.len()));
        assert_eq!(lengths, [3, 4]);
        assert_eq!(
            (batch.bytes(), batch.sent(), batch.capacity()),
            (0, 0, room)
        );
        batch.push(Piece::Shared(vec![0; 6].into(), 0..6));
        assert_eq!((batch.rest(9).0.len(), batch.rest(9).1), (1, 0));
    }

    #[test]
    fn what_has_nothing_to_send_has_no_memory() {
        let mut batch = SendBatch::default();
        batch.push(Piece::Shared(vec![0; 6].into(), 2..2));
        batch.advance(0);
        batch.empty(|_| unreachable!("no piece was pushed"));
        assert_eq!(
            (batch.is_empty(), batch.is_sent(), batch.capacity()),
            (true, true, 0)
        );
        assert_eq!(batch.rest(1).0.len(), 0);
    }
}
