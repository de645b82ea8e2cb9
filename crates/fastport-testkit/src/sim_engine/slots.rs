//! The keys of a simulated engine and what is outstanding for each.

use super::SimSocket;
use super::wire::Wire;
use fastport_buffer::SendBatch;
use fastport_engine::{CloseMode, Event, InFlight, Key};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a key is.
#[derive(Debug)]
pub(super) enum Role {
    Listener,
    Connecting(SocketAddr),
    Connected,
}

/// How far receiving is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Receive {
    Idle,
    Armed,
    Pausing,
    Ended,
}

/// A batch that the kernel holds.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) batch: SendBatch,
    pub(super) sent: usize,
}

/// One key.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) role: Role,
    pub(super) wire: Option<Wire>,
    /// The state machine that the real engines use as well.
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    pub(super) sending: Option<Sending>,
    /// A `Sent` is queued.
    pub(super) sent_unreported: bool,
    pub(super) half_closed: bool,
    pub(super) failed: bool,
    pub(super) address_lost: bool,
    pub(super) events: VecDeque<Event<SimSocket>>,
    pub(super) mode: CloseMode,
    /// Steps until an operation of a closed key ends.
    pub(super) late: usize,
    /// It has a descriptor of the machine.
    pub(super) descriptor: bool,
    pub(super) retry_at: Option<Instant>,
    pub(super) retry_after: Duration,
}

impl Slot {
    pub(super) fn new(role: Role, wire: Option<Wire>) -> Self {
        Self {
            descriptor: !matches!(role, Role::Listener),
            role,
            wire,
            in_flight: InFlight::default(),
            receive: Receive::Idle,
            sending: None,
            sent_unreported: false,
            half_closed: false,
            failed: false,
            address_lost: false,
            events: VecDeque::new(),
            mode: CloseMode::Orderly,
            late: 0,
            retry_at: None,
            retry_after: Duration::ZERO,
        }
    }
}

/// All keys. A place is used again with another generation.
#[derive(Debug, Default)]
pub(super) struct Slots {
    entries: Vec<(u32, Option<Slot>)>,
    free: Vec<u32>,
}

impl Slots {
    pub(super) fn insert(&mut self, slot: Slot) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.entries[index as usize];
        entry.1 = Some(slot);
        Key::new(index, entry.0)
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut Slot> {
        let (generation, slot) = self.entries.get_mut(key.index())?;
        slot.as_mut().filter(|_| *generation == key.generation())
    }

    pub(super) fn look(&self, key: Key) -> Option<&Slot> {
        let (generation, slot) = self.entries.get(key.index())?;
        slot.as_ref().filter(|_| *generation == key.generation())
    }

    pub(super) fn free(&mut self, key: Key) {
        if self.find(key).is_some() {
            let entry = &mut self.entries[key.index()];
            *entry = (entry.0 + 1, None);
            self.free
                .push(u32::try_from(key.index()).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn key_at(&self, index: usize) -> Option<Key> {
        let (generation, slot) = self.entries.get(index)?;
        slot.as_ref()?;
        Some(Key::new(u32::try_from(index).ok()?, *generation))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Slot)> {
        (0..self.capacity()).filter_map(|index| {
            let key = self.key_at(index)?;
            Some((key, self.look(key)?))
        })
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn open(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}
