//! What the engine knows of each connection and listener.

use crate::budget::Budget;
use crate::{InFlight, Op};
use fastport_buffer::SendBatch;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use std::io;
use std::time::{Duration, Instant};

/// Where the receiving of a connection stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Receive {
    /// Nothing is wanted.
    Idle,
    /// Bytes are read when there are some.
    Armed,
    /// `RecvPaused` is due.
    Pausing,
    /// The peer finished, or the connection failed.
    Ended,
}

/// A listening socket, and when it tries again after a failure.
pub(super) struct Listening {
    pub(super) socket: TcpListener,
    /// The pause after the next failure.
    pub(super) delay: Duration,
    /// Set while it pauses.
    pub(super) retry_at: Option<Instant>,
}

/// What a slot is for.
pub(super) enum Role {
    Listener(Box<Listening>),
    /// A connection; connecting while [`Op::Connect`] is outstanding.
    Stream(TcpStream),
    /// The system refused to connect at once; the error is there until it is reported.
    Refused(Option<io::Error>),
    /// The socket is closed and `Closed` is due.
    Closed,
}

/// A connection or a listener.
pub(super) struct Slot {
    pub(super) role: Role,
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    /// What waits until the kernel takes more of it; empty when nothing does.
    pub(super) sending: SendBatch,
    /// An edge came, and since then no call has found the socket empty.
    pub(super) readable: bool,
    /// An edge came, and since then no call has found the socket full.
    pub(super) writable: bool,
    /// The poller told of the end of the stream, or of an error: no further edge will come, so only
    /// the read that finds it is the last one.
    pub(super) read_to_end: bool,
    /// Whether the list of ready keys names this slot.
    pub(super) queued: bool,
    /// Whether the list of starved keys names this slot.
    pub(super) starved: bool,
    pub(super) budget: Budget,
}

/// What every session takes of it, idle or not. In debug builds mio's sockets are larger.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Slot>() <= 48);

impl Slot {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            in_flight: InFlight::default(),
            receive: Receive::Idle,
            sending: SendBatch::default(),
            readable: false,
            writable: false,
            read_to_end: false,
            queued: false,
            starved: false,
            budget: Budget::default(),
        }
    }

    /// The connection's socket, unless it is closed.
    pub(super) fn stream(&self) -> Option<&TcpStream> {
        match &self.role {
            Role::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// The socket as the poller sees it, unless it is closed.
    pub(super) fn source(&mut self) -> Option<&mut dyn Source> {
        match &mut self.role {
            Role::Listener(listening) => Some(&mut listening.socket),
            Role::Stream(stream) => Some(stream),
            Role::Refused(_) | Role::Closed => None,
        }
    }

    /// Whether an edge leads to anything now.
    pub(super) fn has_work(&self) -> bool {
        match &self.role {
            Role::Stream(_) if !self.in_flight.has(Op::Connect) => {
                self.in_flight.has(Op::Send) && self.writable
                    || self.receive == Receive::Armed && self.readable
            }
            _ => true,
        }
    }
}
