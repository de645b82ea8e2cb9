//! Ending: of one key, and of the engine.
//!
//! Operations are cancelled, their packets awaited, and only then is the socket closed and, when
//! `Closed` is reported, the slot freed: a socket that is closed while operations are outstanding
//! still has their packets come, to memory that must be there.

use super::slots::Role;
use super::{IocpEngine, winsock};
use crate::{CloseMode, Drained, Engine, Key, Op, Wait};
use socket2::SockRef;
use std::time::{Duration, Instant};

/// How long an engine that is dropped without a drain waits for the kernel.
pub(super) const DROP_PATIENCE: Duration = Duration::from_millis(200);

/// How long cancelled operations may take to end before their socket is closed under them.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

impl IocpEngine {
    /// See [`Engine::close`].
    pub(super) fn start_close(&mut self, key: Key, mode: CloseMode) {
        let slot = self.memory.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        if let (CloseMode::Abort, Some(socket)) = (mode, &slot.socket) {
            // If it is refused the peer sees FIN, not RST; the close goes on.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        if slot.in_flight.any()
            && let Some(socket) = &slot.socket
            && let Err(error) = winsock::cancel_all(socket)
        {
            // A provider that can not cancel ends them when the socket is closed.
            tracing::debug!(%error, "cannot cancel; closing the socket");
            slot.socket = None;
        }
        if slot.in_flight.close() {
            self.finish_close(key);
        } else {
            self.closing.push_back((self.now + CANCEL_PATIENCE, key));
        }
    }

    /// Closes the sockets of keys whose operations did not end when they were asked to, which ends
    /// what a cancel does not. When the next key is due.
    pub(super) fn close_under_operations(&mut self) -> Option<Instant> {
        while let Some((at, key)) = self.closing.front().copied() {
            let slots = &mut self.memory.slots;
            // Nearly always it has ended long ago.
            let Some(slot) = slots.find(key).filter(|slot| slot.in_flight.any()) else {
                self.closing.pop_front();
                continue;
            };
            if at > self.now {
                return Some(at);
            }
            slot.socket = None;
            self.closing.pop_front();
            tracing::debug!(?key, "cancelled operations did not end; closed the socket");
        }
        None
    }

    /// Notes the final packet of an operation, and ends the close that waited for it.
    pub(super) fn finish(&mut self, key: Key, op: Op) {
        self.operations -= 1;
        let slot = self.memory.slots.find(key);
        if slot.is_some_and(|slot| slot.in_flight.finish(op)) {
            self.finish_close(key);
        }
    }

    /// The kernel holds nothing of the key: closes the socket and frees the batch.
    pub(super) fn finish_close(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        slot.sending = None;
        slot.socket = None;
        slot.role = Role::Session;
        self.closed_since = true;
        self.enqueue(key);
    }

    /// Closes every key and waits until the kernel holds nothing, or the deadline. Only in the
    /// first case may the memory be freed.
    pub(super) fn wind_down(&mut self, deadline: Instant) -> Drained {
        self.drained = true;
        for key in self.memory.slots.keys() {
            self.start_close(key, CloseMode::Orderly);
        }
        // One look at least, however late it is.
        let mut wait = Wait::Poll;
        loop {
            let outcome = self.submit_and_wait(wait);
            while self.next_event().is_some() {}
            let operations = self.operations;
            if operations == 0 {
                self.memory.release();
                return Drained::Clean;
            }
            if outcome.is_err() || self.now >= deadline {
                tracing::warn!(operations, "overlapped operations did not end; leaked");
                return Drained::Leaked { operations };
            }
            wait = Wait::Until(deadline);
        }
    }
}
