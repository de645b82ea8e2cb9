//! A session's strand: its work in order, one piece at a time, on whatever event worker is free.
//!
//! ```text
//!            push                        run ends, nothing left
//!   Idle ------------> Scheduled ------------------------------> Idle
//!                       ^     |
//!     unblock, or the   |     | the send queue is above its high watermark
//!     session's end     |     v
//!                       Blocked
//! ```
//!
//! Invariant: the strand is in the ready queue, or being run, exactly while it is `Scheduled`; so
//! it is never run by two threads at once. Queue and state change under one lock (`work_queue`).

use crate::dispatch::event_pool::ReadyQueue;
use crate::dispatch::ready_batch;
use crate::dispatch::work_queue::{State, WorkQueue};
use crate::net::framer::{Framing, PacketFramer};
use crate::session::asks::Unanswered;
use crate::session::control::deliver;
use crate::session::flags::{ASKS, ENDS, PRESSED};
use crate::stats::handler_times::Stopwatch;
use crate::worker::receive::note_panic;
use crate::{CloseReason, Packet, Session};
use fastport_buffer::Chunk;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// After so many packets a strand goes to the tail of the ready queue.
const PACKETS_PER_RUN: usize = 64;
/// After so long as well.
const TIME_PER_RUN: Duration = Duration::from_micros(200);

/// The clock is read at least every so many packets.
const LOOK_EVERY_MAX: usize = 8;

/// One thing to do for a session.
#[derive(Debug)]
pub(crate) enum Work {
    /// Call `on_accepted`.
    Accepted,
    /// Call `on_connected`.
    Connected,
    /// Deliver the whole frames that fill this chunk.
    Frames(Chunk),
    /// Call `on_writable`.
    Writable,
    /// Tell those whose requests to the peer have no answer.
    Unanswered(Vec<Unanswered>),
    /// Everything before is handled: ask for the session's end.
    End(CloseReason),
    /// Call `on_disconnected`. The last work of a session.
    Disconnected(CloseReason),
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Frames(chunk) => chunk.len(),
            _ => 0,
        }
    }

    /// Whether nothing of the session follows, so that it is done even when the strand is blocked.
    fn is_last(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

/// The ordered work of one session. Held by the session's slot and, while scheduled, by the pool.
#[derive(Debug)]
pub(crate) struct Strand {
    session: Session,
    work: WorkQueue<Work>,
    queued_bytes: AtomicUsize,
}

/// Why a run ended before its work did.
enum Stop {
    Budget,
    Blocked,
}

impl Strand {
    pub(crate) fn new(session: Session) -> Arc<Self> {
        Arc::new(Self {
            session,
            work: WorkQueue::default(),
            queued_bytes: AtomicUsize::new(0),
        })
    }

    /// Bytes of frames that wait for their handler.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Acquire)
    }

    /// Appends work. On the owning worker, which hands over what became ready.
    pub(crate) fn push(self: &Arc<Self>, work: Work, ready: &ReadyQueue) {
        self.queued_bytes.fetch_add(work.bytes(), Ordering::AcqRel);
        let last = work.is_last();
        if self.work.push(work, last) {
            ready_batch::add(self.clone(), ready);
        }
    }

    /// The send queue has room again: a blocked strand goes on. On the owning worker.
    pub(crate) fn unblock(self: &Arc<Self>, ready: &ReadyQueue) {
        if self.work.unblock() {
            ready_batch::add(self.clone(), ready);
        }
    }

    /// Does what is queued, up to the budget. On an event worker.
    pub(crate) fn run(self: Arc<Self>, ready: &ReadyQueue, stopwatch: &mut Stopwatch) {
        let began = stopwatch.begin();
        let packets = self.run_within(Budget::begin(), ready);
        stopwatch.end(began, packets);
    }

    /// As [`Strand::run`], with a budget of the caller's. Returns how many packets were handled.
    pub(crate) fn run_within(self: Arc<Self>, mut budget: Budget, ready: &ReadyQueue) -> usize {
        let mut mine = self.work.take();
        let mut stop = None;
        while stop.is_none()
            && let Some(work) = mine.pop_front()
        {
            stop = self.perform(work, &mut mine, &mut budget);
        }
        self.end_run(mine, stop, ready);
        budget.packets
    }

    /// Puts back what was not done and decides what comes next.
    fn end_run(self: Arc<Self>, mine: VecDeque<Work>, stop: Option<Stop>, ready: &ReadyQueue) {
        let blocked = matches!(stop, Some(Stop::Blocked));
        match self.work.end_run(mine, blocked, Work::is_last) {
            State::Idle => {}
            State::Scheduled => ready.inject(self),
            // The owner looks at the send queue after this, however the two met, and unblocks.
            State::Blocked => self.session.shared().attend(),
        }
    }

    fn perform(&self, work: Work, mine: &mut VecDeque<Work>, budget: &mut Budget) -> Option<Stop> {
        let session = &self.session;
        let shared = session.shared();
        let bytes = work.bytes();
        match work {
            Work::Accepted => self.call(|handler| handler.on_accepted(session)),
            Work::Connected => self.call(|handler| handler.on_connected(session)),
            Work::Frames(mut chunk) => {
                let (at, stop) = self.deliver(&chunk, budget);
                if stop.is_some() && at < chunk.len() {
                    chunk.advance(at);
                    mine.push_front(Work::Frames(chunk));
                    self.done_with(at);
                } else {
                    self.done_with(bytes);
                }
                return stop;
            }
            Work::Writable if shared.is_disconnect_requested() => {}
            Work::Writable => self.call(|handler| handler.on_writable(session)),
            Work::Unanswered(unanswered) => {
                for one in unanswered {
                    self.call(|_| one.tell(session));
                }
            }
            Work::End(reason) => shared.request_disconnect(reason),
            Work::Disconnected(reason) => {
                self.call(|handler| handler.on_disconnected(session, reason));
            }
        }
        None
    }

    /// Delivers the frames of a chunk. Returns how far it came, and why it stopped there.
    fn deliver(&self, chunk: &Chunk, budget: &mut Budget) -> (usize, Option<Stop>) {
        let session = &self.session;
        let shared = session.shared();
        let bytes = chunk.as_slice();
        let handler = &*shared.context.handler;
        let mut at = 0;
        let mut stop = None;
        // The worker has checked the frames against its own maximum.
        let framer = PacketFramer::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while let Framing::Ok(frame) = framer.try_frame(&bytes[at..]) {
                let marks = shared.flags.among(ENDS | PRESSED | ASKS);
                if marks & ENDS != 0 {
                    at = bytes.len();
                    return;
                }
                if marks & PRESSED != 0 && shared.is_pressed_still() {
                    stop = Some(Stop::Blocked);
                    return;
                }
                if budget.is_spent() {
                    stop = Some(Stop::Budget);
                    return;
                }
                let whole = &bytes[at..at + frame.bytes];
                let packet = Packet::in_chunk(frame.id, whole, chunk, at);
                at += frame.bytes;
                deliver(handler, session, packet, marks & ASKS != 0);
            }
        }));
        if let Err(panic) = outcome {
            note_panic(session, panic);
            return (bytes.len(), None);
        }
        (at, stop)
    }

    /// Calls a handler. A panic ends the session, not the event worker.
    fn call(&self, act: impl FnOnce(&dyn crate::Handler)) {
        let handler = &*self.session.shared().context.handler;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| act(handler))) {
            note_panic(&self.session, panic);
        }
    }

    /// Bytes were handled: the owner may read on when half of the watermark is free.
    fn done_with(&self, bytes: usize) {
        let before = self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        let resume_below = self.session.shared().context.config.receive_high_watermark / 2;
        if before > resume_below && before - bytes <= resume_below {
            self.session.shared().attend();
        }
    }
}

/// How much one run may do before other strands have their turn.
pub(crate) struct Budget {
    packets: usize,
    began: Instant,
    /// The packet before which the clock is read next.
    look_at: usize,
}

impl Budget {
    fn begin() -> Self {
        Self {
            packets: 0,
            began: Instant::now(),
            look_at: 1,
        }
    }

    /// So many packets, at most those of a whole run, whatever time they take: a simulation has no
    /// clock that runs by itself.
    #[cfg(feature = "simulation")]
    pub(crate) fn of_packets(packets: usize, now: Instant) -> Self {
        Self {
            packets: PACKETS_PER_RUN.saturating_sub(packets),
            began: now,
            look_at: usize::MAX,
        }
    }

    /// Asked before each packet; the first is always within the budget.
    fn is_spent(&mut self) -> bool {
        if self.packets >= PACKETS_PER_RUN {
            return true;
        }
        if self.packets >= self.look_at && !self.look_at_clock(self.began.elapsed()) {
            return true;
        }
        self.packets += 1;
        false
    }

    /// Whether there is time left after `elapsed`. The clock is read again when half of it may be
    /// gone: after each packet of a handler that blocks, every few of one that does not.
    fn look_at_clock(&mut self, elapsed: Duration) -> bool {
        let Some(left) = TIME_PER_RUN
            .checked_sub(elapsed)
            .filter(|left| !left.is_zero())
        else {
            return false;
        };
        let handled = self.packets as u128;
        let affordable = left.as_nanos() * handled / (2 * elapsed.as_nanos().max(1));
        let step = usize::try_from(affordable).unwrap_or(LOOK_EVERY_MAX);
        self.look_at = self.packets + step.clamp(1, LOOK_EVERY_MAX);
        true
    }
}
