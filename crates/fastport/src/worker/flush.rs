//! From queued pieces to sends; back-pressure in both directions.

use crate::dispatch::strand::Work;
use crate::session::slot::{Phase, Reading, Slot};
use crate::worker::{Worker, attention};
use crate::{CloseReason, SendPolicy};
use fastport_buffer::SendBatch;
use fastport_engine::{Engine, Key};

/// Sessions that are flushed in a turn because of what was cast to many: one or two milliseconds of
/// sends.
const LINE_PER_TURN: usize = 256;

impl<E: Engine> Worker<E> {
    /// Looks at every session that asked for it until none does.
    pub(crate) fn attend_all(&mut self) {
        self.link.apply_casts();
        let mut looking = std::mem::take(&mut self.looking);
        while attention::take(&mut looking) {
            for key in looking.drain(..) {
                self.attend(key);
            }
        }
        self.looking = looking;
    }

    /// Looks at the first of those that heard a cast. What else came is next, then the others.
    pub(crate) fn attend_line(&mut self) {
        self.link.apply_casts();
        if !self.link.has_line() {
            return;
        }
        let mut looking = std::mem::take(&mut self.looking);
        self.link.call_up(LINE_PER_TURN, &mut looking);
        for key in looking.drain(..) {
            self.with_slot(key, |_, slot| {
                let shared = slot.session.shared();
                shared.local.with(|queue| queue.in_line = false);
            });
            self.attend(key);
        }
        self.looking = looking;
    }

    /// Does what one session needs: parse on, flush, pause or resume reading, end.
    fn attend(&mut self, key: Key) {
        self.with_slot(key, |worker, slot| {
            if slot.is_undisturbed() && worker.flush_calm(slot) {
                return;
            }
            slot.begin_attention();
            if slot.phase == Phase::Open {
                worker.flush(slot);
                worker.parse_held(slot);
                slot.end_if_handled();
                if slot.session.shared().is_disconnect_requested() {
                    worker.begin_close(slot);
                } else {
                    worker.relieve(slot);
                    worker.watch_full(slot);
                    if slot.session.shared().asks_due().is_some() {
                        worker.file_deadline(slot);
                    }
                    worker.regulate_reading(slot);
                }
            }
            worker.flush(slot);
            worker.advance_close(slot);
            let queued = slot.session.shared().queued_bytes();
            worker.account(slot, queued);
        });
    }

    /// The whole attention of a session that has something to send and nothing else to do: nearly
    /// all of them. False: nothing was done, it needs the long way.
    fn flush_calm(&mut self, slot: &mut Slot) -> bool {
        let Some((batch, queued)) = slot.session.shared().take_calm_batch() else {
            return false;
        };
        if !batch.is_empty() {
            self.hand_over(slot, batch);
        }
        self.account(slot, queued);
        true
    }

    /// Notes that so many bytes wait for the session's peer now.
    #[inline]
    pub(crate) fn account(&mut self, slot: &mut Slot, queued: usize) {
        self.queued_change += queued.cast_signed() - slot.accounted as isize;
        slot.accounted = u32::try_from(queued).unwrap_or(u32::MAX);
    }

    /// Gives the engine the next batch, if it has none of this session.
    pub(crate) fn flush(&mut self, slot: &mut Slot) {
        if slot.send_in_flight || slot.broken || slot.phase == Phase::Closing {
            return;
        }
        if slot.is_secured() {
            return self.flush_secured(slot);
        }
        let shared = slot.session.shared();
        let batch = shared.local.with(|queue| {
            let batch = queue.take_batch();
            shared.publish_local(queue.bytes());
            batch
        });
        let Some(batch) = batch.filter(|batch| !batch.is_empty()) else {
            return;
        };
        self.hand_over(slot, batch);
    }

    /// Gives the engine a batch, which counts as in flight already.
    #[inline]
    pub(crate) fn hand_over(&mut self, slot: &mut Slot, batch: SendBatch) {
        slot.send_in_flight = true;
        slot.last_progress = self.now();
        self.link.counters.sends.add(1);
        self.engine.send(slot.key, batch);
        let limit = slot.config().write_stall_timeout;
        let stalled_at = slot.last_progress + limit;
        if !limit.is_zero() && !self.looks_by(slot.key, stalled_at) {
            self.file_deadline(slot);
        }
    }

    /// Tells the handler once that a queue which was above the high watermark is below the low one.
    fn relieve(&mut self, slot: &mut Slot) {
        let shared = slot.session.shared();
        let low = shared.context.config.send_low_watermark;
        let relieved = shared.local.with(|queue| {
            let relieved = queue.above_high && queue.bytes() < low;
            queue.above_high &= !relieved;
            relieved
        });
        if relieved != Some(true) {
            return;
        }
        if slot.strand.is_some() {
            slot.push_work(Work::Writable);
        } else {
            slot.call(|slot| {
                let handler = &slot.session.shared().context.handler;
                handler.on_writable(&slot.session);
            });
        }
    }

    /// Has the grace time of a queue that became full begin, or end when it has room again.
    fn watch_full(&mut self, slot: &mut Slot) {
        let shared = slot.session.shared();
        if shared.send_policy() != SendPolicy::Disconnect {
            return;
        }
        let full = shared.local.with(|queue| queue.above_high) == Some(true);
        shared.note_full(full, self.now());
        if full {
            // Also when it was full before: its grace time may be another.
            self.file_deadline(slot);
        }
    }

    /// Pauses reading while the session's queues are above their high watermarks, and goes on below
    /// the low ones: what a peer can make us hold is bounded by them.
    fn regulate_reading(&mut self, slot: &mut Slot) {
        let config = slot.config();
        let (high, low) = (config.send_high_watermark, config.send_low_watermark);
        let receive_high = config.receive_high_watermark;
        let shared = slot.session.shared();
        let to_send = shared.queued_bytes();
        let full = to_send > high && shared.holds_input_when_full();
        let to_handle = slot
            .strand
            .as_ref()
            .map_or(0, |strand| strand.queued_bytes());
        match slot.reading {
            Reading::Armed if !slot.held.is_empty() || full || to_handle > receive_high => {
                slot.reading = Reading::Paused;
                self.link.counters.pauses.add(1);
                self.engine.pause_recv(slot.key);
            }
            Reading::Paused
                if slot.ending.is_none()
                    && slot.held.is_empty()
                    && to_send <= low
                    && to_handle <= receive_high / 2 =>
            {
                slot.reading = Reading::Armed;
                slot.last_received = self.now();
                self.engine.arm_recv(slot.key);
                self.file_deadline(slot);
            }
            _ => {}
        }
        if to_send <= low
            && let (Some(strand), Some(pool)) = (&slot.strand, &self.link.service.pool)
        {
            strand.unblock(pool.queue());
        }
    }
}

impl Slot {
    /// Whether nothing but its send queue can need attention.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.phase == Phase::Open
            && self.reading != Reading::Paused
            && self.ending.is_none()
            && self.held.is_empty()
            && self.strand.is_none()
            && !(self.broken || self.send_in_flight || self.is_secured())
    }

    /// The session is off the attention list; what other threads queued joins what is here.
    fn begin_attention(&self) {
        let shared = self.session.shared();
        shared.local.with(|queue| {
            queue.attention = false;
            shared.splice(queue);
            let mut above = queue.bytes() > shared.context.config.send_high_watermark;
            if above {
                above = shared.trim(queue);
            }
            queue.above_high |= shared.take_backpressured() || above;
        });
    }

    /// A session that was to end when everything that was held is handled ends now, if it is; with
    /// a pool, when its strand has come so far.
    fn end_if_handled(&mut self) {
        if let Some(reason) = self.ending
            && self.held.is_empty()
        {
            // What was held may have ended inside a frame.
            let reason = match reason {
                CloseReason::PeerClosed if !self.carry.is_empty() => CloseReason::PeerTruncated,
                reason => reason,
            };
            if self.strand.is_none() {
                // The attention that this is part of goes on with it.
                self.session.shared().note_end(reason);
            } else if self.ends_after_held {
                self.ends_after_held = false;
                self.push_work(Work::End(reason));
            }
        }
    }
}
