//! Whole services on real sockets whose engines fail: by seeds, connections break, can not be made
//! or taken over, sends fail half way, whole workers are lost, while clients talk, sessions are
//! kicked, and the service stops. Whatever happens, every session ends once and last and for a
//! reason that there was, an honest client that no fault has met is served to the end, and nothing
//! is left behind, to the byte and the descriptor.
//!
//! `FASTPORT_FAULT_SEEDS=FROM..TO` runs other seeds, or one.
//!
//! A program of its own, since allocator and descriptors are the process's.

mod hard_faults {
    pub(crate) mod client;
    pub(crate) mod ledger;
    pub(crate) mod plan;
}

use fastport::simulation::start_service;
use fastport::{CloseReason, Dispatch, EngineError, EngineKind, Error, IoService, StopReport};
use fastport_engine::Engine;
use fastport_testkit::FaultyEngine;
use fastport_testkit::alloc_counter::{CountingAllocator, live_bytes};
use fastport_testkit::faulty_engine::faults::{Injected, Record};
use hard_faults::client::{self, Outcome};
use hard_faults::ledger::{Ledger, Life, OWN};
use hard_faults::plan::Plan;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// How many seeds are run on each engine.
const SEEDS: u64 = 250;
/// How long a stop may take. Never waited for when all is well.
const DRAIN: Duration = Duration::from_secs(20);
/// A run that takes longer does not end.
const LIMIT: Duration = Duration::from_secs(90);

/// One test, so that nothing else of the process allocates meanwhile.
#[test]
fn whatever_fails_each_session_ends_once_and_nothing_is_left() {
    let mut engines = 0;
    for kind in [EngineKind::IoUring, EngineKind::Iocp, EngineKind::Poll] {
        if EngineKind::choose(Some(kind)).is_err() {
            continue;
        }
        engines += 1;
        match kind {
            #[cfg(target_os = "linux")]
            EngineKind::IoUring => try_seeds::<fastport_engine::UringEngine>(),
            #[cfg(windows)]
            EngineKind::Iocp => try_seeds::<fastport_engine::IocpEngine>(),
            #[cfg(unix)]
            EngineKind::Poll => try_seeds::<fastport_engine::PollEngine>(),
            _ => {}
        }
    }
    assert!(engines > 0, "no engine runs here");
}

fn try_seeds<E: Engine>() {
    let asked = std::env::var("FASTPORT_FAULT_SEEDS").ok();
    let seeds = asked.as_deref().map_or(0..SEEDS, range);
    // What is made once for the process is made by these.
    for seed in 0..4 {
        run::<E>(&Plan::of_seed(seed));
    }
    start_in_vain::<E>();
    let before = (descriptors(), live_bytes());
    start_in_vain::<E>();
    let after = (descriptors(), live_bytes());
    assert_eq!(after, before, "a start that failed left something");
    let mut counts = Record::default().counts();
    for seed in seeds.clone() {
        let plan = Plan::of_seed(seed);
        let before = (descriptors(), live_bytes());
        let guard = Guard::new(E::NAME, seed);
        let record = run::<E>(&plan);
        for (sum, count) in counts.iter_mut().zip(record.counts()) {
            *sum += count;
        }
        drop(record);
        drop(guard);
        let _named = Replay(E::NAME, seed);
        let after = (descriptors(), live_bytes());
        assert_eq!(after, before, "descriptors and bytes of the heap");
    }
    println!("{}: {seeds:?}, faults {counts:?}", E::NAME);
    if asked.is_none() {
        let all = counts.iter().all(|count| *count > 0);
        assert!(all, "some fault has never happened: {counts:?}");
    }
}

/// The last of three workers gets no engine: there is no service.
fn start_in_vain<E: Engine>() {
    let mut plan = Plan::of_seed(0);
    plan.config.workers = 3;
    plan.config.dispatch = Dispatch::Pool { workers: 2 };
    let refused = start_service(plan.config, |worker, config| match worker {
        2 => Err(EngineError::Setup {
            action: "do without",
            source: std::io::ErrorKind::Unsupported.into(),
        }),
        _ => E::open(config),
    });
    let refused = refused.map(drop);
    let is_told = matches!(refused, Err(Error::Engine(EngineError::Setup { .. })));
    assert!(is_told, "{refused:?}");
}

fn range(text: &str) -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("FASTPORT_FAULT_SEEDS=FROM..TO");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(text)..number(text) + 1,
    }
}

/// Says how a run that fails is run again.
struct Replay(&'static str, u64);

impl Replay {
    fn say(&self) {
        let Self(engine, seed) = self;
        eprintln!("{engine}, seed {seed}; again, as far as the kernel's part is the same:");
        eprintln!("  FASTPORT_FAULT_SEEDS={seed} cargo test -p fastport --test hard_faults");
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if thread::panicking() {
            self.say();
        }
    }
}

/// Ends the process when a run does not end.
struct Guard {
    done: Option<Sender<()>>,
    watch: Option<thread::JoinHandle<()>>,
    _replay: Replay,
}

impl Guard {
    fn new(engine: &'static str, seed: u64) -> Self {
        let (done, is_done) = channel::<()>();
        let watch = thread::spawn(move || {
            if is_done.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the run does not end");
                Replay(engine, seed).say();
                std::process::abort();
            }
        });
        Self {
            done: Some(done),
            watch: Some(watch),
            _replay: Replay(engine, seed),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.done = None;
        let _ = self.watch.take().map(thread::JoinHandle::join);
    }
}

/// One run, and all that must hold after it.
fn run<E: Engine>(plan: &Plan) -> Record {
    let record = Record::default();
    let ledger = Arc::new(Ledger::default());
    let service = start::<E>(plan, &record).expect("a service");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let connects = Arc::new(Connects::default());
    let mut clients = Vec::new();
    // The worker that listens may be lost already.
    if let Ok(address) = service.listen(any, ledger.clone()) {
        connects.begin(plan, &service, address, &ledger);
        clients = start_clients(plan, address, &ledger);
        disturb(plan, &service, &ledger);
    }
    let report = service.stop(DRAIN);
    let join = |client: thread::JoinHandle<Outcome>| {
        let outcome = client.join();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    };
    let outcomes: Vec<_> = clients.into_iter().map(join).collect();
    let lives = ledger.lives();
    assert_eq!(ledger.verdict.violation(), None);
    check_report(plan, &record, &service, &report);
    check_totals(&record, &report, &lives);
    connects.check(&report);
    for (client, outcome) in outcomes.iter().enumerate() {
        check_client(plan, &record, &lives, client as u32, outcome);
    }
    record
}

fn start<E: Engine>(plan: &Plan, record: &Record) -> Result<IoService, Error> {
    let (all, record) = (plan.clone(), record.clone());
    start_service(plan.config.clone(), move |worker, config| {
        let inner = E::open(config)?;
        let (faults, seed) = (all.faults_of(worker), all.seed + 1000 * worker as u64);
        let engine: FaultyEngine<E> = FaultyEngine::new(inner, faults, seed, record.clone());
        Ok(engine)
    })
}

fn start_clients(
    plan: &Plan,
    to: SocketAddr,
    ledger: &Arc<Ledger>,
) -> Vec<thread::JoinHandle<Outcome>> {
    /// Tells of the end of a client, by a panic also.
    struct Ends(Arc<Ledger>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.client_has_ended();
        }
    }
    let frames = plan.frames;
    let start = |client| {
        let ends = Ends(ledger.clone());
        thread::spawn(move || {
            let _ends = ends;
            client::run(to, client, frames)
        })
    };
    (0..plan.clients).map(start).collect()
}

/// Kicks sessions from this thread, until it is time to stop.
fn disturb(plan: &Plan, service: &IoService, ledger: &Ledger) {
    for kick in 1..=plan.kicks {
        ledger.wait_for(kick * plan.kick_every, plan.clients);
        let mut first = None;
        service.for_each_session(|session| {
            if first.is_none() && session.is_inbound() {
                first = Some(session.clone());
            }
        });
        if let Some(session) = first {
            session.kick(18, "by another thread");
        }
    }
    ledger.wait_for(plan.stops_after.unwrap_or(usize::MAX), plan.clients);
}

/// What becomes of the service's own connects: each is told once.
#[derive(Default)]
struct Connects {
    begun: AtomicU32,
    made: AtomicU32,
    failed: Mutex<Vec<CloseReason>>,
}

impl Connects {
    fn begin(
        self: &Arc<Self>,
        plan: &Plan,
        service: &IoService,
        to: SocketAddr,
        ledger: &Arc<Ledger>,
    ) {
        for _ in 0..plan.connects {
            let connects = self.clone();
            let done = move |outcome| match outcome {
                Ok(_) => _ = connects.made.fetch_add(1, Ordering::SeqCst),
                Err(reason) => connects.failed.lock().unwrap().push(reason),
            };
            // A worker may be lost, and the service have ended with it.
            if service.connect(to, ledger.clone(), done).is_ok() {
                self.begun.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn check(&self, report: &StopReport) {
        let failed = self.failed.lock().unwrap();
        let made = self.made.load(Ordering::SeqCst);
        let told = made as usize + failed.len();
        assert_eq!(told, self.begun.load(Ordering::SeqCst) as usize);
        assert_eq!(report.stats.connected, u64::from(made));
    }
}

/// The service has ended, says how, and has nothing left.
fn check_report(plan: &Plan, record: &Record, service: &IoService, report: &StopReport) {
    assert_eq!(report.leaked_operations, 0);
    let is_lost = record.count(Injected::Lost) > 0;
    match &report.failure {
        None => assert!(!is_lost, "nobody was told that a worker was lost"),
        Some(Error::Engine(EngineError::Queue { .. })) => assert!(is_lost),
        Some(failure) => panic!("{failure}"),
    }
    assert!(plan.lost.is_some() || !is_lost);
    assert_eq!(service.sessions(), 0);
    assert!(service.sessions_per_worker().iter().all(|load| *load == 0));
    let stats = service.stats();
    assert_eq!((stats.sessions, stats.queued_bytes), (0, 0));
}

/// What was counted is what the handler saw.
fn check_totals(record: &Record, report: &StopReport, lives: &[Life]) {
    let stats = &report.stats;
    let inbound = lives.iter().filter(|life| life.inbound).count();
    assert_eq!(stats.accepted, inbound as u64);
    assert_eq!(stats.connected, (lives.len() - inbound) as u64);
    for (code, name) in CloseReason::NAMES.iter().enumerate() {
        let seen = lives.iter().filter_map(|life| life.ended);
        let seen = seen.filter(|reason| usize::from(reason.code()) == code);
        assert_eq!(stats.closed[code], seen.count() as u64, "{name}");
    }
    let ended = lives.iter().filter(|life| life.ended.is_some()).count();
    assert_eq!(ended, lives.len(), "sessions whose end nobody was told of");
    let lost = record.count(Injected::AdoptError) + record.count(Injected::AddressError);
    assert!(stats.adopt_failures >= lost as u64);
    if record.count(Injected::AcceptError) == 0 {
        assert_eq!(stats.accept_failures, 0);
    }
    let handled: u64 = lives.iter().map(|life| u64::from(life.handled)).sum();
    assert!(stats.packets_in >= handled);
}

/// A client was served to the end, unless there was a reason why not.
fn check_client(plan: &Plan, record: &Record, lives: &[Life], client: u32, outcome: &Outcome) {
    let is_its = |life: &&Life| life.inbound && Some(life.peer) == outcome.address;
    let Some(life) = lives.iter().find(is_its) else {
        assert_eq!(outcome.heard, 0, "client {client} was answered by nobody");
        return;
    };
    let known = life
        .client
        .is_none_or(|known| known == client && known < OWN);
    assert!(known, "client {client}: {life:?}");
    let story = format!("client {client}: {outcome:?}, {life:?}");
    assert!(outcome.heard <= life.answered, "{story}");
    let is_broken = record.is_broken(life.peer);
    match life.ended {
        Some(CloseReason::PeerClosed) if !is_broken => {
            assert!(outcome.is_done && outcome.heard == plan.frames, "{story}");
        }
        // What was sent before the end arrives, unless the worker was lost before it had.
        Some(CloseReason::Kicked { .. } | CloseReason::Requested | CloseReason::Stopping)
            if !is_broken =>
        {
            let is_lost = record.count(Injected::Lost) > 0;
            assert!(is_lost || outcome.heard == life.answered, "{story}");
        }
        Some(CloseReason::WorkerFailed) => {
            assert!(record.count(Injected::Lost) > 0, "{story}");
        }
        _ => assert!(is_broken, "{story}"),
    }
}

/// Descriptors that the process has, where that can be told.
fn descriptors() -> usize {
    if cfg!(not(target_os = "linux")) {
        return 0;
    }
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
