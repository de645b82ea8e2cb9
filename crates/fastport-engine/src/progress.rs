//! How far the sending of a batch has come: what the kernel took, and what is next.

use fastport_buffer::{Piece, SendBatch};

/// A position in a batch.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Progress {
    /// The first piece that did not go whole, and how much of it went.
    piece: usize,
    offset: usize,
    sent: usize,
}

impl Progress {
    /// Bytes that the kernel took.
    pub(crate) const fn sent(&self) -> usize {
        self.sent
    }

    /// Whether all of the batch is gone.
    pub(crate) fn is_done(&self, batch: &SendBatch) -> bool {
        self.piece == batch.pieces().len()
    }

    /// The pieces that are next, at most `pieces_max` of them, and how much of the first one is
    /// gone.
    pub(crate) fn next<'a>(&self, batch: &'a SendBatch, pieces_max: usize) -> (&'a [Piece], usize) {
        let left = &batch.pieces()[self.piece..];
        (&left[..left.len().min(pieces_max)], self.offset)
    }

    /// Notes that so many more bytes went.
    pub(crate) fn advance(&mut self, batch: &SendBatch, bytes: usize) {
        self.sent += bytes;
        self.offset += bytes;
        let pieces = batch.pieces();
        while let Some(piece) = pieces.get(self.piece).filter(|p| p.len() <= self.offset) {
            self.offset -= piece.len();
            self.piece += 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch of pieces of these lengths, each byte another than its neighbours.
    pub(crate) fn batch(lengths: &[usize]) -> SendBatch {
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

    pub(crate) fn bytes(pieces: &[Piece]) -> Vec<u8> {
        pieces.iter().flat_map(|p| p.as_slice()).copied().collect()
    }

    proptest! {
        /// Wherever a send is cut, and cut again, what is next is the rest of the stream.
        #[test]
        fn the_rest_follows_what_was_sent(
            lengths in prop::collection::vec(1usize..20, 1..20),
            cuts in prop::collection::vec(0usize..60, 1..10),
        ) {
            let batch = batch(&lengths);
            let whole = bytes(batch.pieces());
            let mut progress = Progress::default();
            for cut in cuts {
                progress.advance(&batch, cut.min(whole.len() - progress.sent()));
                let (rest, skip) = progress.next(&batch, usize::MAX);
                let rest = bytes(rest);
                prop_assert_eq!(rest.get(skip..).unwrap_or_default(), &whole[progress.sent()..]);
                prop_assert_eq!(progress.is_done(&batch), progress.sent() == whole.len());
            }
        }
    }

    #[test]
    fn no_more_pieces_are_next_than_one_call_takes() {
        let batch = batch(&[1; 21]);
        let mut progress = Progress::default();
        assert_eq!(progress.next(&batch, 10).0.len(), 10);
        progress.advance(&batch, 20);
        assert_eq!(progress.next(&batch, 10).0.len(), 1);
    }
}
