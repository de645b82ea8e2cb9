//! What the engine knows of each connection and listener.
//!
//! A slot is freed when `Closed` is reported: never while the kernel holds something of it, so a
//! late completion can not meet a successor.

use crate::InFlight;
use crate::progress::Progress;
use fastport_buffer::SendBatch;
use socket2::SockAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Where the receiving of a connection stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Receive {
    /// Nothing is wanted.
    Idle,
    /// In the kernel.
    Armed,
    /// Wanted, but not in the kernel: no buffer is left, or the connection does not stand yet.
    Waiting,
    /// In the kernel, to be cancelled; `RecvPaused` follows.
    Pausing,
    /// As `Pausing`, but it was wanted again meanwhile: to be armed when the cancelled one has
    /// ended.
    Resuming,
    /// `RecvPaused` is due.
    Paused,
    /// The peer finished, or the connection failed.
    Ended,
}

/// A send that is in the kernel.
#[derive(Default)]
pub(super) struct Sending {
    pub(super) batch: SendBatch,
    pub(super) progress: Progress,
}

/// When a listener tries again.
pub(super) struct Accepting {
    /// The pause after the next failure.
    pub(super) delay: Duration,
    /// Set while it pauses.
    pub(super) retry_at: Option<Instant>,
}

/// What a slot is for, when that is not a connection that stands: boxed, so that those are small.
pub(super) enum Role {
    /// The address stays here until the connection stands or failed.
    Connecting(SockAddr),
    Listener(Accepting),
}

/// A connection or a listener.
pub(super) struct Slot {
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    /// Whether the engine's list of starved connections names this slot.
    pub(super) starved: bool,
    /// Closed when the kernel holds nothing more.
    pub(super) socket: Option<OwnedFd>,
    pub(super) sending: Option<Box<Sending>>,
    /// `None` for a connection that stands, or that is closed.
    pub(super) role: Option<Box<Role>>,
}

/// What every session takes of it, idle or not.
const _: () = assert!(size_of::<Slot>() <= 24);

impl Slot {
    pub(super) fn new(socket: OwnedFd, role: Option<Role>) -> Self {
        Self {
            in_flight: InFlight::default(),
            receive: Receive::Idle,
            starved: false,
            socket: Some(socket),
            sending: None,
            role: role.map(Box::new),
        }
    }
}
