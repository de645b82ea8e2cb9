//! Accepting: so many AcceptEx posted in advance per listener, each posted again whatever became of
//! it.
//!
//! The socket of an accept is made first and belongs to it until its packet. An accept that can not
//! be posted, for want of sockets or memory, waits with the listener's pause; those that are posted
//! go on.

use super::operation::{Fixed, Operation};
use super::settings;
use super::slots::{Role, Slot};
use super::winsock::{self, ADDRESS_ROOM, Extensions};
use super::{Event, IocpEngine};
use crate::{Key, ListenConfig, Op, socket};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::UnsafeCell;
use std::io;
use std::net::SocketAddr;
use std::os::windows::io::OwnedSocket;
use std::time::{Duration, Instant};

/// Accepts that may fail at once, one after the other, before that is taken for a lasting failure.
const FAILURES_MAX: u32 = 64;

/// What the kernel writes to for one accept.
struct AcceptMemory {
    operation: Operation,
    /// Both addresses. Nobody reads them: the socket itself knows.
    addresses: UnsafeCell<[u8; 2 * ADDRESS_ROOM]>,
}

/// A listener's accepts.
pub(super) struct Listening {
    memory: Fixed<AcceptMemory>,
    /// The socket of each accept that is posted.
    sockets: Box<[Option<OwnedSocket>]>,
    /// Accepts that are not.
    unposted: Vec<u16>,
    extensions: Extensions,
    domain: Domain,
    /// The pause after the next failure.
    delay: Duration,
    /// Set while it pauses.
    retry_at: Option<Instant>,
    /// To be told.
    failure: Option<io::Error>,
}

impl Listening {
    fn new(owner: u32, on: &ListenConfig, extensions: Extensions, delay: Duration) -> Self {
        let count = on.accepts_posted.max(1);
        let memory = |position| AcceptMemory {
            operation: Operation::new(Op::Accept, owner, position),
            addresses: UnsafeCell::new([0; 2 * ADDRESS_ROOM]),
        };
        Self {
            memory: Fixed::new((0..count).map(memory)),
            sockets: (0..count).map(|_| None).collect(),
            unposted: (0..count).rev().collect(),
            extensions,
            domain: Domain::for_address(on.address),
            delay,
            retry_at: None,
            failure: None,
        }
    }

    /// Accepts that the kernel holds.
    pub(super) fn posted(&self) -> usize {
        self.sockets.len() - self.unposted.len()
    }

    /// Posts one more.
    fn post(&mut self, listener: &OwnedSocket) -> io::Result<()> {
        let Some(position) = self.unposted.last().copied() else {
            return Ok(());
        };
        let socket = Socket::new(self.domain, Type::STREAM, Some(Protocol::TCP))?;
        let memory = &self.memory[usize::from(position)];
        // In its place before the call: it may complete before that returns.
        let socket = self.sockets[usize::from(position)].insert(socket.into());
        let addresses = memory.addresses.get().cast();
        let overlapped = memory.operation.begin();
        // SAFETY: both stay in place until the packet (`Fixed`, `KernelMemory`), and this accept is
        // not posted.
        let begun = unsafe {
            self.extensions
                .accept(listener, socket, addresses, overlapped)
        };
        match begun {
            // Listeners do not skip packets.
            Ok(_) => {
                self.unposted.pop();
                Ok(())
            }
            Err(error) => {
                self.sockets[usize::from(position)] = None;
                Err(error)
            }
        }
    }

    /// Posts all that are not. The failure that ended it, when it is one to wait for.
    fn post_all(&mut self, listener: &OwnedSocket) -> Option<io::Error> {
        let mut failures = 0;
        while !self.unposted.is_empty() {
            let Err(error) = self.post(listener) else {
                continue;
            };
            failures += 1;
            if socket::accept_must_wait(&error) || failures > FAILURES_MAX {
                return Some(error);
            }
        }
        None
    }
}

impl IocpEngine {
    /// See [`Engine::listen`](crate::Engine::listen).
    pub(super) fn start_listening(&mut self, on: &ListenConfig) -> io::Result<(Key, SocketAddr)> {
        let listener = socket::listening(on)?;
        let address = socket::local_address(&listener)?;
        let listener: OwnedSocket = listener.into();
        let extensions = self.extensions(&listener, on.address)?;
        self.port.associate(&listener)?;
        let key = self.insert(Slot::new(listener, Role::Session));
        let owner = u32::try_from(key.index()).unwrap_or(u32::MAX);
        if let Some(slot) = self.memory.slots.find(key) {
            let listening = Listening::new(owner, on, extensions, self.accept_retry_min);
            slot.role = Role::Listener(Box::new(listening));
        }
        self.post_accepts(key);
        Ok((key, address))
    }

    /// Posts what is not posted, or pauses.
    pub(super) fn post_accepts(&mut self, key: Key) {
        let slot = self.memory.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        let (Role::Listener(listening), Some(socket)) = (&mut slot.role, &slot.socket) else {
            return;
        };
        let before = listening.posted();
        let failure = listening.post_all(socket);
        let posted = listening.posted();
        listening.retry_at = None;
        self.operations += posted - before;
        self.note_accepts(key, posted);
        if let Some(error) = failure {
            self.pause_accepts(key, error);
        }
    }

    /// Posts nothing for a while, and tells why.
    fn pause_accepts(&mut self, key: Key, error: io::Error) {
        let slot = self.memory.slots.find(key);
        let Some(Role::Listener(listening)) = slot.map(|slot| &mut slot.role) else {
            return;
        };
        if listening.retry_at.is_some() {
            return;
        }
        let at = self.now + listening.delay;
        listening.retry_at = Some(at);
        listening.delay = (listening.delay * 2).min(self.accept_retry_max);
        listening.failure = Some(error);
        self.retries.push((at, key));
        self.enqueue(key);
    }

    /// The failure of a listener that is to be told.
    pub(super) fn take_accept_failure(&mut self, key: Key) -> Option<Event> {
        let slot = self.memory.slots.find(key)?;
        let Role::Listener(listening) = &mut slot.role else {
            return None;
        };
        let error = listening.failure.take()?;
        Some(Event::AcceptFailed {
            listener: key,
            error,
        })
    }

    /// Keeps the listener's bit: set while any accept is posted.
    fn note_accepts(&mut self, key: Key, posted: usize) {
        let Some(slot) = self.memory.slots.find(key) else {
            return;
        };
        match (posted > 0, slot.in_flight.has(Op::Accept)) {
            (true, false) => slot.in_flight.begin(Op::Accept),
            (false, true) if slot.in_flight.finish(Op::Accept) => self.finish_close(key),
            _ => {}
        }
    }

    /// The packet of an accept.
    pub(super) fn on_accept_ended(&mut self, key: Key, position: u16) -> Option<Event> {
        let slot = self.memory.slots.find(key)?;
        let Role::Listener(listening) = &mut slot.role else {
            debug_assert!(false, "an accept of no listener");
            return None;
        };
        self.operations -= 1;
        let accepted = listening.sockets[usize::from(position)].take();
        listening.unposted.push(position);
        let operation = &listening.memory[usize::from(position)].operation;
        let address = operation.address();
        let (succeeded, posted) = (operation.succeeded(), listening.posted());
        if !slot.in_flight.is_open() {
            // Connected or not: dropping the socket closes it.
            self.note_accepts(key, posted);
            return None;
        }
        let listener = slot.socket.as_ref()?;
        let outcome = match accepted {
            Some(socket) if succeeded => {
                settings::update_accepted(&socket, listener).map(|()| socket)
            }
            _ => Err(winsock::failure(listener, address)),
        };
        if outcome.is_ok() {
            listening.delay = self.accept_retry_min;
        }
        self.note_accepts(key, posted);
        match outcome {
            // Not that connection's own failure, as when its client has gone already.
            Err(error) if !succeeded && socket::accept_must_wait(&error) => {
                self.pause_accepts(key, error);
                None
            }
            outcome => {
                self.replace_accept(key);
                outcome.ok().map(|socket| Event::Accepted {
                    listener: key,
                    socket,
                })
            }
        }
    }

    /// Posts an accept in the place of one that ended, unless the listener pauses.
    fn replace_accept(&mut self, key: Key) {
        let slot = self.memory.slots.find(key);
        if let Some(Role::Listener(listening)) = slot.map(|slot| &slot.role)
            && listening.retry_at.is_none()
        {
            self.post_accepts(key);
        }
    }
}
