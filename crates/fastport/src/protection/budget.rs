//! How many bytes may wait for peers in the whole service.
//!
//! Half of the limit is shared out evenly: so much any session may queue, whatever the others do.
//! The other half is for whoever needs more, while there is some: a session that is past its share
//! when there is none is closed. So peers that do not read can not take the memory of those that
//! do, and the sum has a bound: the limit, plus one frame a session.
//!
//! A worker counts what changed in its turn and publishes it at the turn's end. What a thread
//! queues for its own sessions past their shares within one turn is counted at once.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that wait, and how many may.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Past their shares sessions are refused at so many; `usize::MAX` is no limit.
    threshold: usize,
    share: usize,
    queued: AtomicUsize,
}

thread_local! {
    /// What this worker queued past shares since its turn began.
    static UNPUBLISHED: Cell<usize> = const { Cell::new(0) };
}

impl Budget {
    /// At most `limit` bytes for `sessions` sessions; 0 is no limit.
    pub(crate) fn new(limit: usize, sessions: usize) -> Self {
        let (threshold, share) = if limit == 0 {
            (usize::MAX, usize::MAX)
        } else {
            (limit / 2, limit / 2 / sessions.max(1))
        };
        Self {
            threshold,
            share,
            queued: AtomicUsize::new(0),
        }
    }

    /// So many bytes any session may have waiting.
    pub(crate) const fn share(&self) -> usize {
        self.share
    }

    /// Whether a session that has `queued` bytes waiting may have `bytes` more. Any thread.
    #[inline]
    pub(crate) fn admits(&self, queued: usize, bytes: usize) -> bool {
        queued.saturating_add(bytes) <= self.share || queued == 0 || self.has_room(bytes)
    }

    #[cold]
    fn has_room(&self, bytes: usize) -> bool {
        let published = self.queued.load(Ordering::Relaxed);
        let all = published.saturating_add(UNPUBLISHED.get());
        all.saturating_add(bytes) <= self.threshold
    }

    /// Notes what the owner queued for a session that then has `queued` bytes waiting.
    #[inline]
    pub(crate) fn note(&self, queued: usize, bytes: usize) {
        if queued > self.share {
            UNPUBLISHED.set(UNPUBLISHED.get().saturating_add(bytes));
        }
    }

    /// Adds what changed in a worker's turn. On its thread, at the turn's end.
    #[inline]
    pub(crate) fn publish(&self, change: isize) {
        UNPUBLISHED.set(0);
        if change != 0 {
            // Wraps as the sum of all changes does not.
            self.queued
                .fetch_add(change.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Whether nine tenths of what is there to be shared are taken: no time for newcomers.
    pub(crate) fn is_nearly_spent(&self) -> bool {
        self.queued() >= self.threshold - self.threshold / 10
    }

    /// Bytes that wait, as of the workers' last turns.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_refused_and_more_is_while_there_is_some() {
        let budget = Budget::new(2000, 10);
        assert!(budget.admits(50, 50), "its share");
        assert!(budget.admits(50, 51), "more, since there is some");
        budget.publish(990);
        assert!(budget.is_nearly_spent());
        assert!(budget.admits(90, 10), "a share is kept for it");
        assert!(!budget.admits(90, 11));
        assert!(budget.admits(0, 500), "a frame for an empty queue");
        budget.publish(-980);
        assert!(budget.admits(90, 11));
        assert!(!budget.is_nearly_spent());
    }

    #[test]
    fn one_turn_can_not_queue_past_the_limit() {
        let budget = Budget::new(2000, 10);
        let mut taken = 0;
        for _ in 0..1000 {
            if budget.admits(150, 10) {
                budget.note(160, 10);
                taken += 10;
            }
        }
        assert_eq!(taken, 1000);
        budget.publish(1000);
        assert_eq!(budget.queued(), 1000);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let budget = Budget::new(0, 10);
        budget.publish(isize::MAX);
        assert!(budget.admits(usize::MAX / 2, 1 << 30));
        assert!(!budget.is_nearly_spent());
    }
}
