//! A planted defect: two threads count in the same place without an order between them, as workers
//! would whose counters were not atomic. `cargo xtask tsan` runs it first: a sanitizer that does
//! not report it proves nothing. Without one, it says so and fails.

use std::cell::UnsafeCell;
use std::process::ExitCode;
use std::thread;

/// A counter that claims what it does not keep.
struct Counter(UnsafeCell<u64>);

// SAFETY: none: it is the defect.
unsafe impl Sync for Counter {}

impl Counter {
    fn add(&self) {
        for _ in 0..10_000 {
            // Nothing orders this with the other thread: it is the defect.
            // SAFETY: none.
            let count = unsafe { self.0.get().read_volatile() };
            // SAFETY: none.
            unsafe { self.0.get().write_volatile(count + 1) };
        }
    }
}

fn main() -> ExitCode {
    let counter = Counter(UnsafeCell::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| counter.add());
        }
    });
    println!(
        "{} of 20000 counted, and nobody minded",
        counter.0.into_inner()
    );
    ExitCode::SUCCESS
}
