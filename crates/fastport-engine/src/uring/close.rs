//! Ending: of one key, and of the engine.
//!
//! close(2) ends no operation: the kernel holds the file and goes on receiving
//! (io_uring_cancelation(7)). So operations are cancelled by their identity, their own final
//! completions are awaited, and only then is the descriptor closed and, when `Closed` is reported,
//! the slot freed.

use super::UringEngine;
use super::ops;
use crate::{CloseMode, Drained, Engine, Key, Op, Wait};
use socket2::SockRef;
use std::time::{Duration, Instant};

/// How long an engine that is dropped without a drain waits for the kernel.
pub(super) const DROP_PATIENCE: Duration = Duration::from_millis(200);

impl UringEngine {
    /// See [`Engine::close`].
    pub(super) fn start_close(&mut self, key: Key, mode: CloseMode) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        if !slot.in_flight.is_open() {
            return;
        }
        if let (CloseMode::Abort, Some(socket)) = (mode, &slot.socket) {
            // If it is refused the peer sees FIN, not RST; the close goes on.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        for op in [Op::Accept, Op::Connect, Op::Recv, Op::Send] {
            if slot.in_flight.has(op) {
                // SAFETY: a cancel names no memory.
                unsafe { self.ring.push(ops::cancel(key.user_data(op))) };
            }
        }
        if slot.in_flight.close() {
            self.finish_close(key);
        }
    }

    /// The kernel holds nothing of the key: closes the descriptor and frees the batch.
    pub(super) fn finish_close(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        slot.sending = None;
        slot.socket = None;
        slot.role = None;
        self.notices.push_back(key);
        self.retry_accepts = !self.paused_listeners.is_empty();
    }

    /// Closes every key and waits until the kernel holds nothing, or the deadline. Only in the
    /// first case may the memory be freed.
    pub(super) fn wind_down(&mut self, deadline: Instant) -> Drained {
        self.drained = true;
        for key in self.memory.slots.keys() {
            self.start_close(key, CloseMode::Orderly);
        }
        self.memory.wake_read.end(&mut self.ring);
        // One look at least, however late it is.
        let mut wait = Wait::Poll;
        loop {
            let outcome = self.submit_and_wait(wait);
            while self.next_event().is_some() {}
            let held = self.operations + usize::from(self.memory.wake_read.is_armed());
            if held == 0 {
                self.memory.release();
                return Drained::Clean;
            }
            if outcome.is_err() || Instant::now() >= deadline {
                tracing::warn!(operations = held, "io_uring operations did not end; leaked");
                return Drained::Leaked { operations: held };
            }
            wait = Wait::Until(deadline);
        }
    }
}
