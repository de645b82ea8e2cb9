//! How likely each fault is, and which have happened. Chances are in 1,000.

use crate::random::Random;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong between an engine and the session layer. The first eight are benign: the
/// contract of [`Engine`](fastport_engine::Engine) permits them at any time, and nothing is lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// The next event of a connection is held back, for 1 to `held_turns` turns.
    pub held: u16,
    /// The most turns for which something is held back.
    pub held_turns: usize,
    /// A wait ends at once, whatever was asked for.
    pub early_return: u16,
    /// A turn brings nothing, whatever has happened.
    pub empty_turn: u16,
    /// A turn brings 1 to 8 events.
    pub few_events: u16,
    /// For a turn the engine says that its receive buffers are scarce.
    pub scarce: u16,
    /// What was received comes in two parts.
    pub split: u16,
    /// A close begins only after 1 to `held_turns` turns.
    pub late_close: u16,

    /// Accepting fails for want of descriptors; it goes on a few turns later.
    pub accept_error: u16,
    /// An accepted socket can not be taken over.
    pub adopt_error: u16,
    /// The address of a peer can not be told.
    pub address_error: u16,
    /// There is no socket to connect with.
    pub connect_error: u16,
    /// A connection that was made fails before that is told.
    pub connect_failed: u16,
    /// Half of a send is sent, then the connection is reset.
    pub send_broken: u16,
    /// A connection fails out of nothing, and is reset. Asked at each event and at each operation.
    pub failed: u16,
    /// After so many turns the queue of completions is lost.
    pub lost_after: Option<u64>,
}

impl Faults {
    /// All benign faults that leave the size of what is received as it was.
    #[must_use]
    pub fn late() -> Self {
        Self {
            held: 300,
            held_turns: 3,
            early_return: 150,
            empty_turn: 100,
            few_events: 300,
            late_close: 300,
            ..Self::default()
        }
    }

    /// All benign faults.
    #[must_use]
    pub fn benign() -> Self {
        Self {
            scarce: 200,
            split: 300,
            ..Self::late()
        }
    }

    /// A few of the hard faults, and of the benign ones too: all of them at once would hide what
    /// one brings about. A queue is not lost by these.
    #[must_use]
    pub fn hard(random: &mut Random) -> Self {
        let mut some = |most: u16| match random.chance(500) {
            true => u16::try_from(random.below(usize::from(most) + 1)).unwrap_or(most),
            false => 0,
        };
        Self {
            held: some(400),
            held_turns: 6,
            early_return: some(200),
            empty_turn: some(200),
            few_events: some(500),
            scarce: some(500),
            split: some(500),
            late_close: some(500),
            accept_error: some(300),
            adopt_error: some(150),
            address_error: some(100),
            connect_error: some(200),
            connect_failed: some(200),
            send_broken: some(30),
            failed: some(20),
            lost_after: None,
        }
    }
}

/// A hard fault that was brought about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Injected {
    /// [`Faults::accept_error`].
    AcceptError,
    /// [`Faults::adopt_error`].
    AdoptError,
    /// [`Faults::address_error`].
    AddressError,
    /// [`Faults::connect_error`].
    ConnectError,
    /// [`Faults::connect_failed`].
    ConnectFailed,
    /// [`Faults::send_broken`].
    SendBroken,
    /// [`Faults::failed`].
    Failed,
    /// [`Faults::lost_after`].
    Lost,
}

/// The number of hard faults.
const KINDS: usize = 8;

/// Which faults have happened, over all engines that share it. Any thread.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: [AtomicUsize; KINDS],
    /// Peers whose connections a fault has ended.
    broken: Mutex<BTreeSet<SocketAddr>>,
}

impl Record {
    /// How often each hard fault has happened, in the order of [`Injected`].
    #[must_use]
    pub fn counts(&self) -> [usize; KINDS] {
        let counts = self.0.counts.each_ref();
        counts.map(|count| count.load(Ordering::Relaxed))
    }

    /// How often this one has.
    #[must_use]
    pub fn count(&self, what: Injected) -> usize {
        self.counts()[what as usize]
    }

    /// Whether a fault has ended a connection of this peer.
    #[must_use]
    pub fn is_broken(&self, peer: SocketAddr) -> bool {
        self.lock().contains(&peer)
    }

    pub(super) fn note(&self, what: Injected) {
        self.0.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_broken(&self, peer: SocketAddr) {
        self.lock().insert(peer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        let broken = self.0.broken.lock();
        broken.unwrap_or_else(PoisonError::into_inner)
    }
}
