//! The contract of an engine, kept for one key: what was asked for, and what may be told.
//!
//! Both sides are held to it: the engine, with the faults above it, by what it tells, and the
//! session layer by what it asks for. A breach panics, which ends the worker.

use fastport_buffer::SendBatch;
use fastport_engine::Event;

/// What the session layer knows of a key.
#[derive(Debug)]
pub(super) struct Account {
    role: Role,
    receive: Receive,
    /// The bytes of the send that is outstanding.
    sending: Option<usize>,
    failed: bool,
    pub(super) closing: bool,
}

/// What a key is of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Listener,
    Connecting,
    Connected,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Receive {
    Idle,
    Armed,
    Pausing,
    Ended,
}

impl Account {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            receive: Receive::Idle,
            sending: None,
            failed: false,
            closing: false,
        }
    }

    pub(super) fn arm(&mut self) {
        if self.receive != Receive::Ended {
            self.receive = Receive::Armed;
        }
    }

    pub(super) fn pause(&mut self) {
        if self.receive == Receive::Armed {
            self.receive = Receive::Pausing;
        }
    }

    pub(super) fn send(&mut self, batch: &SendBatch) {
        assert!(!batch.is_empty(), "an empty send: {self:?}");
        assert!(self.sending.is_none(), "a second send: {self:?}");
        self.sending = Some(batch.bytes());
    }

    /// Notes an event that is told.
    pub(super) fn tell<S>(&mut self, event: &Event<S>) {
        let name = name(event);
        let is_closed = matches!(event, Event::Closed { .. });
        assert_eq!(is_closed, self.closing, "{name}: {self:?}");
        let receives = matches!(self.receive, Receive::Armed | Receive::Pausing);
        let (role, next) = match event {
            Event::Accepted { .. } | Event::AcceptFailed { .. } => (Role::Listener, self.receive),
            Event::Connected { .. } => {
                assert_eq!(self.role, Role::Connecting, "{name}: {self:?}");
                (Role::Connected, self.receive)
            }
            Event::Received { chunk, .. } => {
                assert!(receives && !chunk.is_empty(), "{name}: {self:?}");
                (Role::Connected, self.receive)
            }
            Event::PeerFinished { .. } => {
                assert!(receives, "{name}: {self:?}");
                (Role::Connected, Receive::Ended)
            }
            Event::RecvPaused { .. } => {
                assert_eq!(self.receive, Receive::Pausing, "{name}: {self:?}");
                (Role::Connected, Receive::Idle)
            }
            Event::Sent { batch, result, .. } => {
                let bytes = batch.bytes();
                assert_eq!(self.sending.take(), Some(bytes), "{name}: {self:?}");
                let sent = result.as_ref().map_or_else(|failure| failure.sent, |()| 0);
                assert!(sent <= bytes, "{name} of {sent} of {bytes} bytes");
                (Role::Connected, self.receive)
            }
            Event::Failed { .. } => {
                assert!(!self.failed, "{name} twice: {self:?}");
                self.failed = true;
                (self.role, Receive::Ended)
            }
            Event::Closed { .. } => return,
        };
        let was = std::mem::replace(&mut self.role, role);
        let may_become = was == role || (was, role) == (Role::Connecting, Role::Connected);
        assert!(may_become, "{name} of a key that was {was:?}: {self:?}");
        self.receive = next;
    }
}

fn name<S>(event: &Event<S>) -> &'static str {
    match event {
        Event::Accepted { .. } => "Accepted",
        Event::AcceptFailed { .. } => "AcceptFailed",
        Event::Connected { .. } => "Connected",
        Event::Received { .. } => "Received",
        Event::PeerFinished { .. } => "PeerFinished",
        Event::RecvPaused { .. } => "RecvPaused",
        Event::Sent { .. } => "Sent",
        Event::Failed { .. } => "Failed",
        Event::Closed { .. } => "Closed",
    }
}
