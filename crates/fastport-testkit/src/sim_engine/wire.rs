//! A simulated TCP connection: what is on its way in both directions, and how each side ended.
//!
//! ```text
//!   peer  -- inbound (peer_send) -->  [bytes] [FIN | RST]  -- take_inbound -->  engine
//!   peer  <-- read_outbound --  [bytes, at most `window`] [FIN | RST]  <-- put_outbound --  engine
//! ```
//!
//! Both ends hold a clone. The engine's half follows what TCP does at a close: a FIN behind what
//! was sent, or a reset when there is unread input (RFC 1122 4.2.2.13), which takes with it what
//! the peer has not read yet.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One connection.
#[derive(Clone, Debug)]
pub struct Wire(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    id: u32,
    inbound: VecDeque<u8>,
    outbound: VecDeque<u8>,
    window: usize,
    peer: End,
    host: End,
    peer_vanished: bool,
    host_closed: bool,
    faulted: bool,
}

/// How a side of a connection has ended, if it has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It may still send.
    Open,
    /// It sends no more; what it sent is there to be read.
    Finished,
    /// It broke the connection.
    Reset,
}

impl Wire {
    /// A connection whose number is also its peer's address. `window` bytes may be on their way to
    /// the peer.
    #[must_use]
    pub fn new(id: u32, window: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            id,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
            window,
            peer: End::Open,
            host: End::Open,
            peer_vanished: false,
            host_closed: false,
            faulted: false,
        })))
    }

    /// The connection's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.lock().id
    }

    /// The peer's address: 10.0.0.0/8, made of the number.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        address_of(self.id())
    }

    /// The peer sends. False when it can not any more.
    pub fn peer_send(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        let can = state.peer == End::Open && state.host != End::Reset && !state.peer_vanished;
        if can && !state.host_closed {
            state.inbound.extend(bytes);
        } else if can {
            // A closed socket answers with a reset.
            state.host = End::Reset;
            state.outbound.clear();
        }
        can
    }

    /// The peer sends FIN.
    pub fn peer_finish(&self) {
        let mut state = self.lock();
        if state.peer == End::Open && !state.peer_vanished {
            state.peer = End::Finished;
        }
    }

    /// The peer sends RST; with `loses` what it sent before and the host has not read is lost.
    pub fn peer_reset(&self, loses: bool) {
        let mut state = self.lock();
        if !state.peer_vanished && state.host != End::Reset {
            state.peer = End::Reset;
            if loses {
                state.inbound.clear();
            }
        }
    }

    /// The peer is gone without a word: it neither sends nor reads from now on.
    pub fn peer_vanish(&self) {
        self.lock().peer_vanished = true;
    }

    /// The peer reads at most `bytes_max` bytes into `into`.
    pub fn peer_read(&self, bytes_max: usize, into: &mut Vec<u8>) {
        let mut state = self.lock();
        if !state.peer_vanished && state.peer != End::Reset {
            let bytes = bytes_max.min(state.outbound.len());
            into.extend(state.outbound.drain(..bytes));
        }
    }

    /// How the host's side has ended, as the peer knows it: a FIN is seen after all bytes.
    #[must_use]
    pub fn seen_by_peer(&self) -> End {
        let state = self.lock();
        match state.host {
            End::Finished if !state.outbound.is_empty() => End::Open,
            end => end,
        }
    }

    /// Bytes that the peer could read.
    #[must_use]
    pub fn readable_by_peer(&self) -> usize {
        self.lock().outbound.len()
    }

    /// How the peer's side has ended.
    #[must_use]
    pub fn peer_end(&self) -> End {
        self.lock().peer
    }

    /// Whether the peer or a fault broke the connection, so that it may be reported as reset.
    #[must_use]
    pub fn may_be_reset(&self) -> bool {
        let state = self.lock();
        state.peer == End::Reset || state.faulted
    }

    /// A fault breaks the connection as the host sees it.
    pub(super) fn break_by_fault(&self) {
        self.lock().faulted = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        let state = self.lock();
        state.peer == End::Reset || state.faulted || state.host == End::Reset
    }

    /// Bytes that wait for the host.
    pub(super) fn inbound_bytes(&self) -> usize {
        self.lock().inbound.len()
    }

    /// Whether the host has read everything and FIN is next.
    pub(super) fn is_at_fin(&self) -> bool {
        let state = self.lock();
        state.inbound.is_empty() && state.peer == End::Finished
    }

    /// The host reads, filling `into`.
    pub(super) fn take_inbound(&self, into: &mut [u8]) {
        let mut state = self.lock();
        let count = into.len();
        for (to, from) in into.iter_mut().zip(state.inbound.drain(..count)) {
            *to = from;
        }
    }

    /// How many bytes the host could send now.
    pub(super) fn room(&self) -> usize {
        let state = self.lock();
        state.window.saturating_sub(state.outbound.len())
    }

    pub(super) fn put_outbound(&self, bytes: &[u8]) {
        self.lock().outbound.extend(bytes);
    }

    /// The host half-closes.
    pub(super) fn host_finish(&self) {
        let mut state = self.lock();
        if state.host == End::Open {
            state.host = End::Finished;
        }
    }

    /// The host's descriptor is closed. With `abort`, or with unread input, the peer sees a reset,
    /// and loses what it has not read.
    pub(super) fn host_close(&self, abort: bool) {
        let mut state = self.lock();
        state.host_closed = true;
        if abort || !state.inbound.is_empty() {
            state.host = End::Reset;
            state.outbound.clear();
        } else if state.host == End::Open {
            state.host = End::Finished;
        }
        state.inbound.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a connection's peer.
#[must_use]
pub fn address_of(id: u32) -> SocketAddr {
    let [_, a, b, c] = id.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, a, b, c)), 4000)
}

/// The connection's number in an address of [`address_of`].
#[must_use]
pub fn id_of(address: SocketAddr) -> u32 {
    match address.ip() {
        IpAddr::V4(ip) => u32::from(ip) & 0x00ff_ffff,
        IpAddr::V6(_) => 0,
    }
}
