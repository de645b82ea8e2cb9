//! The keys that the session layer knows, and what is known of each.
//!
//! They are not the engine's keys: a key whose end is told late must not be given to another
//! meanwhile, though the engine uses its own again.

use super::account::{Account, Role};
use crate::random::Random;
use fastport_buffer::SendBatch;
use fastport_engine::{CloseMode, Event, Key};
use std::collections::VecDeque;

/// A connection or a listener.
pub(super) struct Life<S> {
    /// The engine's key.
    pub(super) inner: Key,
    pub(super) stage: Stage,
    /// Decides what befalls this one, whatever the others do.
    pub(super) random: Random,
    pub(super) account: Account,
    /// What happened and is not told.
    pub(super) queue: VecDeque<Event<S>>,
    /// The turn before which nothing of it is told.
    pub(super) until: u64,
    /// Whether it is on one of the lists of those with a queue.
    pub(super) listed: bool,
    /// Whether the connection was made.
    pub(super) stands: bool,
    /// Whether the end of the stream or of the connection was queued.
    pub(super) over: bool,
    pub(super) sending: Sending,
    pub(super) address_lost: bool,
    /// How it will be closed.
    pub(super) mode: CloseMode,
}

/// What the engine has of a key.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Open,
    /// It was told to close, by a fault or by the session layer.
    Closing,
    /// It said that it is closed.
    Gone,
}

/// What the engine has of a send.
pub(super) enum Sending {
    Nothing,
    All,
    /// The first bytes of this batch alone: the send will fail.
    Half(SendBatch),
}

impl<S> Life<S> {
    pub(super) fn new(inner: Key, role: Role, random: Random) -> Self {
        Self {
            inner,
            stage: Stage::Open,
            random,
            account: Account::new(role),
            queue: VecDeque::new(),
            until: 0,
            listed: false,
            stands: role == Role::Connected,
            over: false,
            sending: Sending::Nothing,
            address_lost: false,
            mode: CloseMode::Orderly,
        }
    }
}

/// The lives by their keys, and by the engine's.
pub(super) struct Lives<S> {
    places: Vec<Place<S>>,
    /// Those used last are used again first, as engines do.
    free: Vec<u32>,
    /// The key here of the engine's key with this index.
    outer: Vec<Option<Key>>,
}

struct Place<S> {
    generation: u32,
    life: Option<Box<Life<S>>>,
}

impl<S> Default for Lives<S> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            outer: Vec::new(),
        }
    }
}

impl<S> Lives<S> {
    pub(super) fn insert(&mut self, life: Life<S>) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                life: None,
            });
            u32::try_from(self.places.len() - 1).expect("fewer than 4 billion keys")
        });
        let place = &mut self.places[index as usize];
        let key = Key::new(index, place.generation);
        let at = life.inner.index();
        if self.outer.len() <= at {
            self.outer.resize(at + 1, None);
        }
        assert!(self.outer[at].is_none(), "the engine gave a key twice");
        self.outer[at] = Some(key);
        place.life = Some(Box::new(life));
        key
    }

    /// The key here of one of the engine's.
    pub(super) fn outer(&self, inner: Key) -> Option<Key> {
        let key = self.outer.get(inner.index()).copied().flatten()?;
        self.look(key)
            .is_some_and(|life| life.inner == inner)
            .then_some(key)
    }

    pub(super) fn look(&self, key: Key) -> Option<&Life<S>> {
        let place = self.places.get(key.index())?;
        let life = place.life.as_deref()?;
        (place.generation == key.generation()).then_some(life)
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut Life<S>> {
        let place = self.places.get_mut(key.index())?;
        let life = place.life.as_deref_mut()?;
        (place.generation == key.generation()).then_some(life)
    }

    /// The engine has let go of its key, and may use it again.
    pub(super) fn forget_inner(&mut self, inner: Key) {
        self.outer[inner.index()] = None;
    }

    /// The end of a key was told.
    pub(super) fn free(&mut self, key: Key) {
        let place = &mut self.places[key.index()];
        place.life = None;
        place.generation += 1;
        self.free
            .push(u32::try_from(key.index()).unwrap_or(u32::MAX));
    }

    pub(super) fn open(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Life<S>> {
        let lives = self.places.iter_mut();
        lives.filter_map(|place| place.life.as_deref_mut())
    }
}
