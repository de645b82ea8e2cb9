//! What the engine knows of each connection and listener.
//!
//! A slot is freed when `Closed` is reported: never while the kernel holds something of it, so a
//! late completion can not meet a successor.

use super::ops::Socket;
use crate::{InFlight, Key};
use fastport_buffer::SendBatch;
use socket2::{SockAddr, SockRef};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
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

/// Facts that share a byte.
#[derive(Copy, Clone, Default)]
struct Marks(u8);

impl Marks {
    /// The engine's list of starved connections names the slot.
    const STARVED: u8 = 1;
    /// The socket is to move into the ring's table when it is first received from.
    const MOVES: u8 = 1 << 1;
    /// The socket is in the ring's table.
    const DIRECT: u8 = 1 << 2;
    /// Nothing has come since the receive was armed.
    const FRESH: u8 = 1 << 3;
    /// The engine's list of doubtful connections names the slot.
    const DOUBTFUL: u8 = 1 << 4;

    const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    /// Sets the mark as told. Whether it was set before.
    const fn replace(&mut self, mark: u8, set: bool) -> bool {
        let before = self.has(mark);
        self.0 = if set { self.0 | mark } else { self.0 & !mark };
        before
    }
}

/// A connection or a listener.
pub(super) struct Slot {
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    marks: Marks,
    /// Closed when the kernel holds nothing more. `None` when it has moved into the ring's table,
    /// or is closed.
    pub(super) socket: Option<OwnedFd>,
    /// What is in the kernel to be sent; empty when nothing is.
    pub(super) sending: SendBatch,
    /// `None` for a connection that stands, or that is closed.
    pub(super) role: Option<Box<Role>>,
}

/// What every session takes of it, idle or not.
const _: () = assert!(size_of::<Slot>() <= 24);

impl Slot {
    /// The address of the peer of a connection that stands.
    pub(super) fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        if self.direct(key).is_some() {
            let sentence =
                "a direct descriptor's peer is to be asked for before it is received from";
            return Err(io::Error::new(io::ErrorKind::Unsupported, sentence));
        }
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let address = SockRef::from(socket).peer_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::Error::other("not an internet address"))
    }

    pub(super) fn new(socket: OwnedFd, role: Option<Role>) -> Self {
        Self {
            in_flight: InFlight::default(),
            receive: Receive::Idle,
            marks: Marks::default(),
            socket: Some(socket),
            sending: SendBatch::default(),
            role: role.map(Box::new),
        }
    }

    /// How operations name the socket, if it is there.
    #[inline]
    pub(super) fn socket(&self, key: Key) -> Option<Socket> {
        if self.marks.has(Marks::DIRECT) {
            return Some(Socket::Place(place(key)));
        }
        self.socket.as_ref().map(Socket::from)
    }

    /// The socket's place in the ring's table, if it is there.
    pub(super) fn direct(&self, key: Key) -> Option<u32> {
        self.marks.has(Marks::DIRECT).then(|| place(key))
    }

    /// Has the socket move into the ring's table later.
    pub(super) const fn let_move(&mut self) {
        self.marks.replace(Marks::MOVES, true);
    }

    /// The descriptor to close when the socket is in the ring's table, if it is to go there now.
    /// From here on operations name the place.
    pub(super) fn move_out(&mut self) -> Option<RawFd> {
        if !self.marks.replace(Marks::MOVES, false) {
            return None;
        }
        let socket = self.socket.take()?;
        self.marks.replace(Marks::DIRECT, true);
        Some(socket.into_raw_fd())
    }

    /// The socket has left the ring's table. Whether it was there.
    pub(super) const fn leave_table(&mut self) -> bool {
        self.marks.replace(Marks::DIRECT, false)
    }

    /// Notes that a receive is armed.
    pub(super) const fn set_fresh(&mut self) {
        self.marks.replace(Marks::FRESH, true);
    }

    /// Notes that data came. Whether they were the first since the receive was armed, and the
    /// engine's list of doubtful connections does not name the slot yet but is to.
    #[inline]
    pub(super) const fn becomes_doubtful(&mut self) -> bool {
        self.marks.has(Marks::FRESH)
            && self.marks.replace(Marks::FRESH, false)
            && !self.marks.replace(Marks::DOUBTFUL, true)
    }

    /// The engine's list of doubtful connections does not name the slot any more. Whether it did.
    pub(super) const fn end_doubt(&mut self) -> bool {
        self.marks.replace(Marks::DOUBTFUL, false)
    }

    /// Notes whether the engine's list of starved connections names the slot, and returns whether
    /// it did.
    pub(super) const fn set_starved(&mut self, starved: bool) -> bool {
        self.marks.replace(Marks::STARVED, starved)
    }
}

/// The place of a key in the ring's table.
fn place(key: Key) -> u32 {
    // Keys are made of 32 bits.
    key.index() as u32
}
