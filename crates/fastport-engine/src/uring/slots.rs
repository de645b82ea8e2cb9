//! The worker's connections and listeners: a slab of slots that never move, found by key.
//!
//! A slot is in use from [`Slots::insert`] until [`Slots::free`], which the engine calls when it
//! reports
//! `Closed`: never while the kernel holds something of it, so a late completion can not meet a
//! successor.

use crate::{InFlight, Key};
use fastport_buffer::SendBatch;
use socket2::SockAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const SLOTS_PER_PAGE: usize = 256;

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
pub(super) struct Sending {
    pub(super) batch: SendBatch,
    /// Bytes that the kernel took.
    pub(super) sent: usize,
}

/// When a listener tries again.
pub(super) struct Accepting {
    /// The pause after the next failure.
    pub(super) delay: Duration,
    /// Set while it pauses.
    pub(super) retry_at: Option<Instant>,
}

/// What a slot is for.
pub(super) enum Role {
    Session,
    /// The address stays here until the connection stands or failed.
    Connecting(Box<SockAddr>),
    Listener(Box<Accepting>),
}

/// A connection or a listener.
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) in_flight: InFlight,
    pub(super) receive: Receive,
    /// Whether the engine's list of starved connections names this slot.
    pub(super) starved: bool,
    /// Closed when the kernel holds nothing more.
    pub(super) socket: Option<OwnedFd>,
    pub(super) sending: Option<Sending>,
    pub(super) role: Role,
    used: bool,
}

impl Slot {
    const fn unused() -> Self {
        Self {
            generation: 0,
            in_flight: InFlight::Closed,
            receive: Receive::Idle,
            starved: false,
            socket: None,
            sending: None,
            role: Role::Session,
            used: false,
        }
    }
}

/// All slots of one worker.
#[derive(Default)]
pub(super) struct Slots {
    pages: Vec<Box<[Slot]>>,
    free: Vec<u32>,
    open: usize,
}

impl Slots {
    /// Puts a socket into a free slot.
    pub(super) fn insert(&mut self, socket: OwnedFd, role: Role) -> Key {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop().expect("just grown");
        self.open += 1;
        let slot =
            &mut self.pages[index as usize / SLOTS_PER_PAGE][index as usize % SLOTS_PER_PAGE];
        *slot = Slot {
            generation: slot.generation,
            in_flight: InFlight::default(),
            socket: Some(socket),
            role,
            used: true,
            ..Slot::unused()
        };
        Key::new(index, slot.generation)
    }

    /// The slot of a key, unless it is stale.
    #[inline]
    pub(super) fn find(&mut self, key: Key) -> Option<&mut Slot> {
        let page = self.pages.get_mut(key.index() / SLOTS_PER_PAGE)?;
        let slot = &mut page[key.index() % SLOTS_PER_PAGE];
        (slot.used && slot.generation == key.generation()).then_some(slot)
    }

    /// As [`Slots::find`], for those who only look.
    pub(super) fn look(&self, key: Key) -> Option<&Slot> {
        let page = self.pages.get(key.index() / SLOTS_PER_PAGE)?;
        let slot = &page[key.index() % SLOTS_PER_PAGE];
        (slot.used && slot.generation == key.generation()).then_some(slot)
    }

    /// The whole key of a completion, whose generation lost its high bits on the way.
    #[inline]
    pub(super) fn whole(&self, partial: Key) -> Option<Key> {
        let page = self.pages.get(partial.index() / SLOTS_PER_PAGE)?;
        let slot = &page[partial.index() % SLOTS_PER_PAGE];
        let index = u32::try_from(partial.index()).ok()?;
        let key = Key::new(index, slot.generation);
        (slot.used && key.matches(partial)).then_some(key)
    }

    /// Ends the use of a slot. The kernel must hold nothing of it.
    ///
    /// # Panics
    /// In debug builds, when an operation is outstanding.
    pub(super) fn free(&mut self, key: Key) {
        let Some(slot) = self.find(key) else { return };
        debug_assert!(
            !slot.in_flight.any(),
            "a slot freed with operations in flight"
        );
        *slot = Slot {
            generation: slot.generation.wrapping_add(1),
            ..Slot::unused()
        };
        self.open -= 1;
        if let Ok(index) = u32::try_from(key.index()) {
            self.free.push(index);
        }
    }

    /// Slots in use.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// The keys of all slots in use.
    pub(super) fn keys(&self) -> Vec<Key> {
        let slots = self.pages.iter().flatten().zip(0u32..);
        slots
            .filter(|(slot, _)| slot.used)
            .map(|(slot, index)| Key::new(index, slot.generation))
            .collect()
    }

    /// Adds a page. A moved page would be a moved slot, so a page is never grown.
    fn grow(&mut self) {
        let first = self.pages.len() * SLOTS_PER_PAGE;
        let first = u32::try_from(first).expect("fewer than 2^32 slots");
        let page = (0..SLOTS_PER_PAGE).map(|_| Slot::unused()).collect();
        self.pages.push(page);
        // The lowest index goes out first.
        let last = first + SLOTS_PER_PAGE as u32;
        self.free.extend((first..last).rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_key_of_an_earlier_use_finds_nothing() {
        let mut slots = Slots::default();
        let first = slots.insert(socket(), Role::Session);
        let _ = slots.find(first).unwrap().in_flight.close();
        slots.free(first);
        let second = slots.insert(socket(), Role::Session);
        assert_eq!(first.index(), second.index());
        assert!(slots.find(first).is_none() && slots.look(first).is_none());
        assert!(slots.whole(first).is_none());
        assert_eq!(slots.whole(second), Some(second));
        assert_eq!(slots.open(), 1);
    }

    #[test]
    fn slots_stay_in_place_while_the_slab_grows() {
        let mut slots = Slots::default();
        let keys: Vec<_> = (0..SLOTS_PER_PAGE)
            .map(|_| slots.insert(socket(), Role::Session))
            .collect();
        let places: Vec<_> = keys
            .iter()
            .map(|key| &raw const *slots.look(*key).unwrap())
            .collect();
        let more = slots.insert(socket(), Role::Session);
        assert_eq!(more.index(), SLOTS_PER_PAGE);
        for (key, place) in keys.iter().zip(places) {
            assert!(std::ptr::eq(slots.look(*key).unwrap(), place));
        }
        assert_eq!(slots.keys().len(), SLOTS_PER_PAGE + 1);
    }
}
