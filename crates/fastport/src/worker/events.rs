//! The engine's events, each to the one function that deals with it.

use crate::dispatch::strand::Work;
use crate::session::asks::Unanswered;
use crate::session::send_queue::reclaim;
use crate::session::shared::TRACE;
use crate::session::slot::{Phase, Reading, Slot};
use crate::worker::Worker;
use crate::worker::receive::note_panic;
use crate::{CloseReason, RejectReason, TlsFailure};
use fastport_buffer::{Chunk, SendBatch};
use fastport_engine::{CloseMode, Engine, Event, Key, SendFailure};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl<E: Engine> Worker<E> {
    pub(crate) fn on_event(&mut self, event: Event<E::Accepted>) {
        match event {
            Event::Received { key, chunk } => self.on_bytes(key, chunk),
            Event::Sent { key, batch, result } => self.on_sent(key, batch, result),
            Event::Accepted { listener, socket } => self.on_accepted(listener, socket),
            Event::AcceptFailed { error, .. } => self.on_accept_failed(&error),
            Event::Connected { key } => self.on_connected(key),
            Event::PeerFinished { key } => {
                self.refuse_proxied(key, RejectReason::ProxyHeader);
                self.end_handshake(key, TlsFailure::Ended);
                self.with_slot(key, |worker, slot| worker.on_peer_finished(slot));
            }
            // `Reading::Paused` was set when the pause was asked for: until this event what comes
            // is held.
            Event::RecvPaused { .. } => {}
            Event::Failed { key, error } => self.on_failed(key, &error),
            Event::Closed { key } => self.on_closed(key),
        }
    }

    #[inline]
    pub(crate) fn on_bytes(&mut self, key: Key, chunk: Chunk) {
        match self.slots.get(key.index()) {
            Some(Some(slot)) if slot.key == key => {
                self.with_slot(key, |worker, slot| worker.on_received(slot, chunk));
            }
            _ => self.on_unclaimed(key, chunk),
        }
    }

    fn on_sent(&mut self, key: Key, batch: SendBatch, result: Result<(), SendFailure>) {
        let bytes = batch.bytes();
        let engine = &mut self.engine;
        reclaim(batch, |chunk| engine.recycle(chunk));
        let sent = result
            .as_ref()
            .map_or_else(|failure| failure.sent, |()| bytes);
        self.link.counters.bytes_out.add(sent as u64);
        self.on_handshake_sent(key, result.is_ok());
        self.with_slot(key, |worker, slot| {
            slot.send_in_flight = false;
            slot.last_progress = worker.now();
            let shared = slot.session.shared();
            shared.bytes_out.add(sent as u64);
            let low = slot.config().send_low_watermark;
            let local = shared.local.with(|queue| {
                // A blocked strand waits for the queue to fall so low.
                let falls = slot.strand.is_some() && queue.bytes() > low;
                queue.in_flight -= bytes;
                shared.publish_local(queue.bytes());
                let wants_attention = queue.above_high || queue.pieces.bytes() > 0 || falls;
                (queue.bytes(), wants_attention)
            });
            // Only this thread gets here, and not from within.
            let (local, wants_attention) = local.unwrap_or_default();
            let queued = local + shared.remote_bytes();
            worker.account(slot, queued);
            if let Err(failure) = result {
                worker.break_off(slot, &failure.error);
            } else if wants_attention
                || slot.phase != Phase::Open
                || !slot.held.is_empty()
                || slot.reading == Reading::Paused
            {
                slot.session.shared().attend();
            }
        });
    }

    /// The peer will send no more: what it sent is answered, then the session ends.
    fn on_peer_finished(&mut self, slot: &mut Slot) {
        slot.reading = Reading::Finished;
        match slot.phase {
            Phase::Open => {
                let reason = if slot.is_secured() && self.is_cut_off(slot) {
                    CloseReason::TlsTruncated
                } else {
                    slot.end_of_stream()
                };
                if !self.end_at_rest(slot, reason) {
                    self.end_when_handled(slot, reason);
                }
            }
            Phase::Flushing { .. } => slot.session.shared().attend(),
            Phase::Lingering { .. } => self.close_now(slot, CloseMode::Orderly),
            Phase::Closing => {}
        }
    }

    /// Ends the session once everything that was received is handled.
    pub(crate) fn end_when_handled(&mut self, slot: &mut Slot, reason: CloseReason) {
        if slot.ending.is_some() {
            return;
        }
        if slot.strand.is_some() && slot.held.is_empty() {
            let _ = slot.end_after_work(reason);
        } else {
            slot.ends_after_held = true;
            slot.ending = Some(reason);
            slot.session.shared().attend();
        }
    }

    fn on_failed(&mut self, key: Key, error: &io::Error) {
        if self.connecting.contains_key(&key) {
            let os_code = error.raw_os_error();
            self.abandon_connect(key, CloseReason::ConnectFailed { os_code });
            return;
        }
        self.refuse_proxied(key, RejectReason::ProxyHeader);
        self.end_handshake(key, TlsFailure::Ended);
        self.with_slot(key, |worker, slot| worker.break_off(slot, error));
    }

    /// The connection is unusable: nothing more is sent or delivered.
    fn break_off(&mut self, slot: &mut Slot, error: &io::Error) {
        slot.broken = true;
        let os_code = error.raw_os_error();
        slot.session
            .shared()
            .request_disconnect(CloseReason::PeerReset { os_code });
        slot.session.shared().attend();
    }

    fn on_closed(&mut self, key: Key) {
        let place = self.slots.get_mut(key.index());
        let slot = place.and_then(|place| place.take_if(|slot| slot.key == key));
        if let Some(slot) = slot {
            self.bury(*slot);
        } else if self.listeners.remove(&key).is_some() {
            self.end_listeners(1);
        } else {
            self.abandoned.remove(&key);
        }
    }

    /// The last act of a session: its handler is told, then it is gone.
    pub(crate) fn bury(&mut self, mut slot: Slot) {
        let shared = slot.session.shared().clone();
        let reason = shared.reason().unwrap_or(CloseReason::WorkerFailed);
        slot.carry.clear();
        self.forget_secured(&slot);
        shared.clear_queues();
        shared.publish_local(0);
        self.link.audience.with(|audience| {
            audience.leave(&slot.session);
        });
        shared.leave_rooms();
        shared.end_unauthenticated();
        slot.conclude(shared.cancel_asks(reason));
        self.queued_change -= slot.accounted as isize;
        self.link.counters.count_closed(reason);
        self.release(slot.standing, shared.peer());
        if slot.strand.is_some() {
            slot.push_work(Work::Disconnected(reason));
        } else {
            let handler = &shared.context.handler;
            slot.call(|slot| handler.on_disconnected(&slot.session, reason));
        }
        shared.context.worker.service.registry.remove(shared.id);
        tracing::debug!(session = %shared.id, %reason, "session ended");
        if shared.is_traced() {
            tracing::info!(target: TRACE, session = %shared.id, %reason, "ended");
        }
    }
}

impl Slot {
    /// Tells the handler that the session has begun.
    pub(crate) fn announce_opened(&self) {
        let inbound = self.session.is_inbound();
        if self.strand.is_some() {
            self.push_work(if inbound {
                Work::Accepted
            } else {
                Work::Connected
            });
            return;
        }
        self.call(|slot| slot.session.shared().context.announce(&slot.session));
    }

    /// Tells those whose requests have no answer.
    pub(crate) fn conclude(&self, unanswered: Vec<Unanswered>) {
        if unanswered.is_empty() {
            return;
        }
        if self.strand.is_some() {
            self.push_work(Work::Unanswered(unanswered));
        } else {
            for one in unanswered {
                self.call(|slot| one.tell(&slot.session));
            }
        }
    }

    /// Calls an inline handler. A panic ends the session, not the worker.
    pub(crate) fn call(&self, act: impl FnOnce(&Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| act(self))) {
            note_panic(&self.session, panic);
        }
    }
}
