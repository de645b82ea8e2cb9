//! How messages come into a session's send queue, on whatever thread.
//!
//! Owns the order of the checks: the end of the session, what was cast before, the watermark and
//! the policy of a full queue, the hard limits, the budget. It must not write to the queue's halves
//! but by the functions of `send_queue` and `remote_half`, and what was refused is not queued.

use crate::session::flags::{ASKS, ENDS, FULL, PRESSED};
use crate::session::remote_half::RemoteHalf;
use crate::session::send_policy::Room;
use crate::session::send_queue::{LocalQueue, Pieces};
use crate::session::shared::SessionShared;
use crate::worker::attention;
use crate::{CloseReason, SendError, SendPolicy, SendStatus};
use fastport_buffer::{Piece, SendBatch, SharedFrame};
use fastport_engine::Key;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
/// Frames of at most so many bytes are encoded under the remote half's lock, so that they share
/// blocks; larger ones before it is taken, so that a slow encoder does not hold up the worker.
const ENCODE_UNDER_LOCK_MAX: usize = 2048;

thread_local! {
    /// Set while this thread encodes under a remote half's lock.
    static ENCODING: Cell<bool> = const { Cell::new(false) };
}

impl SessionShared {
    /// Queues `bytes` bytes that `append` adds, to whichever half the caller may use.
    #[inline]
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        bytes: usize,
        append: impl FnOnce(&mut Pieces),
    ) -> Result<SendStatus, SendError> {
        if self.is_disconnect_requested() {
            return Err(SendError::Disconnected);
        }
        self.settle_casts();
        let mut append = Some(append);
        let local = self.local.with(|queue| {
            self.splice(queue);
            let mut status = SendStatus::Queued;
            if queue.bytes() + bytes > self.context.easy_bytes {
                status = self.admit_much(queue, bytes)?;
                if status == SendStatus::Dropped {
                    return Ok(status);
                }
            }
            if let Some(append) = append.take() {
                append(&mut queue.pieces);
            }
            if !queue.attention {
                queue.attention = true;
                attention::list(self.key);
            }
            Ok(status)
        });
        match (local, append) {
            (Some(outcome), _) => outcome,
            (None, Some(append)) => self.enqueue_remote(bytes, false, append),
            (None, None) => Err(SendError::InsideEncoder),
        }
    }

    /// Queues `bytes` bytes that `append` adds, where that is short work: on the owner, behind what
    /// this turn has queued already, where no limit takes notice, and if `append` can. False:
    /// nothing was queued, and [`SessionShared::enqueue`] is to do it.
    #[inline]
    pub(crate) fn enqueue_behind(
        &self,
        bytes: usize,
        append: impl FnOnce(&mut Pieces) -> bool,
    ) -> bool {
        if self.is_disconnect_requested() || self.context.worker.casts.are_waiting() {
            return false;
        }
        let queued = self.local.with(|queue| {
            queue.attention
                && self.remote_bytes.load(Ordering::Acquire) == 0
                && queue.bytes() + bytes <= self.context.easy_bytes
                && append(&mut queue.pieces)
        });
        queued == Some(true)
    }

    /// Deals with `bytes` more for a queue of which the limits take notice, before they are queued.
    /// Owner only. Whether they may be, and what the sender is told then.
    #[cold]
    fn admit_much(
        self: &Arc<Self>,
        queue: &mut LocalQueue,
        bytes: usize,
    ) -> Result<SendStatus, SendError> {
        let mut above = queue.bytes() + bytes > self.context.config.send_high_watermark;
        if above {
            let room = self.make_room(queue, bytes);
            if room == Room::Refused {
                return Ok(SendStatus::Dropped);
            }
            above = room == Room::None;
        }
        let queued = self.admit(queue.bytes(), bytes)?;
        self.context.worker.service.budget.note(queued, bytes);
        self.note_above(queue, above);
        Ok(SendStatus::of(above))
    }

    /// Notes whether what is queued brings the queue above its high watermark. Owner only.
    pub(super) fn note_above(&self, queue: &mut LocalQueue, above: bool) {
        if above {
            queue.above_high = true;
            self.flags.set(PRESSED, true);
        }
    }

    /// Takes the session off the attention list and the next batch from its queue, and tells how
    /// many bytes are queued or in flight then. `None`, and nothing has changed, when more is to be
    /// looked at than the queue. Owner only.
    #[inline]
    pub(crate) fn take_calm_batch(&self) -> Option<(SendBatch, usize)> {
        if self.flags.has(ENDS | PRESSED | ASKS | FULL)
            || self.backpressured.load(Ordering::Acquire)
        {
            return None;
        }
        let taken = self.local.with(|queue| {
            let waits_elsewhere = self.remote_bytes.load(Ordering::Acquire) != 0;
            let high = self.context.config.send_high_watermark;
            if waits_elsewhere || queue.above_high || queue.bytes() > high {
                return None;
            }
            queue.attention = false;
            let batch = queue.take_batch();
            self.publish_local(queue.bytes());
            Some((batch, queue.bytes()))
        });
        taken.flatten()
    }

    /// Small frames are encoded under the lock, so that they share blocks; large ones before it is
    /// taken, so that a slow encoder does not hold up the worker. What `may_be_late` is queued also
    /// when the end was asked for. Apart, so that the owner's way is short.
    #[inline(never)]
    fn enqueue_remote(
        self: &Arc<Self>,
        bytes: usize,
        may_be_late: bool,
        append: impl FnOnce(&mut Pieces),
    ) -> Result<SendStatus, SendError> {
        if ENCODING.get() {
            return Err(SendError::InsideEncoder);
        }
        let mut append = Some(append);
        let mut outside = Pieces::default();
        if bytes > ENCODE_UNDER_LOCK_MAX
            && let Some(append) = append.take()
        {
            append(&mut outside);
        }
        self.enqueue_elsewhere(may_be_late, |remote, after| {
            // The owner moves bytes between the halves under this lock: the sum is exact here.
            let mut before = self.local_bytes.load(Ordering::Relaxed) + remote.bytes();
            if before + bytes > self.context.easy_bytes {
                if before + bytes > self.context.config.send_high_watermark {
                    match self.make_remote_room(remote, before, bytes) {
                        Room::None => {}
                        Room::Made => before = remote.bytes(),
                        Room::Refused => return Ok(None),
                    }
                }
                self.admit(before, bytes)?;
            }
            let queued = before + bytes;
            remote.append(after, |pieces| {
                if let Some(append) = append {
                    let _mark = Encoding::begin();
                    append(pieces);
                }
                pieces.splice(&mut outside);
            });
            Ok(Some(queued))
        })
    }

    /// Has `append` add to the remote half, under its lock: behind the cast that it is told. It
    /// returns how many bytes are queued then, or that nothing was.
    pub(super) fn enqueue_elsewhere(
        self: &Arc<Self>,
        may_be_late: bool,
        append: impl FnOnce(&mut RemoteHalf, u64) -> Result<Option<usize>, SendError>,
    ) -> Result<SendStatus, SendError> {
        if ENCODING.get() {
            return Err(SendError::InsideEncoder);
        }
        let (queued, is_scheduled) = {
            // Before the lock: what this thread has cast is posted.
            let after = self.context.worker.casts.to_wait_for();
            let mut remote = self.remote.lock();
            // Looked at again, since much may have happened while it was encoded: under the lock,
            // which the owner takes once more before it half-closes.
            if !may_be_late && self.is_disconnect_requested() {
                return Err(SendError::Disconnected);
            }
            let remote = remote.get_or_insert_default();
            let queued = append(remote, after)?;
            self.remote_bytes.store(remote.bytes(), Ordering::Release);
            (queued, self.is_scheduled_locked())
        };
        let high = self.context.config.send_high_watermark;
        let status = queued.map_or(SendStatus::Dropped, |queued| SendStatus::of(queued > high));
        if status != SendStatus::Queued {
            // The owner may never see this much at once, but owes the sender an `on_writable`.
            self.backpressured.store(true, Ordering::Release);
            self.flags.set(PRESSED, true);
        } else if is_scheduled {
            return Ok(status);
        }
        self.attend_from_elsewhere();
        Ok(status)
    }

    /// Applies what this thread has cast before it sends on: to the sessions of the owner's.
    #[inline]
    pub(super) fn settle_casts(&self) {
        // Under a remote half's lock, what is cast to that session could not be queued.
        if self.context.worker.casts.are_waiting() && !ENCODING.get() {
            self.context.worker.apply_casts();
        }
    }

    /// Checks the hard limits. Returns what will be queued.
    pub(super) fn admit(self: &Arc<Self>, queued: usize, bytes: usize) -> Result<usize, SendError> {
        let limit = self.context.config.send_queue_max;
        if queued + bytes > limit {
            self.request_disconnect(CloseReason::SendOverflow);
            return Err(SendError::Overflow { queued, limit });
        }
        if !self.context.worker.service.budget.admits(queued, bytes) {
            self.request_disconnect(CloseReason::MemoryLimit);
            return Err(SendError::OverBudget { queued });
        }
        Ok(queued + bytes)
    }

    /// Queues a frame that many sessions share, which is the worker's cast `number`, with a key if
    /// it has one, and puts the session into `line` to be flushed. Owner only. Whether it was
    /// taken.
    pub(crate) fn enqueue_cast(
        self: &Arc<Self>,
        frame: &SharedFrame,
        key: Option<u64>,
        number: u64,
        line: &mut VecDeque<Key>,
    ) -> bool {
        if self.is_disconnect_requested() && self.ended_before_cast(number) {
            return false;
        }
        let bytes = frame.len();
        let push = |pieces: &mut Pieces| {
            pieces.push(Piece::Shared(frame.clone(), 0..bytes));
        };
        let local = self.local.with(|queue| {
            // What goes behind this cast stays where it is.
            self.splice_until(queue, number - 1);
            if let Some(key) = key.filter(|_| self.send_policy() == SendPolicy::LatestByKey) {
                return self.push_keyed(queue, key, frame);
            }
            let above = queue.bytes() + bytes > self.context.config.send_high_watermark;
            if above {
                self.flags.set(PRESSED, true);
                if self.make_room(queue, bytes) == Room::Refused {
                    return Ok(SendStatus::Dropped);
                }
            }
            self.admit(queue.bytes(), bytes)?;
            push(&mut queue.pieces);
            if !queue.attention && !queue.in_line {
                queue.in_line = true;
                line.push_back(self.key);
            }
            Ok(SendStatus::Queued)
        });
        // An encoder of this very session made the worker apply its casts: from elsewhere, then.
        local
            .unwrap_or_else(|| self.enqueue_remote(bytes, true, push))
            .is_ok_and(|status| status != SendStatus::Dropped)
    }

    /// Whether the end was asked for before cast `number` was made.
    fn ended_before_cast(&self, number: u64) -> bool {
        let first = self.reason.lock();
        first.is_some() && self.last_cast.load(Ordering::Relaxed) < number
    }
}

/// Marks this thread as encoding, also when the encoder panics.
struct Encoding;

impl Encoding {
    fn begin() -> Self {
        ENCODING.set(true);
        Self
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        ENCODING.set(false);
    }
}
