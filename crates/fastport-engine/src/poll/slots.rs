//! The worker's connections and listeners: a slab of slots, found by key.
//!
//! A slot is in use from [`Slots::insert`] until [`Slots::free`], which the engine calls when it
//! reports `Closed`. The next use has another generation, so what still names the old one finds
//! nothing.

use super::send::Sending;
use crate::budget::Budget;
use crate::{InFlight, Key, Op};
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
    pub(super) generation: u32,
    pub(super) role: Role,
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    pub(super) sending: Option<Sending>,
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
    used: bool,
}

impl Slot {
    fn unused(generation: u32) -> Self {
        Self {
            generation,
            role: Role::Closed,
            in_flight: InFlight::Closed,
            receive: Receive::Idle,
            sending: None,
            readable: false,
            writable: false,
            read_to_end: false,
            queued: false,
            starved: false,
            budget: Budget::default(),
            used: false,
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

/// All slots of one worker.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// Takes a free slot.
    ///
    /// # Panics
    /// When 2^32 are in use.
    pub(super) fn insert(&mut self, role: Role) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::unused(0));
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 slots")
        });
        let slot = &mut self.slots[index as usize];
        *slot = Slot {
            role,
            in_flight: InFlight::default(),
            used: true,
            ..Slot::unused(slot.generation)
        };
        Key::new(index, slot.generation)
    }

    /// The slot of a key, unless it is stale.
    #[inline]
    pub(super) fn find(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index())?;
        (slot.used && slot.generation == key.generation()).then_some(slot)
    }

    /// As [`Slots::find`], for those who only look.
    pub(super) fn look(&self, key: Key) -> Option<&Slot> {
        let slot = self.slots.get(key.index())?;
        (slot.used && slot.generation == key.generation()).then_some(slot)
    }

    /// The key that uses the slot of this index.
    #[inline]
    pub(super) fn key_at(&self, index: usize) -> Option<Key> {
        let slot = self.slots.get(index).filter(|slot| slot.used)?;
        Some(Key::new(u32::try_from(index).ok()?, slot.generation))
    }

    /// Ends the use of a slot.
    ///
    /// # Panics
    /// In debug builds, when an operation is outstanding.
    pub(super) fn free(&mut self, key: Key) {
        let Some(slot) = self.find(key) else { return };
        debug_assert!(!slot.in_flight.any(), "a slot freed with operations");
        *slot = Slot::unused(slot.generation.wrapping_add(1));
        self.free.extend(u32::try_from(key.index()));
    }

    /// Slots in use.
    pub(super) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The keys of all slots in use.
    pub(super) fn keys(&self) -> Vec<Key> {
        (0..self.slots.len())
            .filter_map(|index| self.key_at(index))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_earlier_use_finds_nothing() {
        let mut slots = Slots::default();
        let first = slots.insert(Role::Closed);
        assert!(slots.find(first).unwrap().in_flight.close());
        slots.free(first);
        assert_eq!(slots.key_at(first.index()), None);
        let second = slots.insert(Role::Closed);
        assert_eq!(first.index(), second.index());
        assert!(slots.find(first).is_none() && slots.look(first).is_none());
        assert_eq!(slots.key_at(first.index()), Some(second));
        assert_eq!(slots.keys(), [second]);
        slots.free(first);
        assert_eq!(slots.open(), 1);
    }
}
