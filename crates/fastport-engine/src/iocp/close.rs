//! Ending: of one key, and of the engine.
//!
//! Operations are cancelled, their packets awaited, and only then is the socket closed and, when
//! `Closed` is reported, the slot freed: a socket that is closed while operations are outstanding
//! still has their packets come, to memory that must be there.

use super::slots::{Role, Slot};
use super::{IocpEngine, winsock};
use crate::{CloseMode, Drained, Engine, Key, Op, Wait};
use socket2::SockRef;
use std::time::{Duration, Instant};

/// How long an engine that is dropped without a drain waits for the kernel.
pub(super) const DROP_PATIENCE: Duration = Duration::from_millis(200);

/// When operations that were cancelled and have not ended are cancelled again: Wine's cancel passes
/// over one that is being tried again at that moment, and says nothing of it.
const CANCEL_AGAIN: Duration = Duration::from_millis(20);
/// Cancels, within a second, before the socket is closed under the operations.
const CANCELS_MAX: u32 = 50;

/// A close that waits for the operations of its key.
pub(super) struct Closing {
    key: Key,
    cancels: u32,
    /// When they are asked to end once more.
    next: Instant,
}

impl Slot {
    /// Asks everything that is outstanding to end.
    fn cancel(&mut self) {
        if let Some(socket) = &self.socket
            && let Err(error) = winsock::cancel_all(socket)
        {
            // A provider that can not cancel ends them when the socket is closed.
            tracing::debug!(%error, "cannot cancel; closing the socket");
            self.socket = None;
        }
    }
}

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
        if slot.in_flight.any() {
            slot.cancel();
        }
        if slot.in_flight.close() {
            self.finish_close(key);
        } else {
            self.closing.push_back(Closing {
                key,
                cancels: 1,
                next: self.now + CANCEL_AGAIN,
            });
        }
    }

    /// Asks operations again that did not end when they were asked to, and at last closes their
    /// sockets, which ends what no cancel does. When the next key is due.
    pub(super) fn press_closes(&mut self) -> Option<Instant> {
        while let Some(mut closing) = self.closing.pop_front() {
            let slot = self.memory.slots.find(closing.key);
            // Nearly always they have ended long ago. Without a socket nothing is left to ask.
            let Some(slot) = slot.filter(|slot| slot.in_flight.any() && slot.socket.is_some())
            else {
                continue;
            };
            if closing.next > self.now {
                let next = closing.next;
                self.closing.push_front(closing);
                return Some(next);
            }
            if closing.cancels == CANCELS_MAX {
                slot.socket = None;
                let key = closing.key;
                tracing::debug!(?key, "cancelled operations did not end; closed the socket");
                continue;
            }
            slot.cancel();
            closing.cancels += 1;
            closing.next = self.now + CANCEL_AGAIN;
            self.closing.push_back(closing);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iocp::send::tests::batch;
    use crate::{EngineConfig, Event, SocketOptions};
    use std::net::{TcpListener, TcpStream};

    const LIMIT: Duration = Duration::from_secs(20);

    /// Wine's cancel leaves an operation alone that it is just trying again, and a send keeps its
    /// socket there, so that closing it ends nothing: only another cancel does.
    #[test]
    fn a_cancel_that_misses_its_operation_is_followed_by_others() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut engine = IocpEngine::open(&EngineConfig::default()).unwrap();
        let options = SocketOptions {
            send_buffer: Some(16 * 1024),
            ..SocketOptions::default()
        };
        let accepted = listener.accept().unwrap().0;
        let key = engine.adopt(accepted.into(), &options).unwrap();
        engine.send(key, batch(&[8 << 20]));
        assert_eq!(engine.in_flight(), 1, "the peer reads nothing");

        winsock::miss_cancels(2);
        engine.close(key, CloseMode::Abort);
        let deadline = engine.now() + LIMIT;
        loop {
            engine.submit_and_wait(Wait::Until(deadline)).unwrap();
            match engine.next_event() {
                Some(Event::Closed { key: closed }) => break assert_eq!(closed, key),
                Some(event) => panic!("not of a key that is closed: {event:?}"),
                None => assert!(engine.now() < deadline, "the send never ended"),
            }
        }
        assert_eq!(winsock::missed_cancels_left(), 0);
        assert_eq!(engine.drain(deadline), Drained::Clean);
    }
}
