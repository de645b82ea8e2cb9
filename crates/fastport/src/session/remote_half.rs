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
use crate::session::asks::Asks;
use crate::session::control::Farewell;
use crate::session::send_queue::Pieces;
use fastport_buffer::SharedFrame;
use fastport_engine::Moment;
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
    /// Requests to the peer that wait.
    pub(crate) asks: Option<Box<Asks>>,
    /// Messages for the peer that were dropped or replaced.
    pub(crate) dropped: u64,
    /// Since when the queue is full, while the policy is to disconnect for that.
    pub(crate) full_since: Option<Moment>,
    /// How long it may be full, if this session has a time of its own.
    pub(crate) full_grace: Option<Duration>,
    /// What its handshake agreed on.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Box<crate::tls::TlsInfo>>,
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

    /// Bytes of the unsent message with this key, if there is one here.
    pub(crate) fn keyed_bytes(&self, key: u64) -> Option<usize> {
        let mut segments = std::iter::once(&self.first).chain(&self.later);
        segments.find_map(|segment| segment.pieces.keyed_bytes(key))
    }

    /// Adds a frame in the place of the unsent one with the same key, or behind cast number `after`
    /// at least when there is none here. Whether it replaced one.
    pub(crate) fn append_keyed(&mut self, after: u64, key: u64, frame: SharedFrame) -> bool {
        let mut segments = std::iter::once(&mut self.first).chain(&mut self.later);
        if let Some(with_older) = segments.find(|it| it.pieces.keyed_bytes(key).is_some()) {
            self.bytes -= with_older.pieces.bytes();
            with_older.pieces.push_keyed(key, frame);
            self.bytes += with_older.pieces.bytes();
            return true;
        }
        self.append(after, |pieces| {
            pieces.push_keyed(key, frame);
        });
        false
    }

    /// Drops messages, oldest first, until at most `bytes` bytes are left, or no message. Returns
    /// how many.
    pub(crate) fn drop_oldest(&mut self, bytes: usize) -> u64 {
        let mut dropped = 0;
        while self.bytes > bytes {
            let before = self.first.pieces.bytes();
            let later = self.bytes - before;
            dropped += self.first.pieces.drop_oldest(bytes.saturating_sub(later));
            self.bytes = later + self.first.pieces.bytes();
            if self.first.pieces.bytes() > 0 {
                break;
            }
            match self.later.pop_front() {
                Some(next) => self.first = next,
                None => break,
            }
        }
        dropped
    }

    /// Moves everything that goes behind cast number `applied` or an earlier one behind `pieces`.
    /// Returns how many messages with a key took the place of an older one.
    pub(crate) fn splice_into(&mut self, pieces: &mut Pieces, applied: u64) -> u64 {
        let mut replaced = 0;
        while self.bytes > 0 && self.first.after <= applied {
            self.bytes -= self.first.pieces.bytes();
            replaced += pieces.splice(&mut self.first.pieces);
            match self.later.pop_front() {
                Some(next) => self.first = next,
                None => break,
            }
        }
        replaced
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
