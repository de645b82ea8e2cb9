//! Memory for FastPort's sessions: send blocks, lent receive chunks, rings and shared frames.
//!
//! This crate owns every byte that travels between a peer and a handler. It makes no system call
//! and knows nothing of sockets, frames or threads other than the one that owns a structure, so
//! that all of it runs under Miri and loom.
//!
//! | module | owns |
//! |---|---|
//! | [`block`] | send memory in three sizes, and the pool it comes from |
//! | [`batch`] | what one send hands to an engine: pieces that stay in place until the completion |
//! | [`chunk`] | receive memory lent to the session layer, given back when dropped |
//! | [`ring`] | byte rings with the operations of the origin's buffer interface |
//! | [`return_stack`] | the way by which chunks come home from other threads |
//! | [`owner_cell`] | a value that only its owning thread may touch |
//! | [`prefetch`](mod@prefetch) | the hint that memory will be needed soon |
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod batch;
pub mod block;
pub mod chunk;
pub mod owner_cell;
pub mod prefetch;
pub mod return_stack;
pub mod ring;
mod sync;

pub use batch::{Piece, SendBatch};
pub use block::{Block, BlockPool, SharedFrame};
pub use chunk::{Chunk, ChunkStore};
pub use owner_cell::{Identity, OwnerCell};
pub use prefetch::prefetch;
pub use return_stack::ReturnStack;
pub use ring::{BlockChain, CircularBuffer, RingBuffer, WriteSpans};
