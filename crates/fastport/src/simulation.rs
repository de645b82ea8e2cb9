//! The session layer as a simulator drives it: on one thread, half a turn at a time, on any engine;
//! and whole services of threads on engines that a test makes.
//!
//! Not public API: the feature `simulation` exists for `fastport-testkit`, and what is here changes
//! without notice. Workers and event workers are identities of the one thread, so what is sent from
//! a strand goes the way that another thread's send goes. It changes nothing in how sessions work:
//! it only takes the steps that threads would take, in an order that its caller chooses.

use crate::config::{Dispatch, ServiceConfig};
use crate::dispatch::event_pool::EventPool;
use crate::dispatch::ready_batch;
use crate::dispatch::strand::Budget;
use crate::lock::counts;
use crate::protection::proxy_header::{self, Parsed};
use crate::session::send_queue;
use crate::stats::snapshot::StatsSnapshot;
use crate::worker::link::{Command, ServiceShared, WorkerLink};
use crate::worker::{Peer, Worker, attention};
use crate::{CloseReason, Error, Handler, IoService, Server, ServerBuilder, Session};
use crossbeam_queue::SegQueue;
use fastport_buffer::Identity;
use fastport_engine::{Choice, Drained, Engine, EngineConfig, EngineError, Mailbox, Wait};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A service whose workers take their turns when they are told to.
pub struct Stepped<E: Engine> {
    shared: Arc<ServiceShared>,
    workers: Vec<(Identity, Worker<E>)>,
}

/// The event workers and other threads of a [`Stepped`] service. They run beside its workers: what
/// runs here may take turns there.
pub struct Elsewhere {
    shared: Arc<ServiceShared>,
    identity: Identity,
}

/// What of a service still exists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remains {
    /// Sessions on their workers.
    pub slots: usize,
    /// Listeners, connects under way and connects given up that the engine did not report closed.
    pub keys: usize,
    /// Sessions that can be looked up.
    pub registered: usize,
    /// Sessions as the service counts them.
    pub counted: usize,
    /// Sessions as the workers count them.
    pub load: usize,
    /// Sockets on their way to a worker.
    pub adoptions: usize,
    /// Strands that wait to be run.
    pub strands: usize,
    /// Sessions that the limits of their address still count.
    pub admitted: usize,
    /// Bytes that wait for peers as the service counts them.
    pub queued: usize,
    /// Sessions that have not been let in as the service counts them.
    pub unauthenticated: usize,
}

impl<E: Engine> Stepped<E> {
    /// A service with a worker for each engine, of which there is at least one. Of `config` the
    /// engine, the number of workers and the number of event workers have no effect; nothing is
    /// validated.
    #[must_use]
    pub fn new(config: ServiceConfig, engines: Vec<E>) -> Self {
        let pooled = matches!(config.dispatch, Dispatch::Pool { .. });
        let pool = pooled.then(EventPool::without_threads);
        // All of them begin at the same moment of the simulated time.
        let started = engines[0].now();
        let shared = Arc::new(ServiceShared::new(config, pool, started));
        let link = |(index, engine): (usize, &E)| {
            let mailbox = Mailbox::new(engine.waker());
            Arc::new(WorkerLink::new(index, mailbox, shared.clone()))
        };
        let links: Vec<_> = engines.iter().enumerate().map(link).collect();
        let peers: Arc<[Peer<E>]> = links
            .iter()
            .map(|link| Peer {
                link: link.clone(),
                adoptions: SegQueue::new(),
            })
            .collect();
        let worker = |(engine, link)| {
            let identity = Identity::default();
            let worker = identity.assume(|| Worker::new(engine, link, peers.clone()));
            (identity, worker)
        };
        Self {
            workers: engines.into_iter().zip(links).map(worker).collect(),
            shared,
        }
    }

    /// The other threads.
    #[must_use]
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere {
            shared: self.shared.clone(),
            identity: Identity::default(),
        }
    }

    /// A worker's engine.
    pub fn engine(&mut self, worker: usize) -> &mut E {
        &mut self.workers[worker].1.engine
    }

    /// Listens on the first worker.
    ///
    /// # Errors
    /// What the engine says.
    pub fn listen(
        &mut self,
        address: SocketAddr,
        handler: Arc<dyn Handler>,
    ) -> Result<SocketAddr, Error> {
        let (identity, worker) = &mut self.workers[0];
        identity.assume(|| worker.on_listen(address, handler, None))
    }

    /// Posts a connect to a worker, as `IoService::connect` does.
    pub fn connect(
        &self,
        worker: usize,
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
    ) {
        let link = &self.workers[worker].1.link;
        link.post_connect(to, handler, None, done);
    }

    /// Tells all workers to drain until `deadline`.
    pub fn stop(&self, deadline: Instant) {
        for (_, worker) in &self.workers {
            worker.link.mailbox.post(Command::Stop { deadline });
        }
    }

    /// The first half of a worker's turn: it sleeps from here on, as long as is told, unless it is
    /// woken or has an event.
    pub fn begin_turn(&mut self, worker: usize) -> Wait {
        self.note_time(worker);
        let (identity, worker) = &mut self.workers[worker];
        identity.assume(|| worker.begin_turn())
    }

    /// The second half of a worker's turn.
    ///
    /// # Errors
    /// When the engine failed.
    pub fn finish_turn(&mut self, worker: usize, wait: Wait) -> Result<(), Error> {
        self.note_time(worker);
        let (identity, worker) = &mut self.workers[worker];
        identity.assume(|| worker.finish_turn(wait))
    }

    /// Other threads have the simulated time of the last turn.
    fn note_time(&self, worker: usize) {
        let now = self.workers[worker].1.engine.now();
        let uptime = now.saturating_duration_since(self.shared.started);
        let uptime = u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX);
        self.shared
            .simulated_ns
            .store(uptime.max(1), Ordering::Relaxed);
    }

    /// Whether a worker was told to stop and has nothing left to do.
    #[must_use]
    pub fn is_finished(&self, worker: usize) -> bool {
        self.workers[worker].1.is_finished()
    }

    /// Totals since the start.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        let mut sum = StatsSnapshot {
            sessions: self.shared.sessions.load(Ordering::Relaxed) as u64,
            ..StatsSnapshot::default()
        };
        for (_, worker) in &self.workers {
            sum.add(&worker.link.counters);
        }
        sum
    }

    /// What still exists; all zero when everything has ended.
    #[must_use]
    pub fn remains(&self) -> Remains {
        let mut remains = Remains {
            counted: self.shared.sessions.load(Ordering::Relaxed),
            strands: ready_strands(&self.shared),
            admitted: self.shared.admission.living(),
            queued: self.shared.budget.queued(),
            unauthenticated: self.shared.unauthenticated.load(Ordering::Relaxed),
            ..Remains::default()
        };
        self.shared.registry.for_each(|_| remains.registered += 1);
        for (index, (_, worker)) in self.workers.iter().enumerate() {
            remains.slots += worker.slots.iter().flatten().count();
            remains.keys +=
                worker.listeners.len() + worker.connecting.len() + worker.abandoned.len();
            remains.load += worker.link.load.load(Ordering::Relaxed);
            remains.adoptions += worker.peers[index].adoptions.len();
        }
        remains
    }

    /// Ends the workers, as their threads do at last.
    pub fn finish(self) -> Vec<Drained> {
        let finish =
            |(identity, worker): (Identity, Worker<E>)| identity.assume(|| worker.finish());
        self.workers.into_iter().map(finish).collect()
    }
}

impl Elsewhere {
    /// Strands that an event worker could run now.
    #[must_use]
    pub fn ready_strands(&self) -> usize {
        ready_strands(&self.shared)
    }

    /// Runs the ready strand at `index` for at most `packets` packets (1 to 64), as an event worker
    /// would.
    pub fn run_strand(&self, index: usize, packets: usize) {
        let Some(pool) = &self.shared.pool else {
            return;
        };
        if let Some(strand) = pool.queue().take(index) {
            let budget = Budget::of_packets(packets, self.shared.started);
            self.assume(|| strand.run_within(budget, pool.queue()));
        }
    }

    /// Runs `act` as a thread that is no worker.
    pub fn assume<R>(&self, act: impl FnOnce() -> R) -> R {
        self.identity.assume(act)
    }
}

fn ready_strands(shared: &ServiceShared) -> usize {
    shared.pool.as_ref().map_or(0, |pool| pool.queue().len())
}

/// Starts a service whose workers have the engines that `open` makes, each on its worker's thread;
/// it is told the worker's index. Of `config` the engine has no effect.
///
/// # Errors
/// As `IoService::start`, and when the name of `E` is not that of a back-end.
pub fn start_service<E: Engine>(
    config: ServiceConfig,
    open: impl Fn(usize, &EngineConfig) -> Result<E, EngineError> + Clone + Send + 'static,
) -> Result<IoService, Error> {
    config.validate()?;
    let kind = E::NAME.parse().map_err(|reason| EngineError::Unavailable {
        engine: E::NAME,
        reason,
    })?;
    let reason = "made by a test".into();
    IoService::launch(config, Choice { kind, reason }, open)
}

/// Starts a server as [`start_service`] does a service.
///
/// # Errors
/// As `ServerBuilder::start` and [`start_service`].
pub fn start_server<E: Engine>(
    builder: ServerBuilder,
    open: impl Fn(usize, &EngineConfig) -> Result<E, EngineError> + Clone + Send + 'static,
) -> Result<Server, Error> {
    builder.start_by(|config| start_service(config, open))
}

/// How often the locks of this process' services were taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LockCounts {
    /// In all.
    pub taken: u64,
    /// While somebody else was inside.
    pub contended: u64,
}

/// How often the locks of this process' services have been taken so far. Any thread.
#[must_use]
pub fn lock_counts() -> LockCounts {
    LockCounts {
        taken: counts::TAKEN.load(counts::ORDER),
        contended: counts::CONTENDED.load(counts::ORDER),
    }
}

/// Frees the memory that this thread keeps for reuse.
pub fn release_spares() {
    send_queue::release_spares();
    attention::release_spares();
    ready_batch::release_spares();
}

/// Reads the header that a proxy sends: its bytes and the client that it names, inside `Some`;
/// `Some(None)` while it is not complete, and `None` for what is no header.
#[must_use]
pub fn read_proxy_header(bytes: &[u8]) -> Option<Option<(usize, Option<SocketAddr>)>> {
    match proxy_header::parse(bytes) {
        Parsed::Header(header) => Some(Some((header.bytes, header.client))),
        Parsed::NeedMore => Some(None),
        Parsed::Invalid => None,
    }
}
