//! What was sent and not yet counted by the peer, in order and bounded in bytes.

use fastport_buffer::SharedFrame;
use std::collections::VecDeque;

/// See the module's page. Frames are numbered from 0 since the session began.
#[derive(Debug)]
pub(crate) struct Journal {
    frames: VecDeque<SharedFrame>,
    /// The number of the first frame that is kept: so many the peer has counted.
    first: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Journal {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            first: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Bytes that are kept, and how many may be.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (self.bytes, self.bytes_max)
    }

    /// Keeps a frame. False, and nothing is kept, when there is no room.
    pub(crate) fn push(&mut self, frame: SharedFrame) -> bool {
        if self.bytes + frame.len() > self.bytes_max {
            return false;
        }
        self.bytes += frame.len();
        self.frames.push_back(frame);
        true
    }

    /// The peer has counted `received` frames: the earlier ones are forgotten. False when it can
    /// not have, or has counted fewer before.
    pub(crate) fn forget(&mut self, received: u64) -> bool {
        let last = self.first + self.frames.len() as u64;
        if received < self.first || received > last {
            return false;
        }
        while self.first < received
            && let Some(frame) = self.frames.pop_front()
        {
            self.bytes -= frame.len();
            self.first += 1;
        }
        true
    }

    /// What the peer has not counted.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &SharedFrame> {
        self.frames.iter()
    }

    /// Forgets everything: the session has ended.
    pub(crate) fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> SharedFrame {
        vec![7; bytes].into()
    }

    #[test]
    fn what_is_counted_makes_room() {
        let mut journal = Journal::new(10);
        assert!(journal.push(frame(4)) && journal.push(frame(6)));
        assert!(!journal.push(frame(1)), "full");
        assert!(journal.forget(1));
        assert_eq!(journal.bytes(), (6, 10));
        assert!(journal.push(frame(4)) && !journal.push(frame(1)));
        assert_eq!(journal.frames().count(), 2);
    }

    #[test]
    fn a_count_that_can_not_be_is_refused() {
        let mut journal = Journal::new(100);
        for _ in 0..3 {
            assert!(journal.push(frame(1)));
        }
        assert!(!journal.forget(4), "more than was sent");
        assert!(journal.forget(2) && journal.forget(2));
        assert!(!journal.forget(1), "what is gone can not be sent again");
        assert!(journal.forget(3));
        assert_eq!((journal.frames().count(), journal.bytes().0), (0, 0));
    }
}
