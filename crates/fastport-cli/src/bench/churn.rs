//! Connections that come and go: connect, one request, its answer, close, and the next takes the
//! place.
//!
//! So many places are kept busy. The end of one connection begins the next on the same I/O thread;
//! nothing runs on the runner's thread but the watch. A latency counts from the connect to the
//! answer. This side closes first and in order, so the ports that wait for late segments are the
//! load generator's, and the server sees what it sees of players who leave.

use super::budget::Budget;
use super::flow::Sent;
use super::load::{Losses, Recorder};
use super::payloads::PayloadPool;
use super::phase::Phase;
use super::plan::{Extent, Plan};
use super::report::RunReport;
use super::runner::{CLOSE_TIMEOUT, TICK, service_config, silence};
use super::wire;
use crate::clock::Clock;
use crate::output::progress::Progress;
use fastport::{CloseReason, Error, Handler, IoService, Packet, Session};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A run's state, shared by its connections.
struct Churn {
    plan: Plan,
    addresses: Box<[SocketAddr]>,
    service: Weak<IoService>,
    own: Weak<Self>,
    payloads: PayloadPool,
    clock: Clock,
    warmup: Budget,
    measured: Budget,
    is_measuring: AtomicBool,
    /// The places that are busy.
    phase: Phase,
    begun: AtomicU32,
    connected: AtomicU64,
    /// Connections begun, in warm-up and measured.
    asked: [AtomicU64; 2],
    recorder: Mutex<Recorder>,
    losses: Mutex<Losses>,
    /// The run was given up.
    ended: AtomicBool,
}

/// The value that is attached to a connection.
struct Visit {
    sent: Sent,
    is_measured: bool,
    is_answered: AtomicBool,
}

/// Does one run of connections that come and go.
///
/// # Errors
/// When the load generator can not start.
pub(super) fn run(plan: &Plan, addresses: &[SocketAddr]) -> Result<RunReport, Error> {
    let mut config = service_config(plan);
    // A place is taken again before its last session is forgotten.
    config.sessions_max = 2 * plan.sessions;
    let service = Arc::new(IoService::start(config)?);
    let churn = Churn::new(plan, addresses, &service);
    let start_ns = churn.clock.now_ns();
    if plan.warmup > 0 {
        churn.run_phase("warm-up", plan.warmup * plan.sessions as u64);
    }
    let measured_ns = churn.clock.now_ns();
    churn.is_measuring.store(true, Ordering::Release);
    churn.measured.begin(measured_ns, plan.extent);
    churn.recorder.lock().timeline.begin(measured_ns);
    let steps = match plan.extent {
        Extent::Requests(requests) => requests,
        Extent::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    };
    churn.run_phase("measure", steps);
    churn.ended.store(true, Ordering::Release);
    service.stop(CLOSE_TIMEOUT);
    Ok(churn.report(start_ns, measured_ns))
}

impl Churn {
    fn new(plan: &Plan, addresses: &[SocketAddr], service: &Arc<IoService>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            payloads: PayloadPool::new(plan.payload_pool, plan.payload_min, plan.payload_max),
            clock: Clock::start(),
            warmup: Budget::new(Extent::Requests(plan.warmup * plan.sessions as u64)),
            measured: Budget::new(plan.extent),
            plan: plan.clone(),
            addresses: addresses.into(),
            service: Arc::downgrade(service),
            own: own.clone(),
            is_measuring: AtomicBool::new(false),
            phase: Phase::default(),
            begun: AtomicU32::new(0),
            connected: AtomicU64::new(0),
            asked: [const { AtomicU64::new(0) }; 2],
            recorder: Mutex::new(Recorder::new()),
            losses: Mutex::new(Losses::default()),
            ended: AtomicBool::new(false),
        })
    }

    /// Fills all places and waits until the phase's budget is used and the last of them is empty,
    /// or nothing has come back for the plan's limit.
    fn run_phase(&self, name: &'static str, steps: u64) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let progress = Progress::begin(name, steps);
        let start_ns = self.clock.now_ns();
        self.phase.begin(self.plan.sessions);
        for _ in 0..self.plan.sessions {
            self.connect_next();
        }
        let limit_ns = u64::try_from(self.plan.timeout.as_nanos()).unwrap_or(u64::MAX);
        let (mut last_seen, mut last_change_ns) = (self.answers(), start_ns);
        while !self.phase.wait(TICK) {
            let (seen, now_ns) = (self.answers(), self.clock.now_ns());
            match self.plan.extent {
                Extent::Time(_) if self.is_measuring.load(Ordering::Relaxed) => {
                    progress.at((now_ns - start_ns) / 1_000_000);
                }
                _ => progress.at(seen.0.max(seen.1)),
            }
            if seen != last_seen {
                (last_seen, last_change_ns) = (seen, now_ns);
            } else if now_ns - last_change_ns > limit_ns {
                self.note_problem(silence(&self.plan));
                self.ended.store(true, Ordering::Release);
                return;
            }
        }
    }

    /// Fills one place again, or leaves it empty when the phase has no connection left.
    fn connect_next(&self) {
        let now_ns = self.clock.now_ns();
        let is_measured = self.is_measuring.load(Ordering::Acquire);
        let budget = if is_measured {
            &self.measured
        } else {
            &self.warmup
        };
        let (Some(service), Some(own)) = (self.service.upgrade(), self.own.upgrade()) else {
            return self.phase.leave();
        };
        if self.ended.load(Ordering::Acquire) || !budget.take(now_ns) {
            return self.phase.leave();
        }
        self.asked[usize::from(is_measured)].fetch_add(1, Ordering::Relaxed);
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let address = self.addresses[number as usize % self.addresses.len()];
        let visit = Visit {
            sent: Sent {
                at_ns: now_ns,
                payload: number,
                sequence: number,
            },
            is_measured,
            is_answered: AtomicBool::new(false),
        };
        let tls = &self.plan.tls;
        let begun = tls.connect(&service, address, own.clone(), move |result| match result {
            Ok(session) => {
                let attached = session.attach(visit);
                debug_assert!(attached.is_ok(), "a session is made once");
            }
            Err(reason) => own.lose(reason),
        });
        if begun.is_err() {
            self.lose(CloseReason::Stopping);
        }
    }

    /// A connection was not made: its place stays empty.
    #[cold]
    fn lose(&self, reason: CloseReason) {
        self.count_loss(reason);
        self.phase.leave();
    }

    #[cold]
    fn count_loss(&self, reason: CloseReason) {
        if !self.ended.load(Ordering::Acquire) {
            self.note_problem(reason);
            self.losses.lock().sessions += 1;
        }
    }

    fn note_problem(&self, problem: impl ToString) {
        let first = &mut self.losses.lock().first;
        first.get_or_insert_with(|| problem.to_string());
    }

    /// Answers so far, of warm-up and measured connections.
    fn answers(&self) -> (u64, u64) {
        let recorder = self.recorder.lock();
        (recorder.warmup_responses, recorder.latencies.count())
    }

    fn report(&self, start_ns: u64, measured_ns: u64) -> RunReport {
        let recorded = self.recorder.lock().clone();
        let losses = self.losses.lock().clone();
        let [warmup_requests, measured_requests] =
            [0, 1].map(|phase: usize| self.asked[phase].load(Ordering::Relaxed));
        RunReport {
            plan: self.plan.clone(),
            payload_mean_bytes: self.payloads.mean_bytes(),
            connected_sessions: self.connected.load(Ordering::Relaxed),
            connection_losses: losses.sessions,
            warmup_requests,
            warmup_responses: recorded.warmup_responses,
            measured_requests,
            measured_responses: recorded.latencies.count(),
            wrong_responses: recorded.wrong_responses,
            payload_bytes: recorded.payload_bytes,
            // Each connect is part of its latency.
            connect_elapsed_ns: 0,
            warmup_elapsed_ns: measured_ns - start_ns,
            measured_elapsed_ns: recorded.last_response_ns.saturating_sub(measured_ns),
            first_loss: losses.first,
            latencies: recorded.latencies,
            timeline: recorded.timeline,
        }
    }
}

impl Handler for Churn {
    fn on_connected(&self, session: &Session) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        let Some(visit) = session.attached::<Visit>() else {
            return;
        };
        let payload = self.payloads.payload(visit.sent.payload as usize);
        let unix_ms = self.clock.unix_ms(visit.sent.at_ns);
        // The session can only have ended, which `on_disconnected` counts.
        let _ = wire::send(session, self.plan.kind, visit.sent, unix_ms, payload);
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let now_ns = self.clock.now_ns();
        let Some(visit) = session.attached::<Visit>() else {
            return;
        };
        let payload = self.payloads.payload(visit.sent.payload as usize);
        let kind = self.plan.kind;
        let verify = self.plan.verifies(visit.sent.sequence);
        let checked = if visit.is_answered.load(Ordering::Relaxed) {
            Err(wire::Wrong::Unasked)
        } else {
            wire::check(&packet, kind, visit.sent, payload, verify)
        };
        match checked {
            Ok(()) => {
                let mut recorder = self.recorder.lock();
                if visit.is_measured {
                    let latency_ns = now_ns.saturating_sub(visit.sent.at_ns);
                    recorder.record(now_ns, latency_ns, payload.len());
                } else {
                    recorder.warmup_responses += 1;
                }
                visit.is_answered.store(true, Ordering::Relaxed);
            }
            Err(wrong) => {
                self.recorder.lock().wrong_responses += 1;
                self.note_problem(wrong);
            }
        }
        session.disconnect();
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let visit = session.attached::<Visit>();
        let is_answered = visit.is_some_and(|visit| visit.is_answered.load(Ordering::Relaxed));
        // After a wrong answer the reason says only that this side closed.
        if !is_answered && reason != CloseReason::Requested {
            self.count_loss(reason);
        }
        self.connect_next();
    }
}
