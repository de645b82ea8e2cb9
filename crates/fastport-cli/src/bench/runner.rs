//! One run, from the first connect to the report.
//!
//! The thread that calls it starts the phases and watches them; everything between happens on the
//! I/O threads. No session is measured before all are warm: those that are warm first wait for the
//! others, or go on (`Plan::goes_on_warm`).

use super::churn;
use super::flow::{SessionLoad, Stage};
use super::load::Load;
use super::pacer;
use super::plan::{Extent, Kind, Pace, Plan, Scenario};
use super::report::RunReport;
use crate::output::progress::Progress;
use fastport::{
    CloseReason, Dispatch, Error, IoService, PacketId, ServiceConfig, Session, SessionConfig,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Connects under way at a time: enough to be fast, fewer than any listener's backlog.
const CONNECTS_MAX: usize = 128;

/// How often progress is shown and a stall is looked for.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How long sessions may take to close after a run.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that a session may have queued: the generator is asked to overload servers, so that its
/// own limits must not be what is measured.
const QUEUE_BYTES_MAX: usize = 1 << 30;

/// Does one run. Sessions are spread over `addresses` in turn; there is at least one.
///
/// # Errors
/// When the load generator can not start, or no session can be made.
pub(crate) fn run(plan: &Plan, addresses: &[SocketAddr]) -> Result<RunReport, Error> {
    match plan.scenario {
        Scenario::Steady => run_steady(plan, addresses),
        Scenario::Churn => churn::run(plan, addresses),
    }
}

/// All sessions stand before the first is measured.
fn run_steady(plan: &Plan, addresses: &[SocketAddr]) -> Result<RunReport, Error> {
    let service = IoService::start(service_config(plan))?;
    let load = Arc::new(Load::new(plan));
    let (sessions, connect_elapsed_ns) = connect_all(&service, &load, addresses)?;
    let warmup_elapsed_ns = warm_up(&load, &sessions);
    let measured_start_ns = measure(&load, &sessions);
    load.end();
    let report = report(
        &load,
        &sessions,
        [connect_elapsed_ns, warmup_elapsed_ns],
        measured_start_ns,
    );
    drop(sessions);
    service.stop(CLOSE_TIMEOUT);
    Ok(report)
}

pub(super) fn service_config(plan: &Plan) -> ServiceConfig {
    let session = SessionConfig {
        send_high_watermark: QUEUE_BYTES_MAX / 2,
        send_low_watermark: QUEUE_BYTES_MAX / 4,
        send_queue_max: QUEUE_BYTES_MAX,
        // The generator has its own limit, which also sees a server that answers nobody.
        idle_timeout: Duration::ZERO,
        frame_timeout: Duration::ZERO,
        write_stall_timeout: Duration::ZERO,
        ..SessionConfig::default()
    };
    ServiceConfig {
        engine: plan.engine,
        workers: plan.io_threads,
        dispatch: Dispatch::Inline,
        wait: plan.wait,
        sessions_max: plan.sessions,
        session,
        ..ServiceConfig::default()
    }
}

/// Makes the sessions, as many as can be made. Returns them and how long it took.
fn connect_all(
    service: &IoService,
    load: &Arc<Load>,
    addresses: &[SocketAddr],
) -> Result<(Vec<Session>, u64), Error> {
    let progress = Progress::begin("connect", load.plan.sessions as u64);
    let start_ns = load.clock.now_ns();
    let (done, results) = channel();
    let mut sessions = Vec::with_capacity(load.plan.sessions);
    let (mut asked, mut answered) = (0, 0);
    let mut first_failure = None;
    while answered < load.plan.sessions {
        while asked < load.plan.sessions && asked - answered < CONNECTS_MAX {
            let (index, done, of) = (asked, done.clone(), load.clone());
            let address = addresses[index % addresses.len()];
            let tls = &load.plan.tls;
            tls.connect(service, address, load.clone(), move |result| {
                if let Ok(session) = &result {
                    of.attach(session, index);
                }
                // Nobody listens any more when connecting was given up.
                let _ = done.send(result);
            })?;
            asked += 1;
        }
        match results.recv().map_err(|_| Error::Stopped)? {
            Ok(session) => sessions.push(session),
            Err(reason) => {
                load.note_problem(reason.to_string());
                first_failure.get_or_insert(reason);
            }
        }
        answered += 1;
        progress.at(answered as u64);
        if sessions.is_empty() && answered >= CONNECTS_MAX {
            break;
        }
    }
    if sessions.is_empty() {
        let reason = first_failure.unwrap_or(CloseReason::Stopping);
        return Err(Error::Connect {
            address: addresses[0],
            reason,
        });
    }
    Ok((sessions, load.clock.now_ns() - start_ns))
}

/// Warms the sessions up. Returns how long it took.
fn warm_up(load: &Load, sessions: &[Session]) -> u64 {
    if load.plan.warmup == 0 {
        return 0;
    }
    let in_flight = match load.plan.pace {
        Pace::Closed { in_flight } => in_flight,
        Pace::Open { .. } => 1,
    };
    let progress = Progress::begin("warm-up", load.plan.warmup * sessions.len() as u64);
    let start_ns = load.clock.now_ns();
    load.phase.begin(sessions.len());
    for session in sessions {
        load.start(
            session,
            Stage::Warmup {
                left: load.plan.warmup,
            },
            in_flight,
        );
    }
    watch(load, sessions, || progress.at(load.responses().0));
    load.clock.now_ns() - start_ns
}

/// Measures. Returns when it began.
fn measure(load: &Load, sessions: &[Session]) -> u64 {
    if load.is_ended() {
        return load.clock.now_ns();
    }
    let steps = match load.plan.extent {
        Extent::Requests(requests) => requests,
        Extent::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    };
    let progress = Progress::begin("measure", steps);
    load.phase.begin(sessions.len());
    let start_ns = load.clock.now_ns();
    load.begin_measuring(start_ns);
    let show = || match load.plan.extent {
        Extent::Requests(_) => progress.at(load.responses().1),
        Extent::Time(_) => progress.at((load.clock.now_ns() - start_ns) / 1_000_000),
    };
    match load.plan.pace {
        Pace::Closed { in_flight } => {
            sessions
                .iter()
                .for_each(|session| load.start(session, Stage::Closed, in_flight));
            watch(load, sessions, show);
        }
        Pace::Open { rate } => {
            sessions
                .iter()
                .for_each(|session| load.start(session, Stage::Open, 0));
            std::thread::scope(|scope| {
                scope.spawn(|| pacer::pace(load, sessions, rate, start_ns));
                watch(load, sessions, show);
            });
        }
    }
    start_ns
}

/// Watches a phase until it has ended, or nothing comes back any more: then the run is given up.
fn watch(load: &Load, sessions: &[Session], show: impl Fn()) {
    let limit_ns = u64::try_from(load.plan.timeout.as_nanos()).unwrap_or(u64::MAX);
    let (mut last_seen, mut last_change_ns) = (load.responses(), load.clock.now_ns());
    while !load.phase.wait(TICK) {
        show();
        let (seen, now_ns) = (load.responses(), load.clock.now_ns());
        if seen != last_seen {
            (last_seen, last_change_ns) = (seen, now_ns);
        } else if now_ns - last_change_ns > limit_ns && is_overdue(sessions, now_ns, limit_ns) {
            load.note_problem(silence(&load.plan));
            load.end();
            return;
        }
    }
}

/// Why a run is given up.
pub(super) fn silence(plan: &Plan) -> String {
    let limit = crate::quantity::show_duration(plan.timeout);
    let packet = if plan.kind == Kind::Raw {
        PacketId::RAW_ECHO
    } else {
        PacketId::BENCHMARK_REQUEST
    };
    format!("nothing came back for {limit}: does the server answer packet {packet}?")
}

/// Whether a response is waited for longer than the limit.
fn is_overdue(sessions: &[Session], now_ns: u64, limit_ns: u64) -> bool {
    sessions
        .iter()
        .filter_map(|session| session.attached::<SessionLoad>())
        .any(|load| {
            let flow = load.flow.lock();
            flow.outstanding
                .front()
                .is_some_and(|sent| now_ns.saturating_sub(sent.at_ns) > limit_ns)
        })
}

fn report(
    load: &Load,
    sessions: &[Session],
    [connect_elapsed_ns, warmup_elapsed_ns]: [u64; 2],
    measured_start_ns: u64,
) -> RunReport {
    let recorded = load.recorded();
    let losses = load.losses();
    let (mut warmup_requests, mut measured_requests) = (0, 0);
    for state in sessions
        .iter()
        .filter_map(|session| session.attached::<SessionLoad>())
    {
        let flow = state.flow.lock();
        warmup_requests += flow.warmup_requests;
        measured_requests += flow.measured_requests;
    }
    RunReport {
        plan: load.plan.clone(),
        payload_mean_bytes: load.payloads.mean_bytes(),
        connected_sessions: sessions.len() as u64,
        connection_losses: losses.sessions,
        warmup_requests,
        warmup_responses: recorded.warmup_responses,
        measured_requests,
        measured_responses: recorded.latencies.count(),
        wrong_responses: recorded.wrong_responses,
        payload_bytes: recorded.payload_bytes,
        connect_elapsed_ns,
        warmup_elapsed_ns,
        measured_elapsed_ns: recorded.last_response_ns.saturating_sub(measured_start_ns),
        first_loss: losses.first,
        latencies: recorded.latencies,
        timeline: recorded.timeline,
    }
}
