//! What the engine knows of each connection and listener.

use super::accept::Listening;
use super::buffers::Buffer;
use super::operation::Operation;
use super::send::Sending;
use super::steady::Pace;
use super::winsock;
use crate::InFlight;
use crate::budget::Budget;
use socket2::SockAddr;
use std::io;
use std::os::windows::io::OwnedSocket;

/// Where the receiving of a connection stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Receive {
    /// Nothing is wanted. A wait for bytes may be outstanding all the same: it takes none.
    Idle,
    /// Bytes are received when there are some.
    Armed,
    /// `RecvPaused` is due, after the receive that has a buffer, if there is one.
    Pausing,
    /// The peer finished, or the connection failed.
    Ended,
}

/// An outgoing connection that is being made.
pub(super) struct Connecting {
    /// Read by the kernel.
    pub(super) address: SockAddr,
    /// Set when it did not even begin, or is done already.
    pub(super) ended: Option<io::Result<()>>,
}

/// What a slot is for.
pub(super) enum Role {
    Session,
    Connecting(Box<Connecting>),
    Listener(Box<Listening>),
}

/// A connection or a listener. What the kernel writes to is not in here, but in
/// [`Operations`](super::operation::Operations).
pub(super) struct Slot {
    /// A bit per operation that the kernel holds.
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    /// There may be something to receive: an operation said so, and since then no call has found
    /// the socket empty.
    pub(super) readable: bool,
    /// The last time that something was posted to tell of bytes, they were there already: next time
    /// they are looked for first.
    pub(super) lucky: bool,
    /// Whether an operation that succeeds at once makes no packet.
    pub(super) skips: bool,
    /// Whether the list of ready keys names this slot.
    pub(super) queued: bool,
    /// Whether the list of starved keys names this slot.
    pub(super) starved: bool,
    pub(super) budget: Budget,
    pub(super) pace: Pace,
    /// Closed when the kernel holds nothing more.
    pub(super) socket: Option<OwnedSocket>,
    /// The buffer of the receive that is outstanding, if it has one.
    pub(super) filling: Option<Buffer>,
    /// Why the wait for bytes failed. What was received before it is told first.
    pub(super) failure: Option<io::Error>,
    pub(super) sending: Option<Sending>,
    pub(super) role: Role,
}

impl Slot {
    pub(super) fn new(socket: OwnedSocket, role: Role) -> Self {
        Self {
            in_flight: InFlight::default(),
            receive: Receive::Idle,
            readable: false,
            lucky: false,
            skips: false,
            queued: false,
            starved: false,
            budget: Budget::default(),
            pace: Pace::default(),
            socket: Some(socket),
            filling: None,
            failure: None,
            sending: None,
            role,
        }
    }

    /// Why an operation that has ended failed, if it did.
    pub(super) fn failure_of(&self, operation: &Operation) -> Option<io::Error> {
        if operation.succeeded() {
            return None;
        }
        Some(match &self.socket {
            Some(socket) => winsock::failure(socket, operation.address()),
            // Closed already, since the system refused to cancel.
            None => io::ErrorKind::ConnectionAborted.into(),
        })
    }
}
