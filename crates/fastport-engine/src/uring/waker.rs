//! Wake-ups from other threads: an eventfd, and the read of it that the worker keeps armed.
//!
//! The descriptor is shared, so a waker that outlives its engine writes to an eventfd that nobody
//! reads: harmless, and never to a reused number.

use super::ops;
use super::ring::Ring;
use crate::Wake;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

/// Wakes a worker that uses io_uring.
#[derive(Clone, Debug)]
pub struct UringWaker {
    event: Arc<File>,
}

impl UringWaker {
    /// Makes the eventfd, non-blocking and close-on-exec.
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self {
            event: Arc::new(File::from(event)),
        })
    }
}

impl Wake for UringWaker {
    fn wake(&self) {
        // It fails only when 2^64 - 1 wake-ups are unread (EAGAIN), and then the worker is being
        // woken.
        let _ = (&*self.event).write(&1u64.to_ne_bytes());
    }
}

/// The worker's end: a read of the counter, armed whenever the worker may sleep.
pub(super) struct WakeRead {
    waker: UringWaker,
    /// Where the kernel writes; owned by it while `armed`.
    counter: Box<u64>,
    armed: bool,
    /// The engine is being drained: the read is not armed again.
    ended: bool,
}

impl WakeRead {
    pub(super) fn new(waker: UringWaker) -> Self {
        Self {
            waker,
            counter: Box::new(0),
            armed: false,
            ended: false,
        }
    }

    pub(super) fn waker(&self) -> UringWaker {
        self.waker.clone()
    }

    /// Whether the kernel holds the counter.
    pub(super) const fn is_armed(&self) -> bool {
        self.armed
    }

    /// Queues the read unless it is armed.
    pub(super) fn arm(&mut self, ring: &mut Ring) {
        if self.armed || self.ended {
            return;
        }
        self.armed = true;
        let entry = ops::wake_read(&*self.waker.event, &raw mut *self.counter);
        // SAFETY: the counter is boxed, and freed only when it is not armed or leaked otherwise
        // (`KernelMemory`); the eventfd is open as long as `self.waker`.
        unsafe { ring.push(entry) };
    }

    /// The read completed.
    pub(super) const fn completed(&mut self) {
        self.armed = false;
    }

    /// Cancels the read for good.
    pub(super) fn end(&mut self, ring: &mut Ring) {
        if self.armed && !self.ended {
            // SAFETY: a cancel names no memory.
            unsafe { ring.push(ops::cancel(ops::wake_identity())) };
        }
        self.ended = true;
    }
}
