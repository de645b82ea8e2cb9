//! Making connections: the multishot accept of a listener with its pauses, and outgoing connects.
//!
//! An accept that fails for want of descriptors or memory leaves the connection in the backlog, so
//! trying again at once fails again, as fast as the machine can (ioxide #222). The listener pauses,
//! longer each time, and tries at once when a key of this engine is closed.

use super::UringEngine;
use super::ops;
use super::slots::{Accepting, Receive, Role, Slot};
use crate::{Event, Key, ListenConfig, Op, socket};
use io_uring::cqueue;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Instant;

impl UringEngine {
    /// See [`Engine::listen`](crate::Engine::listen).
    pub(super) fn start_listening(&mut self, on: &ListenConfig) -> io::Result<(Key, SocketAddr)> {
        let listener = socket::listening(on)?;
        // Accepted sockets inherit them, so nothing is to be set for each connection.
        on.socket.apply(&SockRef::from(&listener))?;
        let address = socket::local_address(&listener)?;
        let accepting = Accepting {
            delay: self.accept_retry_min,
            retry_at: None,
        };
        let role = Role::Listener(accepting);
        let slot = Slot::new(listener.into(), Some(role));
        let key = self.memory.slots.insert(slot);
        self.arm_accept(key);
        Ok((key, address))
    }

    fn arm_accept(&mut self, key: Key) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        let Some(socket) = slot.socket(key) else {
            return;
        };
        slot.in_flight.begin(Op::Accept);
        self.operations += 1;
        // SAFETY: an accept without an address names no memory.
        unsafe { self.ring.push(ops::accept(socket, key)) };
    }

    /// A completion of an accept: a socket, or why there is none.
    pub(super) fn on_accepted(
        &mut self,
        partial: Key,
        result: i32,
        flags: u32,
    ) -> Option<Event<OwnedFd>> {
        // Owned before anything else, so that one that comes late is closed.
        // SAFETY: a result that is not negative is a new descriptor, which only this completion
        // names.
        let socket = (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) });
        let key = self.memory.slots.whole(partial);
        debug_assert!(
            key.is_some(),
            "an accept completed for a slot that was freed"
        );
        let key = key?;
        let more = cqueue::more(flags);
        if !more {
            self.finish(key, Op::Accept);
        }
        let slot = self.memory.slots.find(key)?;
        let Some(Role::Listener(accepting)) = slot.role.as_deref_mut() else {
            return None;
        };
        if !slot.in_flight.is_open() {
            return None;
        }
        if let Some(socket) = socket {
            accepting.delay = self.accept_retry_min;
            if !more {
                self.arm_accept(key);
            }
            return Some(Event::Accepted {
                listener: key,
                socket,
            });
        }
        let error = io::Error::from_raw_os_error(-result);
        if !socket::accept_must_wait(&error) {
            if !more {
                self.arm_accept(key);
            }
            return None;
        }
        accepting.retry_at = Some(self.now + accepting.delay);
        accepting.delay = (accepting.delay * 2).min(self.accept_retry_max);
        self.paused_listeners.push(key);
        Some(Event::AcceptFailed {
            listener: key,
            error,
        })
    }

    /// Arms the listeners whose pause is over, or all of them when a key was closed since.
    pub(super) fn arm_paused_listeners(&mut self) {
        let at_once = std::mem::take(&mut self.retry_accepts);
        let mut index = 0;
        while let Some(key) = self.paused_listeners.get(index).copied() {
            let due = self
                .accept_retry(key)
                .is_none_or(|at| at_once || at <= self.now);
            if !due {
                index += 1;
                continue;
            }
            self.paused_listeners.swap_remove(index);
            let Some(slot) = self.memory.slots.find(key) else {
                continue;
            };
            if let Some(Role::Listener(accepting)) = slot.role.as_deref_mut()
                && slot.in_flight.is_open()
            {
                accepting.retry_at = None;
                self.arm_accept(key);
            }
        }
    }

    /// When the first paused listener is to be armed.
    pub(super) fn next_accept_retry(&self) -> Option<Instant> {
        let retries = self.paused_listeners.iter();
        retries.filter_map(|key| self.accept_retry(*key)).min()
    }

    /// When a listener is to be armed; `None` when it is not paused, or closed.
    fn accept_retry(&self, key: Key) -> Option<Instant> {
        let slot = self.memory.slots.look(key)?;
        match slot.role.as_deref() {
            Some(Role::Listener(accepting)) if slot.in_flight.is_open() => accepting.retry_at,
            _ => None,
        }
    }

    /// See [`Engine::connect`](crate::Engine::connect).
    pub(super) fn start_connecting(&mut self, socket: OwnedFd, to: SocketAddr) -> Key {
        let role = Role::Connecting(to.into());
        let key = self.memory.slots.insert(Slot::new(socket, Some(role)));
        if let Some(slot) = self.memory.slots.find(key)
            && let (Some(Role::Connecting(address)), Some(socket)) =
                (slot.role.as_deref(), slot.socket(key))
        {
            slot.in_flight.begin(Op::Connect);
            self.operations += 1;
            // SAFETY: the address is boxed in the slot until the completion.
            unsafe { self.ring.push(ops::connect(socket, key, address)) };
        }
        key
    }

    /// The completion of a connect.
    pub(super) fn on_connected(&mut self, partial: Key, result: i32) -> Option<Event<OwnedFd>> {
        let key = self.memory.slots.whole(partial);
        debug_assert!(
            key.is_some(),
            "a connect completed for a slot that was freed"
        );
        let key = key?;
        self.finish(key, Op::Connect);
        let slot = self.memory.slots.find(key)?;
        slot.role = None;
        if !slot.in_flight.is_open() {
            return None;
        }
        if result < 0 {
            slot.receive = Receive::Ended;
            let error = io::Error::from_raw_os_error(-result);
            return Some(Event::Failed { key, error });
        }
        if slot.receive == Receive::Waiting {
            self.arm(key);
        }
        Some(Event::Connected { key })
    }
}
