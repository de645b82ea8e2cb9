//! The worker's list of sessions to look at before its turn ends.
//!
//! Thread-local, so that a handle that sends on its owner's thread finds it without a pointer to
//! the worker. A session is on it at most once: its `attention` flag says so.

use fastport_engine::Key;
use std::cell::RefCell;

thread_local! {
    static LIST: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

/// Puts a session on the list of this thread's worker.
#[inline]
pub(crate) fn list(key: Key) {
    LIST.with(|list| list.borrow_mut().push(key));
}

/// Frees the memory of an empty list.
#[cfg(feature = "simulation")]
pub(crate) fn release_spares() {
    LIST.with(|list| list.borrow_mut().shrink_to_fit());
}

/// Swaps the list with an empty `other`. True when there is anything in it.
pub(crate) fn take(other: &mut Vec<Key>) -> bool {
    LIST.with(|list| std::mem::swap(&mut *list.borrow_mut(), other));
    !other.is_empty()
}
