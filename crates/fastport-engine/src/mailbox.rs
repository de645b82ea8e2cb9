//! Work for a worker from other threads, and the protocol by which it may sleep.
//!
//! Whoever posts looks at `parked` after the entry is in; the worker sets `parked` before it looks
//! at the queue for the last time. Every access to the flag is a read-modify-write, so the two can
//! not pass each other: with plain stores the wake-up is lost (Dekker), as `mailbox/models.rs`
//! shows.
//!
//! ```text
//!   poster                             worker
//!     push(work)                         park: parked.swap(true)
//!     if parked.swap(false) { wake }     if queue is empty { wait in the kernel } else { do not }
//!                                        unpark: parked.swap(false)
//! ```
//!
//! The same flag orders the mailbox's end: the worker closes, touches the flag, and takes what is
//! left; a poster whose entry came too late to be taken finds the mailbox closed behind its own
//! touch of the flag, and empties it. So nothing stays in a mailbox that nobody reads, where an
//! entry that holds its own mailbox would keep both for ever.

use crate::Wake;
use crossbeam_queue::SegQueue;
use std::fmt;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a worker sleeps, or is about to, and whether it still reads.
#[derive(Debug)]
pub struct Parking {
    parked: AtomicBool,
    closed: AtomicBool,
}

impl Default for Parking {
    fn default() -> Self {
        Self {
            parked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }
}

impl Parking {
    /// The worker is about to look at its queue for the last time before it waits.
    pub fn park(&self) {
        self.parked.swap(true, Ordering::AcqRel);
    }

    /// The worker is awake.
    pub fn unpark(&self) {
        self.parked.swap(false, Ordering::AcqRel);
    }

    /// Called by a poster after its entry is in: true for exactly one poster per sleep, who must
    /// wake.
    #[must_use]
    pub fn take(&self) -> bool {
        self.parked.swap(false, Ordering::AcqRel)
    }

    /// The worker reads no more; it takes what is there after this for the last time.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // Whoever touches the flag after this sees the store; of whoever did before, the entry is
        // seen here.
        self.parked.swap(false, Ordering::AcqRel);
    }

    /// Called by a poster after [`Parking::take`]: true when the worker may have missed the entry.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// A worker's queue of `T` from other threads. Unbounded: whoever posts bounds what it posts.
pub struct Mailbox<T> {
    queue: SegQueue<T>,
    parking: Parking,
    waker: Box<dyn Wake>,
}

impl<T> Mailbox<T> {
    /// Makes an empty mailbox whose worker is woken by `waker`.
    #[must_use]
    pub fn new(waker: impl Wake) -> Self {
        Self {
            queue: SegQueue::new(),
            parking: Parking::default(),
            waker: Box::new(waker),
        }
    }

    /// Puts work in and wakes the worker if it sleeps. Any thread; does not block. Work for a
    /// closed mailbox is dropped.
    pub fn post(&self, work: T) {
        self.queue.push(work);
        self.wake();
        if self.parking.is_closed() {
            self.clear();
        }
    }

    /// The worker reads no more: what is in the mailbox is dropped, and so is what comes.
    pub fn close(&self) {
        self.parking.close();
        self.clear();
    }

    fn clear(&self) {
        while self.queue.pop().is_some() {}
    }

    /// Wakes the worker if it sleeps, for work that lies elsewhere.
    pub fn wake(&self) {
        if self.parking.take() {
            self.waker.wake();
        }
    }

    /// Entries that were not taken yet, as of a moment ago. Any thread.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are none, likewise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The worker takes the oldest entry.
    #[inline]
    pub fn take(&self) -> Option<T> {
        // A pop has a fence, and most looks find nothing.
        if self.queue.is_empty() {
            return None;
        }
        self.queue.pop()
    }

    /// The worker announces that it will wait. True when it may: nothing is in the queue. After the
    /// wait, or when this was false, [`Mailbox::unpark`] must be called.
    #[must_use]
    pub fn park(&self) -> bool {
        self.parking.park();
        self.queue.is_empty()
    }

    /// The worker is awake again.
    pub fn unpark(&self) {
        self.parking.unpark();
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("entries", &self.queue.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod models;
