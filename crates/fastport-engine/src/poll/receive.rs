//! Receiving: one chunk each time an event is asked for, so that what was given back meanwhile is
//! used again while it is warm.

use super::slots::{Receive, Role, Slot};
use super::{PollEngine, Served};
use crate::{Event, Key, Op};
use std::io::{self, Read};
use std::time::Duration;

/// How long a wait may take at first while keys starve, since nobody wakes us when another thread
/// drops a chunk.
pub(super) const STARVED_WAIT_MIN: Duration = Duration::from_millis(1);
/// What it grows to while nothing comes back.
const STARVED_WAIT_MAX: Duration = Duration::from_millis(4);

impl PollEngine {
    /// See [`Engine::arm_recv`](crate::Engine::arm_recv).
    pub(super) fn want_receive(&mut self, key: Key) {
        let slot = self.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        if matches!(slot.role, Role::Listener(_)) {
            return;
        }
        match slot.receive {
            Receive::Idle => {
                slot.in_flight.begin(Op::Recv);
                self.operations += 1;
            }
            Receive::Pausing => {}
            Receive::Armed | Receive::Ended => return,
        }
        slot.receive = Receive::Armed;
        // No new edge comes for bytes that came during the pause.
        if slot.readable {
            self.enqueue(key);
        }
    }

    /// See [`Engine::pause_recv`](crate::Engine::pause_recv).
    pub(super) fn pause_receive(&mut self, key: Key) {
        if let Some(slot) = self.slots.find(key)
            && slot.receive == Receive::Armed
        {
            slot.receive = Receive::Pausing;
            self.enqueue(key);
        }
    }

    /// What the receiving of a key that stands leads to.
    #[inline]
    pub(super) fn receive(&mut self, key: Key) -> Served {
        let Some(slot) = self.slots.find(key) else {
            return Served::Idle;
        };
        match slot.receive {
            Receive::Armed if slot.readable => {}
            Receive::Pausing => {
                slot.receive = Receive::Idle;
                self.operations -= slot.finish(Op::Recv);
                return Served::Event(Event::RecvPaused { key });
            }
            _ => return Served::Idle,
        }
        if !slot.budget.allows(self.turn, self.receive_budget) {
            return Served::NextTurn;
        }
        let Some(id) = self.chunks.acquire() else {
            return Served::Starved;
        };
        let buffer = self.chunks.buffer_mut(id);
        let Some(outcome) = slot.read(buffer) else {
            self.chunks.release(id);
            return Served::Idle;
        };
        if let Ok(bytes @ 1..) = outcome {
            let chunk = self.chunks.lend(id, bytes);
            return Served::Event(Event::Received { key, chunk });
        }
        self.chunks.release(id);
        slot.receive = Receive::Ended;
        self.operations -= slot.finish(Op::Recv);
        Served::Event(match outcome {
            Ok(_) => Event::PeerFinished { key },
            Err(error) => Event::Failed { key, error },
        })
    }

    /// Serves the starved keys again when buffers are back. True when none is and keys wait.
    pub(super) fn feed_starved(&mut self) -> bool {
        if self.starved.is_empty() {
            return false;
        }
        self.chunks.collect();
        if self.chunks.lent() == self.chunks.count() {
            // Keys that were closed meanwhile must not pile up.
            let slots = &self.slots;
            self.starved.retain(|key| slots.look(*key).is_some());
            self.starved_wait = (self.starved_wait * 2).min(STARVED_WAIT_MAX);
            return !self.starved.is_empty();
        }
        self.starved_wait = STARVED_WAIT_MIN;
        for key in std::mem::take(&mut self.starved) {
            if let Some(slot) = self.slots.find(key) {
                slot.starved = false;
                self.enqueue(key);
            }
        }
        false
    }
}

impl Slot {
    /// Reads once. `None` when there is nothing now.
    fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let Role::Stream(stream) = &mut self.role else {
            return None;
        };
        let outcome = loop {
            match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(bytes) => {
                self.budget.spend(bytes);
                // A read shorter than the buffer has emptied the socket, and what comes after it
                // makes a new edge (`epoll(7)`, "Questions and answers" 9).
                if bytes < buffer.len() && !self.read_to_end {
                    self.readable = false;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return None;
            }
            Err(_) => {}
        }
        Some(outcome)
    }

    /// Notes the end of an operation that may be outstanding; how many that were.
    pub(super) fn finish(&mut self, op: Op) -> usize {
        let outstanding = self.in_flight.has(op);
        if outstanding {
            let _ = self.in_flight.finish(op);
        }
        usize::from(outstanding)
    }
}
