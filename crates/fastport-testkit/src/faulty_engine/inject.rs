//! What becomes of what the engine says, and how a fault ends a connection.

use super::faults::Injected;
use super::lives::{Sending, Stage};
use super::{ECONNREFUSED, ECONNRESET, EMFILE, EPIPE, FaultyEngine};
use fastport_buffer::SendBatch;
use fastport_engine::{CloseMode, Engine, Event, Key, SendFailure};
use std::io;

impl<E: Engine, const SEED: u64> FaultyEngine<E, SEED> {
    /// Takes an event from the engine: as it is, another instead, or more of them.
    pub(super) fn take_in(&mut self, event: Event<E::Accepted>) {
        let inner = key_of(&event);
        let key = self.lives.outer(inner);
        let key = key.expect("an event of a key that the engine did not give or has taken back");
        let Some(life) = self.lives.find(key) else {
            return;
        };
        if matches!(event, Event::Closed { .. }) {
            return self.on_closed(key);
        }
        if life.account.closing || life.stage != Stage::Open {
            // Nobody is to know of it any more.
            if let Event::Received { chunk, .. } = event {
                self.inner.recycle(chunk);
            }
            return;
        }
        match event {
            Event::Accepted { socket, .. } => {
                let listener = key;
                // One error for a pause.
                if life.queue.is_empty() && life.random.chance(self.faults.accept_error) {
                    self.fail_to_accept(key);
                }
                self.push(key, Event::Accepted { listener, socket });
            }
            Event::AcceptFailed { error, .. } => {
                let listener = key;
                self.push(key, Event::AcceptFailed { listener, error });
            }
            Event::Connected { .. } => self.on_connected(key),
            Event::Received { chunk, .. } => {
                if chunk.len() > 1 && life.random.chance(self.faults.split) {
                    let at = life.random.between(1, chunk.len() - 1);
                    let first = chunk.split(0..at);
                    let mut chunk = chunk;
                    chunk.advance(at);
                    self.push(key, Event::Received { key, chunk: first });
                    self.push(key, Event::Received { key, chunk });
                } else {
                    self.push(key, Event::Received { key, chunk });
                }
            }
            Event::PeerFinished { .. } => {
                life.over = true;
                self.push(key, Event::PeerFinished { key });
            }
            Event::RecvPaused { .. } => self.push(key, Event::RecvPaused { key }),
            Event::Sent { batch, result, .. } => self.on_sent(key, batch, result),
            Event::Failed { error, .. } => {
                life.over = true;
                // A second one must not follow.
                life.stands = false;
                self.push(key, Event::Failed { key, error });
            }
            Event::Closed { .. } => {}
        }
        self.fail_by_chance(key);
    }

    fn on_closed(&mut self, key: Key) {
        let Some(life) = self.lives.find(key) else {
            return;
        };
        assert_ne!(life.stage, Stage::Open, "closed, and not asked to");
        life.stage = Stage::Gone;
        let (inner, closing) = (life.inner, life.account.closing);
        self.lives.forget_inner(inner);
        if closing {
            self.push(key, Event::Closed { key });
        }
    }

    fn fail_to_accept(&mut self, listener: Key) {
        self.record.note(Injected::AcceptError);
        let error = io::Error::from_raw_os_error(EMFILE);
        self.push(listener, Event::AcceptFailed { listener, error });
    }

    fn on_connected(&mut self, key: Key) {
        let Some(life) = self.lives.find(key) else {
            return;
        };
        if life.random.chance(self.faults.connect_failed) {
            self.record.note(Injected::ConnectFailed);
            self.cut(key);
            let error = io::Error::from_raw_os_error(ECONNREFUSED);
            return self.push(key, Event::Failed { key, error });
        }
        life.stands = true;
        self.push(key, Event::Connected { key });
    }

    fn on_sent(&mut self, key: Key, part: SendBatch, result: Result<(), SendFailure>) {
        let Some(life) = self.lives.find(key) else {
            return;
        };
        let sending = std::mem::replace(&mut life.sending, Sending::Nothing);
        let Sending::Half(batch) = sending else {
            let batch = part;
            return self.push(key, Event::Sent { key, batch, result });
        };
        self.record.note(Injected::SendBroken);
        let failure = result.err().unwrap_or_else(|| SendFailure {
            sent: part.bytes(),
            error: io::Error::from_raw_os_error(EPIPE),
        });
        let result = Err(failure);
        // What was received ends too, before or after it.
        let is_first = life.random.chance(500);
        self.cut(key);
        if is_first {
            self.push_failed(key);
        }
        self.push(key, Event::Sent { key, batch, result });
        self.push_failed(key);
    }

    /// A connection may fail at any moment, but not while the engine has a send of it: its batch
    /// would not come back.
    pub(super) fn fail_by_chance(&mut self, key: Key) {
        let Some(life) = self.lives.find(key) else {
            return;
        };
        let may = life.stands
            && life.stage == Stage::Open
            && !life.account.closing
            && matches!(life.sending, Sending::Nothing);
        if may && life.random.chance(self.faults.failed) {
            self.record.note(Injected::Failed);
            self.cut(key);
            self.push_failed(key);
        }
    }

    /// Resets the connection in truth; its key lives on.
    fn cut(&mut self, key: Key) {
        let Some(life) = self.lives.find(key) else {
            return;
        };
        if let Ok(peer) = self.inner.peer_address(life.inner) {
            self.record.note_broken(peer);
        }
        life.stage = Stage::Closing;
        self.inner.close(life.inner, CloseMode::Abort);
    }

    /// Tells that the connection failed, unless its receiving has ended already.
    fn push_failed(&mut self, key: Key) {
        if let Some(life) = self.lives.find(key).filter(|life| !life.over) {
            life.over = true;
            let error = io::Error::from_raw_os_error(ECONNRESET);
            self.push(key, Event::Failed { key, error });
        }
    }

    /// Queues what is to be told.
    pub(super) fn push(&mut self, key: Key, event: Event<E::Accepted>) {
        let Some(life) = self.lives.find(key) else {
            return;
        };
        life.queue.push_back(event);
        if !life.listed {
            life.listed = true;
            self.list(key, false);
        }
    }

    /// Decides whether the next event of a key is told in this turn or in a later one; in a later
    /// one if it must be `late`.
    pub(super) fn list(&mut self, key: Key, late: bool) {
        let turn = self.turn;
        let Some(life) = self.lives.find(key) else {
            return;
        };
        if late || life.random.chance(self.faults.held) {
            let turns = life.random.between(1, self.faults.held_turns.max(1));
            life.until = turn + turns as u64;
            self.waiting.push(key);
        } else {
            self.ready.push_back(key);
        }
    }
}

/// The engine's key that an event is of.
fn key_of<S>(event: &Event<S>) -> Key {
    match event {
        Event::Accepted { listener: key, .. }
        | Event::AcceptFailed { listener: key, .. }
        | Event::Connected { key }
        | Event::Received { key, .. }
        | Event::PeerFinished { key }
        | Event::RecvPaused { key }
        | Event::Sent { key, .. }
        | Event::Failed { key, .. }
        | Event::Closed { key } => *key,
    }
}
