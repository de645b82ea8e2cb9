//! Both rings against a naive queue of bytes: any operations in any order, and every offset of a
//! wrap.
#![cfg(not(loom))]

#[path = "oracle/model.rs"]
mod model;

use fastport_buffer::{BlockChain, BlockPool, CircularBuffer, RingBuffer};
use model::{Harness, Operation};
use proptest::collection::vec;
use proptest::prelude::*;

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
