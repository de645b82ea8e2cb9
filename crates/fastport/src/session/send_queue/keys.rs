//! Messages with a key, of which only the latest waits.
//!
//! Each is a piece of its own, so that another can take its place: the place of the older one, not
//! the tail, since a key that changes faster than the peer reads would never be sent otherwise.
//! Once its piece is in a batch a message is nobody's to replace.

use super::{Pieces, Queued};
use fastport_buffer::{Piece, SharedFrame};
use std::collections::{HashMap, VecDeque};

/// Which of a queue's sealed pieces have keys. Pieces are numbered from the queue's first on.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The number of the first sealed piece.
    first: u64,
    numbers: HashMap<u64, u64>,
    /// Number and key, by number: pieces leave the queue in this order.
    order: VecDeque<(u64, u64)>,
}

impl Keys {
    /// Where the piece with this key is among the sealed ones.
    fn place(&self, key: u64) -> Option<usize> {
        let number = self.numbers.get(&key)?;
        usize::try_from(number - self.first).ok()
    }

    /// The piece that will be the one at `place` has this key.
    fn add(&mut self, key: u64, place: usize) {
        let number = self.first + place as u64;
        self.numbers.insert(key, number);
        self.order.push_back((number, key));
    }

    /// The first `pieces` pieces have left the queue. Returns the key of the last of them.
    pub(super) fn pass(&mut self, pieces: usize) -> Option<u64> {
        self.first += pieces as u64;
        let mut last = None;
        while let Some((number, key)) = self.order.front().copied()
            && number < self.first
        {
            self.order.pop_front();
            self.numbers.remove(&key);
            last = (number + 1 == self.first).then_some(key);
        }
        last
    }
}

impl Pieces {
    /// Bytes of the unsent message with this key, if there is one.
    pub(crate) fn keyed_bytes(&self, key: u64) -> Option<usize> {
        let queued = self.0.as_ref()?;
        let place = queued.keys.as_ref()?.place(key)?;
        queued.sealed.get(place).map(Piece::len)
    }

    /// Queues a frame in the place of the unsent one with the same key, or at the tail when there
    /// is none. Whether it replaced one.
    pub(crate) fn push_keyed(&mut self, key: u64, frame: SharedFrame) -> bool {
        let bytes = frame.len();
        self.queued()
            .push_keyed(key, Piece::Shared(frame, 0..bytes))
    }
}

impl Queued {
    fn push_keyed(&mut self, key: u64, piece: Piece) -> bool {
        let place = self.keys.as_ref().and_then(|keys| keys.place(key));
        if let Some(older) = place.and_then(|place| self.sealed.get_mut(place)) {
            self.bytes += piece.len();
            self.bytes -= std::mem::replace(older, piece).len();
            return true;
        }
        self.push(piece);
        let place = self.sealed.len() - 1;
        self.keys.get_or_insert_default().add(key, place);
        false
    }

    /// As `splice`, when there are keys on the other side.
    #[cold]
    pub(super) fn splice_keyed(&mut self, other: &mut Self) -> u64 {
        let mut keys = other.keys.take().unwrap_or_default();
        let mut replaced = 0;
        for piece in other.sealed.drain(..) {
            match keys.pass(1) {
                Some(key) => replaced += u64::from(self.push_keyed(key, piece)),
                None => self.push(piece),
            }
        }
        other.bytes = 0;
        replaced
    }
}
