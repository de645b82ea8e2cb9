//! Which of a worker's sessions hear what: all of them, and the members of each room.
//!
//! Only the owner touches it. Casts are applied before the owner appends anything of its own to a
//! session's queue, at the latest when its turn ends. Who heard something waits here in line to be
//! flushed, so many a turn: a message for ten thousand sessions is tens of milliseconds of sends,
//! and what comes meanwhile, the next such message too, need not wait for the last of them.

use crate::rooms::casts::{Cast, RoomId};
use crate::session::handle::{Session, SessionId};
use crate::worker::link::WorkerLink;
use fastport_engine::Key;
use indexmap::IndexMap;
use std::collections::{HashMap, VecDeque};

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// All sessions, by the index of their engine key.
    everyone: Vec<Option<Session>>,
    rooms: HashMap<RoomId, IndexMap<SessionId, Session>>,
    /// Sessions that wait to be flushed, longest first; each at most once, and it knows.
    line: VecDeque<Key>,
}

impl Audience {
    /// A session begins: it hears what is for everyone.
    pub(crate) fn enter(&mut self, session: &Session) {
        let index = session.shared().key.index();
        if self.everyone.len() <= index {
            self.everyone.resize_with(index + 1, || None);
        }
        self.everyone[index] = Some(session.clone());
    }

    /// A session has ended.
    pub(crate) fn leave(&mut self, session: &Session) {
        let place = self.everyone.get_mut(session.shared().key.index());
        if let Some(place) = place
            && place.as_ref() == Some(session)
        {
            *place = None;
        }
    }

    /// Forgets everybody: the worker ends.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Moves the first `count` of the line to `to`.
    fn call_up(&mut self, count: usize, to: &mut Vec<Key>) {
        let count = count.min(self.line.len());
        to.extend(self.line.drain(..count));
    }

    fn apply(&mut self, cast: Cast, number: u64) -> u64 {
        match cast {
            Cast::Join(room, session) => {
                self.rooms
                    .entry(room)
                    .or_default()
                    .insert(session.id(), session);
                0
            }
            Cast::Leave(room, id) => {
                if let Some(members) = self.rooms.get_mut(&room) {
                    members.swap_remove(&id);
                    if members.is_empty() {
                        self.rooms.remove(&room);
                    }
                }
                0
            }
            Cast::Frame {
                to,
                frame,
                key,
                except,
            } => {
                let line = &mut self.line;
                let taken = |session: &&Session| {
                    Some(session.id()) != except
                        && session.shared().enqueue_cast(&frame, key, number, line)
                };
                let taken = match to {
                    None => {
                        let everyone = self.everyone.iter().flatten();
                        let known = everyone.filter(|session| session.is_authenticated());
                        known.filter(taken).count()
                    }
                    Some(room) => {
                        let members = self.rooms.get(&room);
                        members.map_or(0, |members| members.values().filter(taken).count())
                    }
                };
                taken as u64
            }
        }
    }
}

impl WorkerLink {
    /// Applies the casts that wait. Owner only; elsewhere, and inside itself, it does nothing.
    pub(crate) fn apply_casts(&self) {
        if !self.casts.are_waiting() {
            return;
        }
        self.audience.with(|audience| {
            while let Some(cast) = self.casts.take() {
                let number = self.casts.applied() + 1;
                let queued = audience.apply(cast, number);
                self.counters.shared_queued.add(queued);
                self.casts.note_applied();
            }
        });
    }
    /// Whether sessions wait to be flushed. Owner only.
    pub(crate) fn has_line(&self) -> bool {
        let waits = self.audience.with(|audience| !audience.line.is_empty());
        waits == Some(true)
    }

    /// Moves the first `count` sessions that wait to be flushed to `to`. Owner only.
    pub(crate) fn call_up(&self, count: usize, to: &mut Vec<Key>) {
        self.audience.with(|audience| audience.call_up(count, to));
    }
}
