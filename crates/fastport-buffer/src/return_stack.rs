//! A stack of buffer ids that any thread pushes to and one owner takes all at once.
//!
//! It allocates nothing after it is made. Push never reads through a node and take is one swap, so
//! there is no ABA problem: a head that was taken and pushed again is the same list or an emptier
//! one.
//!
//! ```text
//!   head -> 7 -> 2 -> 5 -> NONE          next[7] = 2, next[2] = 5, next[5] = NONE
//! ```

use crate::sync::{AtomicU32, Ordering};

/// Ends a list; no id may have this value.
const NONE: u32 = u32::MAX;

/// A take-all stack of ids `0..capacity`; each id may be in it at most once.
#[derive(Debug)]
pub struct ReturnStack {
    head: AtomicU32,
    next: Box<[AtomicU32]>,
}

impl ReturnStack {
    /// Makes an empty stack for the ids `0..capacity`.
    #[must_use]
    pub fn new(capacity: u16) -> Self {
        Self {
            head: AtomicU32::new(NONE),
            next: (0..capacity).map(|_| AtomicU32::new(NONE)).collect(),
        }
    }

    /// Puts `id` on the stack. Any thread; never blocks; never allocates.
    ///
    /// What the caller wrote before is visible to the owner that takes the id (release, acquire).
    ///
    /// # Panics
    /// When `id` is not below the capacity.
    pub fn push(&self, id: u16) {
        let node = &self.next[usize::from(id)];
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            node.store(head, Ordering::Relaxed);
            // Release publishes both `node` and the caller's last use of the buffer.
            match self.head.compare_exchange_weak(
                head,
                u32::from(id),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Whether there was nothing to take a moment ago.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == NONE
    }

    /// Takes every id, newest first. One thread at a time: the owner.
    pub fn take(&self, mut returned: impl FnMut(u16)) {
        if self.is_empty() {
            return;
        }
        let mut id = self.head.swap(NONE, Ordering::Acquire);
        while id != NONE {
            // Read the link before the id is published again: its next push overwrites it.
            let next = self.next[id as usize].load(Ordering::Relaxed);
            returned(u16::try_from(id).unwrap_or(u16::MAX));
            id = next;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn takes_what_was_pushed_newest_first() {
        let stack = ReturnStack::new(8);
        for id in [3, 0, 7] {
            stack.push(id);
        }
        let mut seen = Vec::new();
        stack.take(|id| seen.push(id));
        assert_eq!(seen, [7, 0, 3]);
        stack.take(|_| panic!("taken twice"));
        assert!(stack.is_empty());
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::{cell::UnsafeCell, sync::Arc, thread};
    use std::sync::atomic::AtomicUsize;

    struct Shared {
        stack: ReturnStack,
        memory: Vec<UnsafeCell<u32>>,
    }
    // SAFETY: each cell is written only by the thread that holds its id; loom checks just that.
    unsafe impl Sync for Shared {}
    // SAFETY: as above.
    unsafe impl Send for Shared {}

    impl Shared {
        fn touch(&self, id: u16) {
            self.memory[usize::from(id)].with_mut(|cell| {
                // SAFETY: the id is held by this thread alone; loom fails the model otherwise.
                unsafe { *cell += 1 }
            });
        }

        fn push(&self, id: u16) {
            self.touch(id);
            self.stack.push(id);
        }

        /// Takes all and writes to it at once: loom reports a race if the hand-off is unordered.
        fn take(&self, seen: &mut [u32; 3]) {
            self.stack.take(|id| {
                seen[usize::from(id)] += 1;
                self.touch(id);
            });
        }
    }

    /// Mutants that fail here: `Relaxed` for the exchange in `push`, `Relaxed` for the swap in
    /// `take`.
    ///
    /// The owner is spawned last, so that the pushes come first by default. Loom remembers one
    /// access to an atomic only: with the owner first it takes `push`'s own load for the last
    /// access, never tries to let the pushes overtake the owner's look, and every mutant passes.
    /// The count at the end makes sure that the look did meet returned ids.
    #[test]
    fn a_taken_id_belongs_to_the_owner() {
        static TAKEN_EARLY: AtomicUsize = AtomicUsize::new(0);
        loom::model(|| {
            let shared = Arc::new(Shared {
                stack: ReturnStack::new(3),
                memory: (0..3).map(|_| UnsafeCell::new(0)).collect(),
            });
            let (there, owner) = (shared.clone(), shared.clone());
            let pusher = thread::spawn(move || there.push(1));
            let owner = thread::spawn(move || {
                let mut seen = [0; 3];
                owner.take(&mut seen);
                TAKEN_EARLY.fetch_add(usize::from(seen != [0; 3]), Ordering::Relaxed);
                seen
            });
            shared.push(0);
            shared.push(2);
            pusher.join().unwrap();
            let mut seen = owner.join().unwrap();
            shared.take(&mut seen);
            assert_eq!(seen, [1, 1, 1]);
        });
        assert!(TAKEN_EARLY.load(Ordering::Relaxed) > 0);
    }

    /// An id goes round while another thread pushes: the list must never lose or double one.
    ///
    /// The mutant that fails here: the link read after `returned`, which may push the id again.
    #[test]
    fn an_id_may_be_pushed_again_while_it_is_taken() {
        loom::model(|| {
            let shared = Arc::new(Shared {
                stack: ReturnStack::new(3),
                memory: (0..3).map(|_| UnsafeCell::new(0)).collect(),
            });
            let there = shared.clone();
            shared.push(0);
            shared.push(1);
            let owner = thread::spawn(move || {
                let mut seen = [0; 3];
                let mut again = true;
                there.stack.take(|id| {
                    if std::mem::take(&mut again) {
                        there.push(id);
                    } else {
                        there.touch(id);
                        seen[usize::from(id)] += 1;
                    }
                });
                seen
            });
            shared.push(2);
            let mut seen = owner.join().unwrap();
            shared.take(&mut seen);
            assert_eq!(seen, [1, 1, 1]);
        });
    }
}
