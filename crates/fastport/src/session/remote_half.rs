//! What other threads keep of a session: what they queued for it, and what few sessions have.
//!
//! Bytes wait here in segments until the owner splices them behind its own half. A segment says
//! behind which of its worker's casts it goes: what a thread sends after a broadcast comes after
//! it, although the broadcast reaches the session's queue only when the worker applies it.
//!
//! ```text
//!   remote:  [segment after cast 3] [segment after cast 5]
//!            splice(4) takes the first; cast 5 goes out behind it, and the second behind that
//! ```
//!
//! Always under its session's lock. No memory until any of it is needed.

use crate::rooms::room::RoomShared;
use crate::session::control::Farewell;
use crate::session::send_queue::Pieces;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that go out behind a cast.
#[derive(Debug, Default)]
struct Segment {
    /// The number of the last cast that goes before.
    after: u64,
    pieces: Pieces,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct RemoteHalf {
    first: Segment,
    later: VecDeque<Segment>,
    bytes: usize,
    /// The rooms that the session is in.
    pub(crate) rooms: Vec<Arc<RoomShared>>,
    /// What the peer is told when it is kicked.
    pub(crate) own_farewell: Option<Box<str>>,
    /// Why the peer ends the session.
    pub(crate) farewell: Option<Box<Farewell>>,
    /// How long the last heartbeat's answer took.
    pub(crate) round_trip: Option<Duration>,
}

impl RemoteHalf {
    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds `bytes` bytes by `append`, behind cast number `after` at least.
    pub(crate) fn append(&mut self, after: u64, append: impl FnOnce(&mut Pieces)) {
        if self.bytes == 0 {
            self.first.after = after;
        }
        let last = self.later.back().unwrap_or(&self.first);
        if last.after < after {
            self.later.push_back(Segment {
                after,
                pieces: Pieces::default(),
            });
        }
        let last = self.later.back_mut().unwrap_or(&mut self.first);
        let before = last.pieces.bytes();
        append(&mut last.pieces);
        self.bytes += last.pieces.bytes() - before;
    }

    /// Moves everything that goes behind cast number `applied` or an earlier one behind `pieces`.
    pub(crate) fn splice_into(&mut self, pieces: &mut Pieces, applied: u64) {
        while self.bytes > 0 && self.first.after <= applied {
            self.bytes -= self.first.pieces.bytes();
            pieces.splice(&mut self.first.pieces);
            match self.later.pop_front() {
                Some(next) => self.first = next,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::send_queue::reclaim;

    fn put(half: &mut RemoteHalf, after: u64, text: &str) {
        half.append(after, |pieces| {
            pieces.append(text.len(), |memory| {
                memory.copy_from_slice(text.as_bytes());
            });
        });
    }

    fn taken(half: &mut RemoteHalf, applied: u64) -> String {
        let mut pieces = Pieces::default();
        half.splice_into(&mut pieces, applied);
        let batch = pieces.take_batch();
        let bytes: Vec<u8> = batch
            .pieces()
            .iter()
            .flat_map(|piece| piece.as_slice().to_vec())
            .collect();
        reclaim(batch, drop);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn segments_wait_for_their_casts() {
        let mut half = RemoteHalf::default();
        put(&mut half, 0, "a");
        put(&mut half, 0, "b");
        put(&mut half, 2, "c");
        put(&mut half, 1, "d");
        put(&mut half, 5, "e");
        assert_eq!(half.bytes(), 5);
        assert_eq!(taken(&mut half, 1), "ab");
        // A thread that knows of fewer casts goes behind what is there.
        assert_eq!(taken(&mut half, 4), "cd");
        assert_eq!((taken(&mut half, 4).as_str(), half.bytes()), ("", 1));
        put(&mut half, 5, "f");
        assert_eq!(taken(&mut half, 5), "ef");
        put(&mut half, 3, "g");
        assert_eq!((taken(&mut half, 3).as_str(), half.bytes()), ("g", 0));
    }

    #[test]
    fn an_encoder_that_panics_counts_nothing() {
        let mut half = RemoteHalf::default();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            half.append(3, |pieces| pieces.append(2, |_| panic!("encoder")));
        }));
        assert!(outcome.is_err());
        assert_eq!(half.bytes(), 0);
        put(&mut half, 0, "x");
        assert_eq!(taken(&mut half, 0), "x");
    }
}
