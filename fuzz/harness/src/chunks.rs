//! Lent receive memory against a model of who has which buffer and what it must show: any
//! operations in any order. The model is that of the property test of `fastport-buffer`.

use crate::chunks_model::{BYTES, Harness, Index, Operation};
use crate::input::Input;

/// More operations than that find nothing that fewer do not.
const OPERATIONS_MAX: usize = 120;

/// Input: how many buffers, then operations.
///
/// # Panics
/// When the store and the model differ, or a view shows what it should not.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut harness = Harness::new(1 + u16::from(input.byte() % 4));
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        harness.apply(&operation(&mut input));
        harness.compare();
    }
    harness.finish();
}

fn operation(input: &mut Input<'_>) -> Operation {
    let what = input.byte();
    let mut at = || Index(u16::from(input.byte()));
    match what {
        // A thread costs as much as thousands of the others.
        0 => Operation::DropElsewhere(at()),
        _ => match what % 14 {
            0..=3 => Operation::Acquire,
            4 => Operation::Release(at()),
            5 | 6 => {
                let held = at();
                Operation::Lend(held, usize::from(at().0) % (BYTES + 1))
            }
            7 | 8 => Operation::Split(at(), at(), at()),
            9 => Operation::Advance(at(), at()),
            10 => Operation::Extend(at(), at()),
            11 => Operation::Recycle(at()),
            12 => Operation::Drop(at()),
            _ if what > 128 => Operation::Copy(at()),
            _ => Operation::Collect,
        },
    }
}
