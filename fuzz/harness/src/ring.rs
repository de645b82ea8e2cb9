//! The byte rings against a naive queue: any operations in any order. The model is that of the
//! property tests of `fastport-buffer`.

use crate::input::Input;
use crate::ring_model::{Harness, Operation};
use fastport_buffer::{BlockChain, BlockPool, CircularBuffer, RingBuffer};

/// More operations than that find nothing that fewer do not.
const OPERATIONS_MAX: usize = 100;

/// Input: which ring and how large, then operations: what, and how much of the ring twice.
///
/// # Panics
/// When the ring and the queue differ.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (kind, size) = (input.byte(), usize::from(input.pair()));
    if kind & 1 == 0 {
        let check = |ring: &CircularBuffer| {
            ring.check_invariants();
            let (first, second) = ring.read_buffers();
            assert_eq!(first.len() + second.len(), ring.len());
        };
        let capacity = size % 70;
        Harness::new(CircularBuffer::new(capacity), capacity, check).run(operations(input));
    } else {
        let check = |chain: &BlockChain| {
            chain.check_invariants();
            assert_eq!(chain.pieces().map(<[u8]>::len).sum::<usize>(), chain.len());
        };
        // Around the sizes of blocks; a pool that keeps nothing, little and everything.
        let capacity = [size % 70, 4000 + size % 200, size % 20_000][usize::from(kind >> 1) % 3];
        let spare = [0, 5000, usize::MAX][usize::from(kind >> 4) % 3];
        let chain = BlockChain::new(capacity, BlockPool::new(spare));
        Harness::new(chain, capacity, check).run(operations(input));
    }
}

fn operations(mut input: Input<'_>) -> impl Iterator<Item = Operation> {
    let next = move || {
        if input.is_empty() {
            return None;
        }
        // A little more than everything is asked for too.
        let what = input.byte();
        let first = u16::from(input.byte()) + u16::from(what >> 6);
        let operation = match what % 7 {
            0 | 1 => Operation::Write {
                reserve: first,
                commit: u16::from(input.byte()) + 1,
            },
            2 => Operation::Abandon { reserve: first },
            3 => Operation::ConsumeBeforeCommit {
                reserve: first,
                consume: u16::from(input.byte()),
            },
            4 => Operation::Consume(first),
            5 => Operation::Peek(first),
            _ => Operation::Pop(first),
        };
        Some(operation)
    };
    std::iter::from_fn(next).take(OPERATIONS_MAX)
}
