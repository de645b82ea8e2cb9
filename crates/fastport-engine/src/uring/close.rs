//! Ending: of one key, and of the engine.
//!
//! close(2) ends no operation: the kernel holds the file and goes on receiving
//! (io_uring_cancelation(7)). So operations are cancelled by their identity, their own final
//! completions are awaited, and only then is the descriptor closed and, when `Closed` is reported,
//! the slot freed. What is in the ring's table is closed by an operation as well, and `Closed`
//! waits for that: until then the key's place is not free.

use super::UringEngine;
use super::ops;
use crate::{CloseMode, Drained, Engine, Key, Op, Wait};
use fastport_buffer::SendBatch;
use socket2::SockRef;
use std::net::Shutdown;
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
        // If it is refused the peer sees FIN, not RST; the close goes on.
        if mode == CloseMode::Abort {
            if let Some(place) = slot.direct(key) {
                // SAFETY: the option's value is never freed.
                unsafe { self.ring.push(ops::reset_on_close(place)) };
            } else if let Some(socket) = &slot.socket {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
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
        slot.sending = SendBatch::default();
        slot.socket = None;
        slot.role = None;
        if let Some(place) = slot.direct(key) {
            self.operations += 1;
            // SAFETY: it names no memory.
            unsafe { self.ring.push(ops::close_place(place, key)) };
            return;
        }
        self.notices.push_back(key);
        self.retry_accepts = !self.paused_listeners.is_empty();
    }

    /// The completion of the close of a direct descriptor.
    pub(super) fn on_place_closed(&mut self, partial: Key) {
        self.operations -= 1;
        let key = self.memory.slots.whole(partial);
        debug_assert!(key.is_some(), "a slot was freed before its place was empty");
        let Some(key) = key else { return };
        if let Some(slot) = self.memory.slots.find(key) {
            slot.leave_table();
        }
        self.notices.push_back(key);
        self.retry_accepts = !self.paused_listeners.is_empty();
    }

    /// See [`Engine::shutdown_write`].
    pub(super) fn start_shutdown(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        if !slot.in_flight.is_open() {
            return;
        }
        if let Some(place) = slot.direct(key) {
            if !slot.in_flight.has(Op::Shutdown) {
                slot.in_flight.begin(Op::Shutdown);
                self.operations += 1;
                // SAFETY: it names no memory.
                unsafe { self.ring.push(ops::shutdown(place, key)) };
            }
        } else if let Some(socket) = &slot.socket {
            // shutdown(2) and not OP_SHUTDOWN, which the kernel hands to a thread. ENOTCONN after a
            // reset is no error here: the receive tells of the reset.
            let _ = SockRef::from(socket).shutdown(Shutdown::Write);
        }
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
