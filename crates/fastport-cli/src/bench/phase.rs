//! A barrier at the end of a phase: the runner waits until the last participant has left.
//!
//! Participants leave on the I/O threads, the runner's thread waits.

use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Who is not through with the present phase.
#[derive(Default)]
pub(crate) struct Phase {
    active: CachePadded<AtomicUsize>,
    ended: (Mutex<()>, Condvar),
}

impl Phase {
    /// Begins a phase of so many participants; each must leave it once.
    pub(crate) fn begin(&self, participants: usize) {
        self.active.store(participants, Ordering::Release);
    }

    /// One participant is through.
    #[cold]
    pub(crate) fn leave(&self) {
        if self.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Under the lock, or the notice could fall between the waiter's look and its wait.
            let _guard = self.ended.0.lock();
            self.ended.1.notify_all();
        }
    }

    /// Blocks until the phase has ended, no longer than `limit`. True when it has.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let (lock, ended) = &self.ended;
        let mut guard = lock.lock();
        if self.active.load(Ordering::Acquire) > 0 {
            ended.wait_for(&mut guard, limit);
        }
        self.active.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_ends_with_its_last_participant() {
        let phase = Phase::default();
        phase.begin(2);
        phase.leave();
        assert!(!phase.wait(Duration::ZERO));
        phase.leave();
        assert!(phase.wait(Duration::from_secs(60)));
    }
}
