//! A naive queue of bytes, and a ring that is held against it operation by operation. The property
//! tests and the fuzz target run the same; it knows nothing of either, and has one thread.

use fastport_buffer::RingBuffer;

/// Sizes are in 256ths of what the ring can hold, so that one strategy suits rings of all sizes.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Reserves, writes all of it, and commits a part.
    Write { reserve: u16, commit: u16 },
    /// Reserves and writes, but never commits.
    Abandon { reserve: u16 },
    /// Reserves and writes, consumes what is there, and commits then.
    ConsumeBeforeCommit { reserve: u16, consume: u16 },
    /// Consumes at most what is there.
    Consume(u16),
    /// Looks at the front, which must be the model's.
    Peek(u16),
    /// Takes from the front.
    Pop(u16),
}

/// The ring, and what should be in it.
pub(crate) struct Harness<R> {
    ring: R,
    model: Vec<u8>,
    capacity: usize,
    check: fn(&R),
    /// Where in the pattern the next written byte is.
    next: usize,
}

impl<R: RingBuffer> Harness<R> {
    pub(crate) fn new(ring: R, capacity: usize, check: fn(&R)) -> Self {
        Self {
            ring,
            model: Vec::new(),
            capacity,
            check,
            next: 0,
        }
    }

    pub(crate) fn run(&mut self, operations: impl IntoIterator<Item = Operation>) {
        for operation in operations {
            self.apply(&operation);
            self.compare();
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Write { reserve, commit } => {
                if let Some(written) = self.reserve(reserve) {
                    self.commit(&written, self.bytes(commit));
                }
            }
            Operation::Abandon { reserve } => {
                self.reserve(reserve);
            }
            Operation::ConsumeBeforeCommit { reserve, consume } => {
                if let Some(written) = self.reserve(reserve) {
                    self.consume(consume);
                    self.compare();
                    self.commit(&written, written.len());
                }
            }
            Operation::Consume(share) => self.consume(share),
            Operation::Peek(share) => self.look(share, false),
            Operation::Pop(share) => self.look(share, true),
        }
    }

    fn bytes(&self, share: u16) -> usize {
        (self.capacity * usize::from(share)).div_ceil(256)
    }

    /// Reserves and writes; what was written, or `None` when the ring and the model have no room.
    fn reserve(&mut self, share: u16) -> Option<Vec<u8>> {
        let bytes = self.bytes(share);
        let content = self.fresh(bytes);
        let room = self.capacity - self.model.len();
        let Some(mut spans) = self.ring.allocate_write(bytes) else {
            assert!(bytes > room, "refused {bytes} bytes, room for {room}");
            return None;
        };
        assert!(bytes <= room, "reserved {bytes} bytes, room for {room}");
        assert_eq!(spans.len(), bytes);
        spans.copy_from_slice(&content);
        Some(content)
    }

    /// Bytes that repeat only after 251, which no capacity here shares a factor with.
    fn fresh(&mut self, bytes: usize) -> Vec<u8> {
        let pattern: [u8; 251] = std::array::from_fn(|at| at as u8);
        let mut content = Vec::with_capacity(bytes);
        while content.len() < bytes {
            let rest = &pattern[self.next..];
            let part = &rest[..rest.len().min(bytes - content.len())];
            content.extend_from_slice(part);
            self.next = (self.next + part.len()) % pattern.len();
        }
        content
    }

    fn commit(&mut self, written: &[u8], bytes: usize) {
        let bytes = bytes.min(written.len());
        self.ring.commit_write(bytes);
        self.model.extend_from_slice(&written[..bytes]);
    }

    fn consume(&mut self, share: u16) {
        let bytes = self.bytes(share).min(self.model.len());
        self.ring.consume(bytes);
        self.model.drain(..bytes);
    }

    fn look(&mut self, share: u16, take: bool) {
        let mut out = vec![0xEE; self.bytes(share)];
        let there = if take {
            self.ring.pop(&mut out)
        } else {
            self.ring.peek(&mut out)
        };
        assert_eq!(there, out.len() <= self.model.len());
        if there {
            assert_eq!(&self.model[..out.len()], out);
            self.model.drain(..if take { out.len() } else { 0 });
        } else {
            assert!(out.iter().all(|byte| *byte == 0xEE), "a refusal wrote");
        }
    }

    fn compare(&self) {
        (self.check)(&self.ring);
        assert_eq!(self.ring.len(), self.model.len());
        assert_eq!(self.ring.is_empty(), self.model.is_empty());
        assert_eq!(self.ring.free(), self.capacity - self.model.len());
        let (first, second) = self.ring.read_buffers();
        let shown = first.len() + second.len();
        let expected = self.model[..shown].split_at(first.len());
        assert_eq!((first, second), expected);
        assert!(!first.is_empty() || self.model.is_empty());
        let mut all = vec![0; self.model.len()];
        assert!(self.ring.peek(&mut all));
        assert_eq!(self.model, all);
    }
}
