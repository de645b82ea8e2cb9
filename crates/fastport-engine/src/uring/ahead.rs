//! Whose completions come next, and their slots fetched before they are needed.
//!
//! Owns no state: the ring has the completions. It must not act on one that is not due.

use super::UringEngine;
use crate::Key;

/// The slot of so many completions ahead is fetched.
const FETCHED_AHEAD: usize = 4;
/// So many slots are in the nearer caches anyway.
const SLOTS_NEAR: usize = 256;

impl UringEngine {
    /// Has the slot of a completion that comes soon fetched.
    #[inline]
    pub(super) fn fetch_ahead(&self) {
        let slots = &self.memory.slots;
        if slots.open() > SLOTS_NEAR
            && let Some(index) = self.index_ahead(FETCHED_AHEAD)
        {
            slots.prefetch(index);
        }
    }

    /// See [`Engine::upcoming`](crate::Engine::upcoming).
    #[inline]
    pub(super) fn index_ahead(&self, ahead: usize) -> Option<usize> {
        let (_, key) = Key::from_user_data(self.ring.upcoming(ahead)?)?;
        Some(key.index())
    }
}
