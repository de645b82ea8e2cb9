//! Both rings against a naive queue of bytes: any operations in any order, and every offset of a
//! wrap.
#![cfg(not(loom))]

use fastport_buffer::{BlockChain, BlockPool, CircularBuffer, RingBuffer};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Sizes are in 256ths of what the ring can hold, so that one strategy suits rings of all sizes.
#[derive(Clone, Debug)]
enum Operation {
    /// Reserves, writes all of it, and commits a part.
    Write {
        reserve: u16,
        commit: u16,
    },
    /// Reserves and writes, but never commits.
    Abandon {
        reserve: u16,
    },
    /// Reserves and writes, consumes what is there, and commits then.
    ConsumeBeforeCommit {
        reserve: u16,
        consume: u16,
    },
    Consume(u16),
    Peek(u16),
    Pop(u16),
}

/// A little more than everything is asked for too.
fn share() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 0..64u16, 2 => 0..260u16, 1 => Just(256)]
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        4 => (share(), share()).prop_map(|(reserve, commit)| Operation::Write { reserve, commit }),
        1 => share().prop_map(|reserve| Operation::Abandon { reserve }),
        1 => (share(), share()).prop_map(|(reserve, consume)| {
            Operation::ConsumeBeforeCommit { reserve, consume }
        }),
        2 => share().prop_map(Operation::Consume),
        1 => share().prop_map(Operation::Peek),
        2 => share().prop_map(Operation::Pop),
    ];
    vec(operation, 0..80)
}

/// The ring, and what should be in it.
struct Harness<R> {
    ring: R,
    model: VecDeque<u8>,
    capacity: usize,
    check: fn(&R),
    next: u8,
}

impl<R: RingBuffer> Harness<R> {
    fn new(ring: R, capacity: usize, check: fn(&R)) -> Self {
        Self {
            ring,
            model: VecDeque::new(),
            capacity,
            check,
            next: 0,
        }
    }

    fn run(&mut self, operations: Vec<Operation>) {
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
        let content: Vec<u8> = (0..bytes).map(|_| self.fresh()).collect();
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
    fn fresh(&mut self) -> u8 {
        self.next = (self.next + 1) % 251;
        self.next
    }

    fn commit(&mut self, written: &[u8], bytes: usize) {
        let bytes = bytes.min(written.len());
        self.ring.commit_write(bytes);
        self.model.extend(&written[..bytes]);
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
            assert!(self.model.iter().take(out.len()).eq(&out));
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
        assert!(first.iter().chain(second).eq(self.model.iter().take(shown)));
        assert!(!first.is_empty() || self.model.is_empty());
        let mut all = vec![0; self.model.len()];
        assert!(self.ring.peek(&mut all));
        assert!(self.model.iter().eq(&all));
    }
}

proptest! {
    #[test]
    fn a_circular_buffer_is_a_queue(capacity in 0..70usize, operations in operations()) {
        let check = |ring: &CircularBuffer| {
            ring.check_invariants();
            let (first, second) = ring.read_buffers();
            assert_eq!(first.len() + second.len(), ring.len());
        };
        Harness::new(CircularBuffer::new(capacity), capacity, check).run(operations);
    }

    /// Capacities around the sizes of blocks; a pool that keeps nothing, little and everything.
    #[test]
    fn a_block_chain_is_a_queue(
        capacity in prop_oneof![0..70usize, 4000..5000usize, 15_000..70_000usize],
        spare in prop_oneof![Just(0), Just(5000), Just(usize::MAX)],
        operations in operations(),
    ) {
        let check = |chain: &BlockChain| {
            chain.check_invariants();
            assert_eq!(chain.pieces().map(<[u8]>::len).sum::<usize>(), chain.len());
        };
        let chain = BlockChain::new(capacity, BlockPool::new(spare));
        Harness::new(chain, capacity, check).run(operations);
    }
}

/// Every start, every length, and every cut of the reservation that is committed.
#[test]
fn a_circular_buffer_wraps_at_every_offset() {
    const CAPACITY: usize = 12;
    for start in 0..CAPACITY {
        for bytes in 0..=CAPACITY {
            for commit in 0..=bytes {
                let mut ring = CircularBuffer::new(CAPACITY);
                ring.allocate_write(start).unwrap();
                ring.commit_write(start);
                ring.consume(start);
                let content: Vec<u8> = (1..).take(bytes).collect();
                let mut spans = ring.allocate_write(bytes).unwrap();
                spans.copy_from_slice(&content);
                let (first, second) = spans.into_parts();
                assert_eq!(first.len(), bytes.min(CAPACITY - start));
                assert_eq!(first.len() + second.len(), bytes);
                ring.commit_write(commit);
                let (first, second) = ring.read_buffers();
                assert_eq!([first, second].concat(), content[..commit]);
                assert_eq!(first.len(), commit.min(CAPACITY - start));
                let mut out = vec![0; commit];
                assert!(ring.pop(&mut out));
                assert_eq!(out, content[..commit]);
                assert_eq!(ring.free(), CAPACITY);
            }
        }
    }
}

#[test]
fn a_reservation_in_a_chain_is_one_span() {
    let mut chain = BlockChain::new(200_000, BlockPool::new(0));
    for bytes in [1, 4095, 2, 65_535, 66_000, 3] {
        let (first, second) = chain.allocate_write(bytes).unwrap().into_parts();
        assert_eq!((first.len(), second.len()), (bytes, 0));
        chain.commit_write(bytes);
    }
    let pieces: Vec<_> = chain.pieces().map(<[u8]>::len).collect();
    assert_eq!(pieces, [4096, 2, 65_535, 66_000, 3]);
}

#[test]
fn committed_bytes_stay_in_place_while_a_chain_grows() {
    let mut chain = BlockChain::new(100_000, BlockPool::new(0));
    chain.allocate_write(10).unwrap().copy_from_slice(&[7; 10]);
    chain.commit_write(10);
    let before = chain.read_buffers().0.as_ptr();
    for _ in 0..20 {
        chain.allocate_write(4000).unwrap();
        chain.commit_write(4000);
    }
    assert_eq!(chain.read_buffers().0.as_ptr(), before);
}

#[test]
#[should_panic(expected = "commit of 3 bytes, 0 reserved")]
fn a_reservation_is_committed_once() {
    let mut ring = CircularBuffer::new(8);
    ring.allocate_write(3).unwrap();
    ring.commit_write(3);
    ring.commit_write(3);
}
