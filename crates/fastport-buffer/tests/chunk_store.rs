//! The chunk store against a model that knows for each buffer who has it and how many views there
//! are.
#![cfg(not(loom))]

#[path = "chunk_store/model.rs"]
mod model;

use model::{BYTES, Harness, Index, Operation};
use proptest::collection::vec;
use proptest::prelude::*;

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let at = || any::<u16>().prop_map(Index);
    let operation = prop_oneof![
        4 => Just(Operation::Acquire),
        1 => at().prop_map(Operation::Release),
        4 => (at(), 0..=BYTES).prop_map(|(held, bytes)| Operation::Lend(held, bytes)),
        3 => (at(), at(), at()).prop_map(|(view, a, b)| Operation::Split(view, a, b)),
        1 => (at(), at()).prop_map(|(view, bytes)| Operation::Advance(view, bytes)),
        2 => (at(), at()).prop_map(|(view, next)| Operation::Extend(view, next)),
        2 => at().prop_map(Operation::Recycle),
        1 => at().prop_map(Operation::Drop),
        1 => at().prop_map(Operation::DropElsewhere),
        1 => at().prop_map(Operation::Copy),
        1 => Just(Operation::Collect),
    ];
    vec(operation, 0..120)
}

proptest! {
    #[test]
    fn every_buffer_is_where_the_model_says(count in 1..5u16, operations in operations()) {
        let mut harness = Harness::new(count);
        for operation in operations {
            harness.apply(&operation);
            harness.compare();
        }
        harness.finish();
    }
}
