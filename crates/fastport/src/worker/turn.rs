//! The loop of a worker: its turns, its timers, its end.

use crate::dispatch::ready_batch;
use crate::rooms::audience::Audience;
use crate::session::slot::Slot;
use crate::worker::link::Command;
use crate::worker::{LastAccepts, Stopping, Worker};
use crate::{CloseReason, Error, RejectReason};
use fastport_buffer::prefetch;
use fastport_engine::{CloseMode, Drained, Engine, Wait};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Events of one turn; the rest waits until mailbox and timers had their turn.
const EVENTS_PER_TURN: usize = 4096;
/// Turns between the order to stop and the end of the sessions: the kernel, which an engine asks in
/// every other turn at least, delivers what it holds.
const DRAIN_TURNS: u32 = 4;
/// Turns that listeners may still accept in after the order to stop; an engine accepts more than
/// one connection in each.
const LAST_ACCEPT_TURNS: u32 = 256;
/// The worker's own memory of the event so many ahead is fetched, and what all share of its session
/// when it is so many ahead.
const SLOT_FETCHED_AHEAD: usize = 4;
const SESSION_FETCHED_AHEAD: usize = 2;
/// Of so many sessions all is in the nearer caches anyway.
const SESSIONS_NEAR: usize = 256;
/// A worker that was late by so much was kept from running.
const GAP_MIN: Duration = Duration::from_secs(1);
/// How long an engine may take to let go of its memory at the end.
const ENGINE_DRAIN: Duration = Duration::from_secs(5);

impl<E: Engine> Worker<E> {
    /// Runs until the worker was told to stop and its last session is gone.
    ///
    /// # Errors
    /// When the completion queue is lost.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        while !self.is_finished() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Error> {
        let wait = self.begin_turn();
        self.finish_turn(wait)
    }

    /// The first half of a turn: announces that the worker will sleep, if it may, and tells for how
    /// long. [`Worker::finish_turn`] must follow.
    pub(crate) fn begin_turn(&mut self) -> Wait {
        let may_sleep = !self.patience.looks_again(self.engine.now())
            && self.link.mailbox.park()
            && !self.link.casts.are_waiting()
            && !self.link.has_line()
            && self.peers[self.link.index].adoptions.is_empty();
        if may_sleep {
            self.longest_wait()
        } else {
            Wait::Poll
        }
    }

    /// The second half of a turn: the wait, and all that it brings.
    ///
    /// # Errors
    /// When the completion queue is lost.
    pub(crate) fn finish_turn(&mut self, wait: Wait) -> Result<(), Error> {
        let (before, before_moment) = (self.engine.now(), self.now());
        let waited = self.engine.submit_and_wait(wait);
        self.note_time();
        self.link.mailbox.unpark();
        waited?;
        // Most turns follow each other closely.
        if self.now().saturating_since(before_moment) >= GAP_MIN {
            self.forgive_gap(before, wait);
        }
        self.link.counters.turns.add(1);
        let receives = self.link.counters.receives.get();
        let mut works = self.take_adoptions() | self.link.casts.are_waiting();
        while let Some(command) = self.link.mailbox.take() {
            self.on_command(command);
            works = true;
        }
        for count in 1..=EVENTS_PER_TURN {
            let Some(event) = self.engine.next_event() else {
                break;
            };
            self.fetch_ahead();
            self.on_event(event);
            if count % E::EVENTS_PER_SUBMIT == 0 {
                self.attend_all();
                self.engine.submit()?;
                self.link.counters.submits.add(1);
            }
        }
        // The end of a send is what the worker asked for itself.
        if works || self.link.counters.receives.get() != receives {
            self.patience.note_work(self.engine.now());
        }
        self.hand_over_strands();
        self.expire_deadlines();
        self.advance_stop();
        self.attend_line();
        self.attend_all();
        self.publish_queued();
        self.hand_over_strands();
        Ok(())
    }

    /// Lets the event workers have the strands that became ready.
    fn hand_over_strands(&self) {
        if let Some(pool) = &self.link.service.pool {
            ready_batch::hand_over(pool.queue());
        }
    }

    /// Has the sessions of the next events fetched: with a thousand of them what the worker knows
    /// of one is not in its nearer caches when its turn comes. What a slot points to is fetched a
    /// few events after the slot.
    #[inline]
    fn fetch_ahead(&self) {
        if self.slots.len() <= SESSIONS_NEAR {
            return;
        }
        let upcoming = |ahead| self.slots.get(self.engine.upcoming(ahead)?)?.as_deref();
        if let Some(slot) = upcoming(SLOT_FETCHED_AHEAD) {
            prefetch(slot);
        }
        if let Some(slot) = upcoming(SESSION_FETCHED_AHEAD) {
            prefetch(slot.session.shared().as_ref());
        }
    }

    /// When the worker came back from waiting much later than it wanted to, it was kept from
    /// running: the process was stopped, the machine too busy, or a handler blocked. Nobody else
    /// is to blame for what did not happen meanwhile, so all time limits of sessions move by the
    /// time since `before`, the last turn. Looks at every session; rare.
    fn forgive_gap(&mut self, before: Instant, wait: Wait) {
        let due = match wait {
            Wait::Poll => before,
            Wait::Until(due) => due.max(before),
            // No session has a limit.
            Wait::Forever => return,
        };
        let now = self.engine.now();
        if now.saturating_duration_since(due) < GAP_MIN {
            return;
        }
        let gap = now.saturating_duration_since(before);
        tracing::warn!(
            worker = self.link.index,
            ?gap,
            "the worker did not run; limits move"
        );
        self.for_each_slot(|worker, slot| {
            slot.shift_deadlines(gap);
            worker.file_deadline(slot);
        });
    }

    fn publish_queued(&mut self) {
        let change = std::mem::take(&mut self.queued_change);
        self.link.service.budget.publish(change);
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Attend(session) => {
                let shared = session.shared();
                // Before the splice: whoever appends after it schedules again.
                shared.unschedule();
                shared.attend();
            }
            Command::Listen {
                address,
                handler,
                tls,
                reply,
            } => {
                // The asker may have given up; the listener then lives until the service stops.
                let _ = reply.send(self.on_listen(address, handler, tls));
            }
            Command::Connect {
                to,
                handler,
                tls,
                done,
            } => self.on_connect(to, handler, tls, done),
            Command::Reload(config) => self.session_config = config,
            Command::Ping(answers) => answers.add(),
            Command::Fail => {
                self.for_each_slot(|_, _| panic!("asked to fail, in the middle of a session"));
                panic!("asked to fail");
            }
            Command::Stop { deadline } => self.begin_stop(deadline),
        }
    }

    fn longest_wait(&mut self) -> Wait {
        match self.stopping {
            Some(stopping) if stopping.turns_left > 0 && !self.awaits_last_accepts() => Wait::Poll,
            Some(stopping) => {
                let next = self.wheel.next_expiry();
                let next = next.map(|next| self.link.service.clock.instant(next));
                Wait::Until(next.map_or(stopping.deadline, |next| next.min(stopping.deadline)))
            }
            None => self.wheel.next_expiry().map_or(Wait::Forever, |next| {
                Wait::Until(self.link.service.clock.instant(next))
            }),
        }
    }

    fn begin_stop(&mut self, deadline: Instant) {
        if let Some(stopping) = &mut self.stopping {
            stopping.deadline = stopping.deadline.min(deadline);
            return;
        }
        self.stopping = Some(Stopping {
            deadline,
            last_accepts: LastAccepts {
                over: self.listeners.is_empty(),
                turns_left: LAST_ACCEPT_TURNS,
                quiet_turns_left: DRAIN_TURNS,
            },
            turns_left: DRAIN_TURNS,
        });
        let connecting: Vec<_> = self.connecting.keys().copied().collect();
        for key in connecting {
            self.abandon_connect(key, CloseReason::Stopping);
        }
    }

    /// Whether nothing is left to do for a stop until another worker's listeners are closed.
    fn awaits_last_accepts(&self) -> bool {
        self.listeners.is_empty() && self.link.service.listeners.load(Ordering::Acquire) > 0
    }

    /// Closes the listeners when nobody waits in their backlogs: closing resets those (listen(2)
    /// says that they are connected, so they may have sent already).
    fn advance_last_accepts(&mut self) {
        let now = self.engine.now();
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        let last = &mut stopping.last_accepts;
        if last.over {
            return;
        }
        last.turns_left = last.turns_left.saturating_sub(1);
        last.quiet_turns_left = last.quiet_turns_left.saturating_sub(1);
        if last.turns_left == 0 || last.quiet_turns_left == 0 || stopping.deadline <= now {
            last.over = true;
            for key in self.listeners.keys() {
                self.engine.close(*key, CloseMode::Orderly);
            }
        }
    }

    /// Another connection was let in after the order to stop.
    pub(crate) fn prolong_last_accepts(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.last_accepts.quiet_turns_left = DRAIN_TURNS;
        }
    }

    /// Listeners of this worker are no more. Workers that stop wait for the last of the service.
    pub(crate) fn end_listeners(&self, count: usize) {
        let before = self
            .link
            .service
            .listeners
            .fetch_sub(count, Ordering::AcqRel);
        if count > 0 && before == count {
            for peer in self.peers.iter() {
                peer.link.mailbox.wake();
            }
        }
    }

    fn advance_stop(&mut self) {
        self.advance_last_accepts();
        let listening = self.link.service.listeners.load(Ordering::Acquire) > 0;
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if stopping.turns_left > 0 {
            if listening && stopping.deadline > self.engine.now() {
                return;
            }
            stopping.turns_left -= 1;
            if stopping.turns_left == 0 {
                self.refuse_all_proxied(RejectReason::Stopping);
                self.end_all_handshakes(CloseReason::Stopping);
                self.for_each_slot(|worker, slot| {
                    worker.end_when_handled(slot, CloseReason::Stopping);
                });
            }
        } else if stopping.deadline <= self.engine.now() {
            self.for_each_slot(|worker, slot| {
                slot.session
                    .shared()
                    .request_disconnect(CloseReason::Stopping);
                slot.session.shared().clear_queues();
                worker.close_now(slot, CloseMode::Abort);
            });
        }
    }

    /// Whether whoever comes now is too late.
    pub(crate) fn lets_nobody_in(&self) -> bool {
        self.stopping
            .is_some_and(|stopping| stopping.turns_left == 0)
    }

    /// Whether the worker was told to stop and nothing of it is left.
    pub(crate) fn is_finished(&self) -> bool {
        self.lets_nobody_in()
            && self.listeners.is_empty()
            && self.connecting.is_empty()
            && self.abandoned.is_empty()
            // Past the deadline a listener may be open when the others are done.
            && self.peers[self.link.index].adoptions.is_empty()
            && self.slots.iter().all(Option::is_none)
    }

    fn for_each_slot(&mut self, mut act: impl FnMut(&mut Self, &mut Slot)) {
        for index in 0..self.slots.len() {
            if let Some(key) = self.slots[index].as_ref().map(|slot| slot.key) {
                self.with_slot(key, &mut act);
            }
        }
    }

    /// Ends the worker after [`Worker::run`]: sessions that are left (the engine failed, or a
    /// defect made the loop panic) are told, waiting adoptions are dropped, the engine is drained.
    pub(crate) fn finish(mut self) -> Drained {
        self.link.set_failed();
        self.end_listeners(self.listeners.len());
        for index in 0..self.slots.len() {
            if let Some(slot) = self.slots[index].take() {
                slot.session
                    .shared()
                    .request_disconnect(CloseReason::WorkerFailed);
                self.bury(*slot);
            }
        }
        self.publish_queued();
        self.hand_over_strands();
        let connecting: Vec<_> = self.connecting.keys().copied().collect();
        for key in connecting {
            self.abandon_connect(key, CloseReason::WorkerFailed);
        }
        self.refuse_all_proxied(RejectReason::Stopping);
        self.end_all_handshakes(CloseReason::WorkerFailed);
        let me = self.link.index;
        self.peers[me].abandon_adoptions();
        // Sessions in there hold the worker.
        self.link.casts.close();
        self.link.audience.with(Audience::clear);
        // Askers are told that there is no answer; sessions in there no longer hold the worker.
        self.link.mailbox.close();
        let deadline = self.engine.now() + ENGINE_DRAIN;
        self.engine.drain(deadline)
    }
}
