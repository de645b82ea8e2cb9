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

/// The pieces of one send, in order. The `Vec` travels with it and is reused.
#[derive(Debug, Default)]
pub struct SendBatch {
    pieces: Vec<Piece>,
    bytes: usize,
}

impl SendBatch {
    /// A batch that fills `pieces`, which is emptied first.
    #[must_use]
    pub fn reusing(mut pieces: Vec<Piece>) -> Self {
        pieces.clear();
        Self { pieces, bytes: 0 }
    }

    /// Appends a piece; an empty one is dropped.
    pub fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push(piece);
        }
    }

    /// The pieces in the order in which they are sent. None is empty.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of all pieces.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Gives the pieces up, for reuse of their memory.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }
}
