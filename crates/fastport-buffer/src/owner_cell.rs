//! A value that only the thread which made it may touch, wherever the cell itself travels.
//!
//! It is how a session's handle, which any thread may hold, keeps the owning worker's half of the
//! send queue beside the shared half without a lock: one thread-local load and a compare decide
//! which half a caller may use.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next thread identity. Never reused, unlike addresses and operating system ids.
static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// This thread's identity: unique for the life of the process, never 0.
#[inline]
fn current_thread() -> u64 {
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
        }
        thread.get()
    })
}

/// Another identity that its thread can take on, so that one thread plays several in turn: a
/// simulation's workers and event workers. It can not leave the thread that made it, so whatever is
/// owned by it is still touched by one thread alone.
#[derive(Debug)]
pub struct Identity {
    id: u64,
    _of_this_thread: PhantomData<*const ()>,
}

impl Default for Identity {
    /// An identity that no thread has and no other will get.
    fn default() -> Self {
        Self {
            id: NEXT_THREAD.fetch_add(1, Ordering::Relaxed),
            _of_this_thread: PhantomData,
        }
    }
}

impl Identity {
    /// Runs `act` as this identity.
    pub fn assume<R>(&self, act: impl FnOnce() -> R) -> R {
        // Taken back when `act` panics too.
        let _before = Before(THREAD.replace(self.id));
        act()
    }
}

/// The identity that is taken on again when this goes.
struct Before(u64);

impl Drop for Before {
    fn drop(&mut self) {
        THREAD.set(self.0);
    }
}

/// A value owned by the thread that called [`OwnerCell::new`].
pub struct OwnerCell<T> {
    owner: u64,
    borrowed: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: `borrowed` and `value` are touched only in `with` after `owner == current_thread()`, and
// in `drop`, which has the cell exclusively. Thread identities are never reused, so at most one
// thread of the process's life passes the check; an `Identity` is a number of its own that never
// leaves its thread. `T: Send` because the last handle may be dropped
// by another thread. Test: `another_thread_is_refused`.
unsafe impl<T: Send> Sync for OwnerCell<T> {}

impl<T> OwnerCell<T> {
    /// Makes a cell owned by the calling thread.
    pub fn new(value: T) -> Self {
        Self {
            owner: current_thread(),
            borrowed: Cell::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Whether the calling thread owns the value.
    #[inline]
    pub fn is_owner(&self) -> bool {
        self.owner == current_thread()
    }

    /// Runs `act` on the value, or returns `None` when the caller is another thread or is already
    /// inside `with` on this cell.
    #[inline]
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.is_owner() || self.borrowed.replace(true) {
            return None;
        }
        // Clears the mark when `act` panics too.
        let _mark = Unmark(&self.borrowed);
        // SAFETY: only the owning thread gets here, and `borrowed` was false: no other reference to
        // the value exists until `_mark` is dropped. Test: `reentry_is_refused`.
        let value = unsafe { &mut *self.value.get() };
        Some(act(value))
    }
}

struct Unmark<'a>(&'a Cell<bool>);

impl Drop for Unmark<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<T> fmt::Debug for OwnerCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerCell")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn another_thread_is_refused() {
        let cell = Arc::new(OwnerCell::new(5));
        let there = cell.clone();
        let refused = std::thread::spawn(move || there.with(|_| ()).is_none() && !there.is_owner());
        assert!(refused.join().unwrap());
        assert_eq!(cell.with(|value| *value), Some(5));
    }

    #[test]
    fn another_identity_is_refused_as_another_thread_is() {
        let cell = OwnerCell::new(5);
        let other = Identity::default();
        assert!(other.assume(|| cell.with(|_| ()).is_none() && !cell.is_owner()));
        let its = other.assume(|| OwnerCell::new(6));
        assert!(its.with(|_| ()).is_none());
        assert_eq!(other.assume(|| its.with(|value| *value)), Some(6));
        let outcome = std::panic::catch_unwind(|| Identity::default().assume(|| panic!("inside")));
        assert!(outcome.is_err());
        assert_eq!(cell.with(|value| *value), Some(5));
    }

    #[test]
    fn reentry_is_refused() {
        let cell = OwnerCell::new(1);
        assert_eq!(cell.with(|_| cell.with(|_| ())), Some(None));
        assert_eq!(cell.with(|value| *value), Some(1));
    }

    #[test]
    fn a_panic_inside_releases_the_value() {
        let cell = OwnerCell::new(1);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cell.with(|_| panic!("inside"))
        }));
        assert!(outcome.is_err());
        assert_eq!(cell.with(|value| *value), Some(1));
    }
}
