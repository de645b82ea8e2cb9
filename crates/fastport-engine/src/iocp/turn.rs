//! A worker's turn: packets first, then the keys that have something to do, until none has or the
//! turn's events are spent.

use super::operation::Ended;
use super::slots::Role;
use super::{Event, IocpEngine};
use crate::{InFlight, Key, Op, Wait};
use std::time::{Duration, Instant};

/// Events of one turn, so that a key which always has one does not keep the worker from its timers.
pub(super) const EVENTS_MAX: u32 = 4096;

/// What serving a ready key came to.
pub(super) enum Served {
    /// This happened; there may be more.
    Event(Event),
    /// Nothing happened, and there may be more.
    Again,
    /// Nothing is to be done until a packet comes or something is asked for.
    Idle,
    /// The others come first.
    NextTurn,
    /// There is no buffer to receive into.
    Starved,
}

impl IocpEngine {
    /// The event that a packet leads to, if it leads to one at once.
    #[inline]
    fn complete(&mut self, ended: Ended) -> Option<Event> {
        let key = self.memory.slots.key_at(ended.owner);
        debug_assert!(key.is_some(), "a packet for a slot that was freed");
        let key = key?;
        match ended.kind {
            Op::Recv => self.on_receive_ended(key),
            Op::Accept => self.on_accept_ended(key, ended.position),
            // The connect has used the OVERLAPPED of the sends that come after it.
            _ if self.memory.slots.find(key)?.in_flight.has(Op::Connect) => {
                self.on_connect_ended(key)
            }
            _ => self.on_send_ended(key),
        }
    }

    /// The next thing that a ready key leads to.
    #[inline]
    fn serve(&mut self, key: Key) -> Served {
        let Some(slot) = self.memory.slots.find(key) else {
            return Served::Idle;
        };
        if slot.in_flight == InFlight::Closed {
            self.memory.slots.free(key);
            return Served::Event(Event::Closed { key });
        }
        if !slot.in_flight.is_open() {
            return Served::Idle;
        }
        let event = match slot.role {
            Role::Session => self.take_sent(key),
            Role::Connecting(_) => self.take_connected(key),
            Role::Listener(_) => self.take_accept_failure(key),
        };
        match event {
            Some(event) => Served::Event(event),
            None => self.receive(key),
        }
    }

    /// Does what was put off and is due. When the next is.
    fn retry(&mut self) -> Option<Instant> {
        if self.retries.is_empty() {
            return None;
        }
        let sockets_are_back = std::mem::take(&mut self.closed_since);
        let now = Instant::now();
        for (at, key) in std::mem::take(&mut self.retries) {
            let Some(slot) = self.memory.slots.find(key) else {
                continue;
            };
            let listens = matches!(slot.role, Role::Listener(_));
            if at > now && !(listens && sockets_are_back) {
                self.retries.push((at, key));
            } else if listens {
                self.post_accepts(key);
            } else if slot.in_flight.is_open() {
                self.push_send(key);
            }
        }
        self.retries.iter().map(|(at, _)| *at).min()
    }

    /// How long the port may wait: as asked, and not past what the engine itself has to do.
    pub(super) fn timeout(&mut self, wait: Wait) -> Option<Duration> {
        let starving = self.feed_starved();
        let steady = self.steady.next_look();
        let retry = [self.retry(), self.press_closes(), steady];
        if !self.ready.is_empty() || !self.later.is_empty() {
            return Some(Duration::ZERO);
        }
        let timeout = wait.timeout(retry.into_iter().flatten().min());
        let starved = starving.then_some(self.starved_wait);
        [timeout, starved].into_iter().flatten().min()
    }

    /// The next event of this turn.
    #[inline]
    pub(super) fn next_of_turn(&mut self) -> Option<Event> {
        self.events_left.checked_sub(1)?;
        while let Some(overlapped) = self.port.next() {
            // SAFETY: only this engine's operations come out of its port, and none is freed before
            // its packet has come (`KernelMemory`).
            let ended = unsafe { Ended::of(overlapped) };
            if let Some(event) = self.complete(ended) {
                self.events_left -= 1;
                return Some(event);
            }
        }
        while let Some(key) = self.ready.front().copied() {
            let served = self.serve(key);
            match served {
                Served::Event(event) => {
                    self.events_left -= 1;
                    return Some(event);
                }
                Served::Again => continue,
                Served::Idle | Served::NextTurn | Served::Starved => {}
            }
            self.ready.pop_front();
            let Some(slot) = self.memory.slots.find(key) else {
                continue;
            };
            slot.queued = matches!(served, Served::NextTurn);
            if slot.queued {
                self.later.push(key);
            } else if matches!(served, Served::Starved) && !slot.starved {
                slot.starved = true;
                self.starved.push(key);
            }
        }
        None
    }
}
