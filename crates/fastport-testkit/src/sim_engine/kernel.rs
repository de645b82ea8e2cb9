//! What becomes of the operations of a simulated engine: one step, one bit of progress each.
//!
//! Only this module makes events. What it holds of a key is on record twice, in `InFlight` and in
//! the slot's own fields, so that a `Closed` which comes too early is seen here.

use super::net::Answer;
use super::slots::{Receive, Role, Sending, Slot};
use super::{ECONNABORTED, ECONNRESET, EMFILE, EPIPE, SimEngine, SimSocket};
use crate::check;
use fastport_engine::{CloseMode, Event, Key, Op, SendFailure};
use std::io;
use std::time::Duration;

impl SimEngine {
    /// The kernel works on every key once, or not.
    pub fn step_kernel(&mut self) {
        let count = self.slots.capacity();
        let first = self.random.below(count);
        for index in (first..count).chain(0..first) {
            if let Some(key) = self.slots.key_at(index)
                && !self.random.chance(self.faults.lazy)
            {
                self.step(key);
            }
        }
    }

    fn step(&mut self, key: Key) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        if !slot.in_flight.is_open() {
            self.reap(key);
            return;
        }
        match slot.role {
            Role::Listener => self.accept(key),
            Role::Connecting(to) => {
                if let Some(answer) = self.net.answer(to) {
                    self.finish_connect(key, answer);
                }
            }
            Role::Connected if self.random.chance(500) => {
                self.receive(key);
                self.continue_send(key);
            }
            Role::Connected => {
                self.continue_send(key);
                self.receive(key);
            }
        }
    }

    /// An operation of a closed key ends at last.
    fn reap(&mut self, key: Key) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        if let Some(left) = slot.late.checked_sub(1) {
            slot.late = left;
            return;
        }
        let all = [Op::Recv, Op::Send, Op::Connect, Op::Accept];
        let outstanding: Vec<Op> = all.into_iter().filter(|op| holds(slot, *op)).collect();
        if outstanding.is_empty() {
            return;
        }
        let op = outstanding[self.random.below(outstanding.len())];
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        match op {
            Op::Recv => slot.receive = Receive::Ended,
            Op::Send => slot.sending = None,
            Op::Connect => {
                if let Role::Connecting(to) = std::mem::replace(&mut slot.role, Role::Connected) {
                    self.net.forget_attempt(to);
                }
            }
            _ => slot.role = Role::Connected,
        }
        let due = self
            .slots
            .find(key)
            .is_some_and(|slot| slot.in_flight.finish(op));
        if due {
            self.finish_close(key);
        }
    }

    /// Nothing is outstanding: the descriptor is closed and `Closed` is due.
    pub(super) fn finish_close(&mut self, key: Key) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        let all = [Op::Recv, Op::Send, Op::Connect, Op::Accept];
        let held = all.into_iter().find(|op| holds(slot, *op));
        let descriptor = std::mem::take(&mut slot.descriptor);
        if let Some(wire) = slot.wire.take() {
            wire.host_close(slot.mode == CloseMode::Abort);
        }
        check!(
            self.verdict,
            held.is_none(),
            "{key:?} closed, but the kernel holds a {held:?}"
        );
        if descriptor {
            self.net.give_descriptor();
        }
        self.queue(key, Event::Closed { key });
    }

    fn accept(&mut self, listener: Key) {
        let now = self.net.now();
        let waiting = self.net.waiting() > 0;
        let Some(slot) = self.slots.find(listener) else {
            return;
        };
        if slot.retry_at.is_some_and(|at| at > now) || !waiting {
            return;
        }
        slot.retry_at = None;
        if self.random.chance(self.faults.accept_error) || !self.net.take_descriptor() {
            let (min, max) = (self.retry_min, self.retry_max);
            if let Some(slot) = self.slots.find(listener) {
                slot.retry_after = (slot.retry_after * 2).clamp(min, max);
                slot.retry_at = Some(now + slot.retry_after);
            }
            let error = io::Error::from_raw_os_error(EMFILE);
            self.queue(listener, Event::AcceptFailed { listener, error });
            return;
        }
        if let Some(slot) = self.slots.find(listener) {
            slot.retry_after = Duration::ZERO;
        }
        let Some(wire) = self.net.next_waiting() else {
            self.net.give_descriptor();
            return;
        };
        if self.random.chance(self.faults.accept_aborted) {
            wire.host_close(true);
            self.net.give_descriptor();
            let error = io::Error::from_raw_os_error(ECONNABORTED);
            self.queue(listener, Event::AcceptFailed { listener, error });
            return;
        }
        let socket = SimSocket {
            net: self.net.clone(),
            wire: Some(wire),
        };
        self.queue(listener, Event::Accepted { listener, socket });
    }

    fn finish_connect(&mut self, key: Key, answer: Answer) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        slot.role = Role::Connected;
        let _ = slot.in_flight.finish(Op::Connect);
        let event = match answer {
            Answer::Accepted(wire) => {
                slot.wire = Some(wire);
                Event::Connected { key }
            }
            Answer::Refused(code) => {
                slot.failed = true;
                let error = io::Error::from_raw_os_error(code);
                Event::Failed { key, error }
            }
            Answer::Never => return,
        };
        self.queue(key, event);
    }

    fn receive(&mut self, key: Key) {
        for _ in 0..self.random.between(1, 3) {
            if !self.receive_once(key) {
                return;
            }
        }
    }

    /// Whether the receive goes on.
    fn receive_once(&mut self, key: Key) -> bool {
        let pause_now = self.random.chance(600);
        let error_now = self.random.chance(self.faults.receive_error);
        let data_first = self.random.chance(500);
        let Some(slot) = self.slots.find(key) else {
            return false;
        };
        let Some(wire) = slot.wire.clone() else {
            return false;
        };
        match slot.receive {
            Receive::Idle | Receive::Ended => return false,
            Receive::Pausing if pause_now => {
                slot.receive = Receive::Idle;
                let _ = slot.in_flight.finish(Op::Recv);
                self.queue(key, Event::RecvPaused { key });
                return false;
            }
            Receive::Pausing | Receive::Armed => {}
        }
        if error_now {
            wire.break_by_fault();
        }
        let available = wire.inbound_bytes();
        if available > 0 && (data_first || !wire.is_broken()) {
            return self.receive_data(key, &wire, available);
        }
        let event = if wire.is_broken() && !slot.failed {
            slot.failed = true;
            let error = io::Error::from_raw_os_error(ECONNRESET);
            Event::Failed { key, error }
        } else if wire.is_at_fin() && !slot.failed {
            Event::PeerFinished { key }
        } else {
            return false;
        };
        slot.receive = Receive::Ended;
        let _ = slot.in_flight.finish(Op::Recv);
        self.queue(key, event);
        false
    }

    fn receive_data(&mut self, key: Key, wire: &super::Wire, available: usize) -> bool {
        if self.random.chance(self.faults.no_buffer) {
            return false;
        }
        let Some(id) = self.chunks.acquire() else {
            return false;
        };
        let most = available.min(self.chunks.bytes());
        let bytes = match self.random.chance(self.faults.short_read) {
            true => self.random.between(1, most),
            false => most,
        };
        wire.take_inbound(&mut self.chunks.buffer_mut(id)[..bytes]);
        let chunk = self.chunks.lend(id, bytes);
        self.queue(key, Event::Received { key, chunk });
        true
    }

    fn continue_send(&mut self, key: Key) {
        let fails = self.random.chance(self.faults.send_error);
        let short = self.random.chance(self.faults.short_write);
        let part = self.random.bits();
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        let (Some(sending), Some(wire)) = (&mut slot.sending, &slot.wire) else {
            return;
        };
        if fails {
            wire.break_by_fault();
        }
        let result = if wire.is_broken() {
            let code = if fails { EPIPE } else { ECONNRESET };
            Err(SendFailure {
                sent: sending.sent,
                error: io::Error::from_raw_os_error(code),
            })
        } else {
            let mut room = wire.room().min(sending.batch.bytes() - sending.sent);
            if short && room > 1 {
                room = 1 + (part % room as u64) as usize;
            }
            wire.put_outbound(&next_bytes(sending, room));
            sending.sent += room;
            if sending.sent < sending.batch.bytes() {
                return;
            }
            Ok(())
        };
        let Some(Sending { batch, .. }) = slot.sending.take() else {
            return;
        };
        slot.sent_unreported = true;
        let _ = slot.in_flight.finish(Op::Send);
        self.queue(key, Event::Sent { key, batch, result });
    }
}

/// What the kernel really holds of a key, whatever `InFlight` says.
fn holds(slot: &Slot, op: Op) -> bool {
    match op {
        Op::Recv => matches!(slot.receive, Receive::Armed | Receive::Pausing),
        Op::Send => slot.sending.is_some(),
        Op::Connect => matches!(slot.role, Role::Connecting(_)),
        Op::Accept => matches!(slot.role, Role::Listener),
        _ => false,
    }
}

/// The next `bytes` bytes of a batch.
fn next_bytes(sending: &Sending, bytes: usize) -> Vec<u8> {
    let mut skip = sending.sent;
    let mut out = Vec::with_capacity(bytes);
    for piece in sending.batch.pieces() {
        let piece = piece.as_slice();
        let from = skip.min(piece.len());
        skip -= from;
        let to = piece.len().min(from + bytes - out.len());
        out.extend_from_slice(&piece[from..to]);
    }
    out
}
