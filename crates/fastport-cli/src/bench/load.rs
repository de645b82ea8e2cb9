//! What happens on each response: it is checked and recorded, and makes room for the next request.
//!
//! One value serves all sessions of a run. Its handler runs on the I/O threads; the hot path reads
//! the clock once, takes two uncontended locks (the session's flow, the thread's recorder) and
//! allocates nothing.

use super::budget::Budget;
use super::flow::{Flow, SessionLoad, Stage};
use super::payloads::PayloadPool;
use super::phase::Phase;
use super::plan::Plan;
use super::timeline::Timeline;
use super::wire::{self, Wrong};
use crate::clock::Clock;
use crate::output::histogram::LatencyHistogram;
use crossbeam_utils::CachePadded;
use fastport::{CloseReason, Handler, Packet, Session};
use parking_lot::{Mutex, MutexGuard};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A run's state, shared by its sessions.
pub(crate) struct Load {
    pub(crate) plan: Plan,
    pub(crate) payloads: PayloadPool,
    pub(crate) clock: Clock,
    budget: Budget,
    recorders: Box<[CachePadded<Mutex<Recorder>>]>,
    recorders_taken: AtomicUsize,
    pub(crate) phase: Phase,
    /// From then on sessions end because the run did.
    ended: AtomicBool,
    losses: Mutex<Losses>,
}

/// What one I/O thread has seen.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) latencies: LatencyHistogram,
    pub(crate) timeline: Timeline,
    pub(crate) warmup_responses: u64,
    pub(crate) wrong_responses: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) last_response_ns: u64,
}

/// Sessions that ended too early.
#[derive(Clone, Default, Debug)]
pub(crate) struct Losses {
    pub(crate) sessions: u64,
    pub(crate) first: Option<String>,
}

thread_local! {
    /// This I/O thread's recorder; threads live as long as one run.
    static RECORDER: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Load {
    /// The state of a run that has not begun.
    pub(crate) fn new(plan: &Plan) -> Self {
        let recorder = || CachePadded::new(Mutex::new(Recorder::new()));
        Self {
            payloads: PayloadPool::new(plan.payload_pool, plan.payload_min, plan.payload_max),
            clock: Clock::start(),
            budget: Budget::new(plan.extent),
            recorders: (0..plan.io_threads).map(|_| recorder()).collect(),
            recorders_taken: AtomicUsize::new(0),
            phase: Phase::default(),
            ended: AtomicBool::new(false),
            losses: Mutex::new(Losses::default()),
            plan: plan.clone(),
        }
    }

    /// Attaches the state to a session that was just made; on its I/O thread.
    pub(crate) fn attach(&self, session: &Session, index: usize) {
        let recorder = RECORDER.with(|recorder| match recorder.get() {
            Some(index) => index,
            None => {
                let taken = self.recorders_taken.fetch_add(1, Ordering::Relaxed);
                recorder.set(Some(taken % self.recorders.len()));
                taken % self.recorders.len()
            }
        });
        // Far apart, so that sessions send different payloads at a time.
        let first_payload = (index as u32).wrapping_mul(31);
        let attached = session.attach(SessionLoad::new(recorder, first_payload));
        debug_assert!(attached.is_ok(), "a session is made once");
    }

    /// Lets the time of budget and timelines begin.
    pub(crate) fn begin_measuring(&self, now_ns: u64) {
        for recorder in &self.recorders {
            recorder.lock().timeline.begin(now_ns);
        }
        self.budget.begin(now_ns, self.plan.extent);
    }

    /// Starts a session into a phase, with `in_flight` requests at first if it has none on its way.
    pub(crate) fn start(&self, session: &Session, stage: Stage, in_flight: usize) {
        let Some(load) = session.attached::<SessionLoad>() else {
            return;
        };
        let mut flow = load.flow.lock();
        if flow.stage == Stage::Lost {
            drop(flow);
            self.phase.leave();
            return;
        }
        let in_flight = if flow.stage == Stage::Warm {
            0
        } else {
            in_flight
        };
        flow.enter(stage);
        for _ in 0..in_flight {
            self.send_next(session, &mut flow, self.clock.now_ns());
        }
        self.finish_if_exhausted(flow);
    }

    /// Sends the open loop's request that is due at `due_ns`.
    pub(crate) fn send_due(&self, session: &Session, due_ns: u64) {
        let Some(load) = session.attached::<SessionLoad>() else {
            return;
        };
        let mut flow = load.flow.lock();
        if flow.stage == Stage::Open {
            self.send(session, &mut flow, due_ns);
        }
    }

    /// Tells a session that the open loop's last request was sent.
    pub(crate) fn end_open(&self, session: &Session) {
        let Some(load) = session.attached::<SessionLoad>() else {
            return;
        };
        let mut flow = load.flow.lock();
        if flow.stage == Stage::Open {
            flow.stage = Stage::OpenEnding;
            self.finish_if_exhausted(flow);
        }
    }

    /// From now on sessions may end.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the run has ended, or was given up.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Notes what went wrong, if nothing did before.
    pub(crate) fn note_problem(&self, problem: impl Into<String>) {
        self.losses
            .lock()
            .first
            .get_or_insert_with(|| problem.into());
    }

    /// Sessions that ended too early.
    pub(crate) fn losses(&self) -> Losses {
        self.losses.lock().clone()
    }

    /// Responses so far, warm-up and measured.
    pub(crate) fn responses(&self) -> (u64, u64) {
        self.recorders
            .iter()
            .fold((0, 0), |(warmup, measured), recorder| {
                let recorder = recorder.lock();
                (
                    warmup + recorder.warmup_responses,
                    measured + recorder.latencies.count(),
                )
            })
    }

    /// What all I/O threads have seen.
    pub(crate) fn recorded(&self) -> Recorder {
        let mut sum = Recorder::new();
        self.recorders
            .iter()
            .for_each(|recorder| sum.add(&recorder.lock()));
        sum
    }

    /// Sends the next request, if the phase has one left.
    #[inline]
    fn send_next(&self, session: &Session, flow: &mut Flow, now_ns: u64) {
        let may_send = match flow.stage {
            Stage::Warmup { left } => left > 0 || self.plan.goes_on_warm(),
            Stage::Warm => !self.is_ended(),
            Stage::Closed => self.budget.take(now_ns),
            Stage::Idle | Stage::Open | Stage::OpenEnding | Stage::Lost => false,
        };
        if may_send {
            self.send(session, flow, now_ns);
        }
    }

    /// A session that is warm and goes on is through with the warm-up.
    #[inline]
    fn go_on_if_warm(&self, flow: &mut Flow) {
        if matches!(flow.stage, Stage::Warmup { .. })
            && self.plan.goes_on_warm()
            && flow.is_warm(self.plan.warmup)
        {
            flow.enter(Stage::Warm);
            self.phase.leave();
        }
    }

    #[inline]
    fn send(&self, session: &Session, flow: &mut Flow, at_ns: u64) {
        let sent = flow.next(at_ns);
        let payload = self.payloads.payload(sent.payload as usize);
        let unix_ms = self.clock.unix_ms(at_ns);
        // Back-pressure needs no answer: a closed loop waits for responses anyway, an open one must
        // not wait.
        if wire::send(session, self.plan.kind, sent, unix_ms, payload).is_err() {
            // The session has ended; `on_disconnected` counts it.
            flow.take_back();
        }
    }

    #[inline]
    fn finish_if_exhausted(&self, mut flow: MutexGuard<'_, Flow>) {
        if flow.is_exhausted() && flow.stage != Stage::Idle {
            flow.stage = Stage::Idle;
            drop(flow);
            self.phase.leave();
        }
    }

    #[cold]
    fn reject(&self, session: &Session, load: &SessionLoad, wrong: Wrong) {
        self.recorders[load.recorder].lock().wrong_responses += 1;
        self.note_problem(wrong.to_string());
        session.disconnect();
    }
}

impl Handler for Load {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let now_ns = self.clock.now_ns();
        let Some(load) = session.attached::<SessionLoad>() else {
            return;
        };
        let mut flow = load.flow.lock();
        let Some((sent, is_measured)) = flow.answered() else {
            drop(flow);
            return self.reject(session, load, Wrong::Unasked);
        };
        let payload = self.payloads.payload(sent.payload as usize);
        let verify = self.plan.verifies(sent.sequence);
        let checked = wire::check(&packet, self.plan.kind, sent, payload, verify);
        if let Err(wrong) = checked {
            drop(flow);
            return self.reject(session, load, wrong);
        }
        let mut recorder = self.recorders[load.recorder].lock();
        if is_measured {
            let latency_ns = now_ns.saturating_sub(sent.at_ns);
            recorder.record(now_ns, latency_ns, payload.len());
        } else {
            recorder.warmup_responses += 1;
        }
        drop(recorder);
        self.go_on_if_warm(&mut flow);
        self.send_next(session, &mut flow, now_ns);
        self.finish_if_exhausted(flow);
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let Some(load) = session.attached::<SessionLoad>() else {
            return;
        };
        let mut flow = load.flow.lock();
        let stage = std::mem::replace(&mut flow.stage, Stage::Lost);
        drop(flow);
        if self.is_ended() || stage == Stage::Lost {
            return;
        }
        self.note_problem(reason.to_string());
        self.losses.lock().sessions += 1;
        if !matches!(stage, Stage::Idle | Stage::Warm) {
            self.phase.leave();
        }
    }
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            latencies: LatencyHistogram::new(),
            timeline: Timeline::new(),
            warmup_responses: 0,
            wrong_responses: 0,
            payload_bytes: 0,
            last_response_ns: 0,
        }
    }

    /// Counts a measured response.
    #[inline]
    pub(crate) fn record(&mut self, now_ns: u64, latency_ns: u64, payload_bytes: usize) {
        self.latencies.record(latency_ns);
        self.timeline.record(now_ns, latency_ns);
        self.payload_bytes += payload_bytes as u64;
        self.last_response_ns = now_ns;
    }

    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.timeline.add(&other.timeline);
        self.warmup_responses += other.warmup_responses;
        self.wrong_responses += other.wrong_responses;
        self.payload_bytes += other.payload_bytes;
        self.last_response_ns = self.last_response_ns.max(other.last_response_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problem_is_kept() {
        let load = Load::new(&Plan::default());
        load.note_problem("first");
        load.note_problem("second");
        assert_eq!(load.losses().first.as_deref(), Some("first"));
    }
}
