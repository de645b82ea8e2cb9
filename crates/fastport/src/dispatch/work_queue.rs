//! What waits for a strand, and whether it is idle, scheduled or blocked: one lock for both.
//!
//! It knows nothing of sessions and runs nothing. Who is told to run must run, or put the strand
//! into the ready queue.

use std::collections::VecDeque;

#[cfg(not(loom))]
use crate::lock::{Mutex, MutexGuard};
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};

/// Work in order, and the strand's state.
#[derive(Debug)]
pub(crate) struct WorkQueue<W> {
    inner: Mutex<Inner<W>>,
}

#[derive(Debug)]
struct Inner<W> {
    queue: VecDeque<W>,
    state: State,
}

/// What the strand is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Nothing is to be done.
    Idle,
    /// In the ready queue, or being run.
    Scheduled,
    /// There is work, and it may not be done yet.
    Blocked,
}

impl<W> Default for WorkQueue<W> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                state: State::Idle,
            }),
        }
    }
}

impl<W> WorkQueue<W> {
    /// Appends work; the `last` work of a strand is done even when it is blocked. True when the
    /// caller must put the strand into the ready queue.
    #[must_use]
    pub(crate) fn push(&self, work: W, last: bool) -> bool {
        let mut inner = self.lock();
        inner.queue.push_back(work);
        let run = inner.state == State::Idle || inner.state == State::Blocked && last;
        if run {
            inner.state = State::Scheduled;
        }
        run
    }

    /// A blocked strand may go on. True when the caller must put it into the ready queue.
    #[must_use]
    pub(crate) fn unblock(&self) -> bool {
        let mut inner = self.lock();
        let run = inner.state == State::Blocked;
        if run {
            inner.state = State::Scheduled;
        }
        run
    }

    /// Takes what there is, to be done now.
    pub(crate) fn take(&self) -> VecDeque<W> {
        std::mem::take(&mut self.lock().queue)
    }

    /// Puts back what was not done and tells what the strand is now. With `blocked` it waits for
    /// [`WorkQueue::unblock`], unless there is work that `is_last`.
    pub(crate) fn end_run(
        &self,
        mut left: VecDeque<W>,
        blocked: bool,
        is_last: impl Fn(&W) -> bool,
    ) -> State {
        let mut inner = self.lock();
        // What came meanwhile goes behind what is left.
        left.append(&mut inner.queue);
        inner.queue = left;
        inner.state = if inner.queue.is_empty() {
            State::Idle
        } else if blocked && !inner.queue.iter().any(is_last) {
            State::Blocked
        } else {
            State::Scheduled
        };
        inner.state
    }

    #[cfg(not(loom))]
    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock()
    }

    #[cfg(loom)]
    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock().expect("no model panics inside the lock")
    }
}

#[cfg(all(test, loom))]
mod models;
