//! The one place that decides how a session ends; see [`crate::session::slot`] for the phases.

use crate::CloseReason;
use crate::session::slot::{Phase, Reading, Slot};
use crate::worker::Worker;
use fastport_engine::{CloseMode, Engine};

impl<E: Engine> Worker<E> {
    /// The end was asked for: nothing more is delivered. What is queued is flushed if that makes
    /// sense.
    pub(crate) fn begin_close(&mut self, slot: &mut Slot) {
        for chunk in slot.held.take() {
            self.engine.recycle(chunk);
        }
        slot.carry.clear();
        slot.frame_started = None;
        let reason = slot
            .session
            .shared()
            .reason()
            .unwrap_or(CloseReason::Requested);
        if slot.broken || !reason.flushes() {
            slot.session.shared().clear_queues();
            self.close_now(slot, CloseMode::Abort);
            return;
        }
        self.say_farewell(slot, reason);
        let deadline = self.now() + slot.config().flush_timeout;
        slot.phase = Phase::Flushing { deadline };
        // What still comes is discarded, but FIN and reset must be seen.
        if slot.reading == Reading::Paused {
            slot.reading = Reading::Armed;
            self.engine.arm_recv(slot.key);
        }
        self.file_deadline(slot);
    }

    /// Ends a session that has nothing left to do when its peer finishes, as most have. False:
    /// there is something, and nothing was done.
    pub(crate) fn end_at_rest(&mut self, slot: &mut Slot, reason: CloseReason) -> bool {
        let shared = slot.session.shared();
        let rests = slot.is_undisturbed()
            && !self.link.casts.are_waiting()
            && shared.is_at_rest()
            && shared.note_end(reason);
        if !rests {
            return false;
        }
        slot.carry.clear();
        slot.frame_started = None;
        if shared.is_drained() {
            self.close_now(slot, CloseMode::Orderly);
        } else {
            // Another thread was faster than the note.
            shared.attend();
        }
        true
    }

    /// Queues what the peer is told, behind everything that was sent before.
    fn say_farewell(&self, slot: &Slot, reason: CloseReason) {
        let shared = slot.session.shared();
        let Some(farewell) = shared.farewell_for(reason) else {
            return;
        };
        self.link.apply_casts();
        let frame = farewell.frame();
        shared.local.with(|queue| {
            shared.splice(queue);
            queue
                .pieces
                .append(frame.len(), |memory| memory.copy_from_slice(&frame));
        });
    }

    /// Goes on with an end that was begun: half-close when all is sent, close when the peer has as
    /// well.
    pub(crate) fn advance_close(&mut self, slot: &mut Slot) {
        let Phase::Flushing { .. } = slot.phase else {
            if slot.broken && slot.phase != Phase::Closing {
                self.close_now(slot, CloseMode::Abort);
            }
            return;
        };
        if slot.broken {
            self.close_now(slot, CloseMode::Abort);
        } else if !slot.send_in_flight && slot.session.shared().is_drained() {
            if slot.is_secured() && self.ends_stream(slot) {
                // On its way: this is called again when it is sent.
            } else if slot.reading == Reading::Finished {
                self.close_now(slot, CloseMode::Orderly);
            } else {
                self.engine.shutdown_write(slot.key);
                let deadline = self.now() + slot.config().linger_timeout;
                slot.phase = Phase::Lingering { deadline };
                self.file_deadline(slot);
            }
        }
    }

    /// Closes without further ado; the engine's `Closed` follows.
    pub(crate) fn close_now(&mut self, slot: &mut Slot, mode: CloseMode) {
        if slot.phase != Phase::Closing {
            slot.phase = Phase::Closing;
            self.engine.close(slot.key, mode);
        }
    }

    /// A time limit of the session may be over.
    pub(crate) fn check_deadlines(&mut self, slot: &mut Slot) {
        let now = self.now();
        match slot.phase {
            Phase::Open => {
                slot.conclude(slot.session.shared().overdue_asks(now));
                if let Some(reason) = slot.overdue(now) {
                    slot.session.shared().request_disconnect(reason);
                } else if slot.wants_heartbeat(now) {
                    slot.pings = slot.pings.saturating_add(1);
                    slot.session.shared().ping();
                } else if slot.held_until().is_some_and(|until| until <= now) {
                    slot.session.shared().attend();
                } else {
                    slot.forget_idle_meters(now.nanoseconds());
                }
            }
            Phase::Flushing { deadline } if deadline <= now => {
                slot.session.shared().clear_queues();
                self.close_now(slot, CloseMode::Abort);
            }
            Phase::Lingering { deadline } if deadline <= now => {
                self.close_now(slot, CloseMode::Orderly);
            }
            _ => {}
        }
    }
}
