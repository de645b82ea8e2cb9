//! Making connections: accepting them, with a pause when nothing is left to accept with, and asking
//! for them.

use super::slots::{Listening, Receive, Role, Slot};
use super::{PollEngine, Served};
use crate::{EngineError, Event, Key, ListenConfig, Op, SocketOptions, socket};
use mio::net::{TcpListener, TcpStream};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

impl PollEngine {
    /// See [`Engine::listen`](crate::Engine::listen).
    pub(super) fn start_listening(&mut self, on: &ListenConfig) -> io::Result<(Key, SocketAddr)> {
        let socket = socket::listening(on)?;
        // Elsewhere accepted sockets do not inherit all of them; see `adopt_stream`.
        #[cfg(target_os = "linux")]
        on.socket.apply(&SockRef::from(&socket))?;
        let address = socket::local_address(&socket)?;
        let key = self.insert(Role::Listener(Box::new(Listening {
            socket: TcpListener::from_std(socket.into()),
            delay: self.accept_retry_min,
            retry_at: None,
        })))?;
        self.begin(key, Op::Accept);
        Ok((key, address))
    }

    /// See [`Engine::adopt`](crate::Engine::adopt).
    pub(super) fn adopt_stream(
        &mut self,
        socket: std::net::TcpStream,
        options: &SocketOptions,
    ) -> io::Result<Key> {
        #[cfg(target_os = "linux")]
        let _ = options;
        #[cfg(not(target_os = "linux"))]
        options.apply(&SockRef::from(&socket))?;
        #[cfg(target_vendor = "apple")]
        SockRef::from(&socket).set_nosigpipe(true)?;
        let key = self.insert(Role::Stream(TcpStream::from_std(socket)))?;
        if let Some(slot) = self.slots.find(key) {
            slot.writable = true;
        }
        Ok(key)
    }

    /// See [`Engine::connect`](crate::Engine::connect).
    pub(super) fn start_connecting(
        &mut self,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> Result<Key, EngineError> {
        let failed = |source| EngineError::Connect {
            address: to,
            source,
        };
        let socket = socket::connecting(to, options).map_err(failed)?;
        let role = match socket.connect(&to.into()) {
            Err(error) if !is_in_progress(&error) => Role::Refused(Some(error)),
            _ => Role::Stream(TcpStream::from_std(socket.into())),
        };
        let refused = matches!(role, Role::Refused(_));
        let key = self.insert(role).map_err(failed)?;
        self.begin(key, Op::Connect);
        if refused {
            self.enqueue(key);
        }
        Ok(key)
    }

    /// Puts a socket into a slot and asks for its edges.
    fn insert(&mut self, role: Role) -> io::Result<Key> {
        let key = self.slots.insert(Slot::new(role));
        if let Some(slot) = self.slots.find(key)
            && let Some(source) = slot.source()
            && let Err(error) = self.poller.register(key, source)
        {
            let _ = slot.in_flight.close();
            debug_assert!(!slot.in_flight.any(), "a slot freed with operations");
            self.slots.free(key);
            return Err(error);
        }
        Ok(key)
    }

    fn begin(&mut self, key: Key, op: Op) {
        if let Some(slot) = self.slots.find(key) {
            slot.in_flight.begin(op);
            self.operations += 1;
        }
    }

    /// Accepts one connection.
    pub(super) fn accept(&mut self, key: Key) -> Served {
        let Some(slot) = self.slots.find(key) else {
            return Served::Idle;
        };
        let Role::Listener(listening) = &mut slot.role else {
            return Served::Idle;
        };
        while slot.readable && listening.retry_at.is_none() {
            if !slot.budget.allows(self.turn, usize::MAX) {
                return Served::NextTurn;
            }
            slot.budget.spend(0);
            let error = match listening.socket.accept() {
                Ok((socket, _)) => {
                    listening.delay = self.accept_retry_min;
                    return Served::Event(Event::Accepted {
                        listener: key,
                        socket: socket.into(),
                    });
                }
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                slot.readable = false;
            } else if socket::accept_must_wait(&error) {
                // The connections that wait make no new edge, so `readable` stays.
                listening.retry_at = Some(self.now + listening.delay);
                listening.delay = (listening.delay * 2).min(self.accept_retry_max);
                self.paused_listeners.push(key);
                return Served::Event(Event::AcceptFailed {
                    listener: key,
                    error,
                });
            }
        }
        Served::Idle
    }

    /// Serves the listeners whose pause is over, or all of them when a key was closed since. When
    /// the first of the others is due.
    pub(super) fn retry_accepts(&mut self) -> Option<Instant> {
        if self.paused_listeners.is_empty() {
            return None;
        }
        let at_once = std::mem::take(&mut self.closed_since);
        let now = self.now;
        let mut next: Option<Instant> = None;
        for key in std::mem::take(&mut self.paused_listeners) {
            let Some(slot) = self.slots.find(key) else {
                continue;
            };
            let Role::Listener(listening) = &mut slot.role else {
                continue;
            };
            match listening.retry_at.filter(|at| !at_once && *at > now) {
                Some(at) => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    self.paused_listeners.push(key);
                }
                None => {
                    listening.retry_at = None;
                    self.enqueue(key);
                }
            }
        }
        next
    }

    /// What became of a connect.
    pub(super) fn finish_connect(&mut self, key: Key) -> Served {
        let Some(slot) = self.slots.find(key) else {
            return Served::Idle;
        };
        let Some(outcome) = slot.connect_outcome() else {
            return Served::Idle;
        };
        self.operations -= slot.finish(Op::Connect);
        Served::Event(match outcome {
            Ok(()) => Event::Connected { key },
            Err(error) => {
                slot.receive = Receive::Ended;
                self.operations -= slot.finish(Op::Recv);
                Event::Failed { key, error }
            }
        })
    }
}

impl Slot {
    /// Whether the connection stands or failed, when that is known.
    fn connect_outcome(&mut self) -> Option<io::Result<()>> {
        let stream = match &mut self.role {
            Role::Refused(error) => return error.take().map(Err),
            Role::Stream(stream) if self.writable => stream,
            _ => return None,
        };
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Some(Err(error)),
        }
        match stream.peer_addr() {
            Ok(_) => Some(Ok(())),
            // An edge that meant something else (`mio::net::TcpStream::connect`).
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.writable = false;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Whether a connect goes on in the background.
fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
        || matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        )
}
