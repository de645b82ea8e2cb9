//! The I/O service: a pool of workers, each with its own completion queue.
//!
//! It owns the threads. Listeners live on the first worker and hand connections to the worker with
//! the fewest sessions; connectors go to that worker directly. A worker that dies is an error that
//! [`IoService::wait`] and [`IoService::stop`] report, never silence.

use crate::config::{Dispatch, ServiceConfig, SessionConfig, WorkerFailure};
use crate::dispatch::event_pool::EventPool;
use crate::lock::{Condvar, Mutex};
use crate::rooms::everyone::Everyone;
use crate::session::handle::{Session, SessionId};
use crate::stats::snapshot::StatsSnapshot;
use crate::worker::accept::ListenerState;
use crate::worker::link::{Answers, Command, ServiceShared, WorkerLink};
use crate::worker::receive::panic_text;
use crate::worker::secure::{ClientTls, ServerTls};
use crate::worker::{Peer, Worker};
use crate::{CloseReason, Error, Handler, Monitor};
use crossbeam_queue::SegQueue;
use fastport_engine::{Choice, Drained, Engine, EngineConfig, EngineError, EngineKind, Mailbox};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running pool of I/O workers. Dropping it resets what is left and joins the threads.
pub struct IoService {
    shared: Arc<ServiceShared>,
    links: Vec<Arc<WorkerLink>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    ended: Arc<Ended>,
    choice: Choice,
    stopping: AtomicBool,
    started: Instant,
}

/// How a stop went.
#[derive(Debug)]
#[non_exhaustive]
pub struct StopReport {
    /// What the service did in its life.
    pub stats: StatsSnapshot,
    /// Sessions that there were when the stop began.
    pub sessions_at_stop: usize,
    /// How long the stop took.
    pub took: Duration,
    /// How long the service ran, the stop included.
    pub uptime: Duration,
    /// Operations whose memory was leaked because the kernel did not let go of it in time; 0 is
    /// normal.
    pub leaked_operations: usize,
    /// The first worker failure, if there was one.
    pub failure: Option<Error>,
}

/// Which workers have ended, and how.
#[derive(Default)]
struct Ended {
    state: Mutex<EndedState>,
    changed: Condvar,
}

#[derive(Default)]
struct EndedState {
    workers: usize,
    leaked_operations: usize,
    failure: Option<Error>,
}

impl IoService {
    /// Starts the workers, and the event pool if handlers run on one. Blocks until all are ready.
    ///
    /// # Errors
    /// A setting out of range, an engine that this machine does not permit, threads that can not
    /// start.
    pub fn start(config: ServiceConfig) -> Result<Self, Error> {
        config.validate()?;
        let choice = EngineKind::choose(config.engine)?;
        if config.engine.is_none() && choice.kind == EngineKind::Poll {
            tracing::info!(reason = %choice.reason, "using the poll engine");
        }
        match choice.kind {
            #[cfg(target_os = "linux")]
            EngineKind::IoUring => {
                let open = |_, config: &_| fastport_engine::UringEngine::open(config);
                Self::launch(config, choice, open)
            }
            #[cfg(windows)]
            EngineKind::Iocp => {
                let open = |_, config: &_| fastport_engine::IocpEngine::open(config);
                Self::launch(config, choice, open)
            }
            #[cfg(unix)]
            EngineKind::Poll => {
                let open = |_, config: &_| fastport_engine::PollEngine::open(config);
                Self::launch(config, choice, open)
            }
            kind => Err(Error::Engine(EngineError::Unavailable {
                engine: kind.name(),
                reason: "it is not part of this build".into(),
            })),
        }
    }

    /// Starts workers whose engines `open` makes, each on its worker's thread; it is told which
    /// one that is.
    pub(crate) fn launch<E: Engine>(
        config: ServiceConfig,
        choice: Choice,
        open: impl Fn(usize, &EngineConfig) -> Result<E, EngineError> + Clone + Send + 'static,
    ) -> Result<Self, Error> {
        let pool = match config.dispatch {
            Dispatch::Inline => None,
            Dispatch::Pool { workers } => Some(EventPool::start(workers)?),
        };
        let shared = Arc::new(ServiceShared::new(config, pool, Instant::now()));
        let ended = Arc::new(Ended::default());
        let mut threads = Starting(Vec::new());
        let mut links = Vec::new();
        let mut starts: Vec<Sender<Arc<[Peer<E>]>>> = Vec::new();
        for index in 0..shared.config.workers {
            let (ready, is_ready) = channel();
            let (start, may_start) = channel();
            let (service, ended, open) = (shared.clone(), ended.clone(), open.clone());
            let name = format!("fastport-io-{index}");
            let thread = std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || {
                    let open = |config: &_| open(index, config);
                    run_worker::<E>(index, open, service, &ended, &ready, &may_start);
                })
                .map_err(|source| Error::Thread { name, source })?;
            threads.0.push(thread);
            // A dropped channel ends the workers that are ready: they never get their peers.
            links.push(is_ready.recv().map_err(|_| Error::Stopped)??);
            starts.push(start);
        }
        let peers: Arc<[Peer<E>]> = links
            .iter()
            .map(|link: &Arc<WorkerLink>| Peer {
                link: link.clone(),
                adoptions: SegQueue::new(),
            })
            .collect();
        shared.set_workers(&links);
        for start in starts {
            start.send(peers.clone()).map_err(|_| Error::Stopped)?;
        }
        let started = shared.started;
        Ok(Self {
            shared,
            links,
            threads: Mutex::new(std::mem::take(&mut threads.0)),
            ended,
            choice,
            stopping: AtomicBool::new(false),
            started,
        })
    }

    /// Starts to listen. Returns the address, with the port that the system chose for port 0.
    /// Blocks until the socket listens.
    ///
    /// # Errors
    /// The address is taken, not ours, not permitted; or the service is stopping.
    pub fn listen(
        &self,
        address: SocketAddr,
        handler: Arc<dyn Handler>,
    ) -> Result<SocketAddr, Error> {
        self.listen_with(address, handler, None)
    }

    /// As [`IoService::listen`], with TLS: connections become sessions when their handshake is
    /// done. [`ProtectionConfig`](crate::ProtectionConfig) bounds how long that takes and how many
    /// there are. With a PROXY header, that comes before TLS.
    ///
    /// # Errors
    /// As [`IoService::listen`].
    #[cfg(feature = "tls")]
    pub fn listen_tls(
        &self,
        address: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: &crate::TlsServer,
    ) -> Result<SocketAddr, Error> {
        self.listen_with(address, handler, Some(tls.clone()))
    }

    pub(crate) fn listen_with(
        &self,
        address: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ServerTls>,
    ) -> Result<SocketAddr, Error> {
        self.check_running()?;
        let (reply, answer) = channel();
        let first = self.living().next().ok_or(Error::Stopped)?;
        first.mailbox.post(Command::Listen {
            address,
            handler,
            tls,
            reply,
        });
        answer.recv().map_err(|_| Error::Stopped)?
    }

    /// Starts to connect. `done` is called once, on a worker: with the session just before
    /// [`Handler::on_connected`], or with the reason why there is none (then no handler method is
    /// called). It must not block. When the worker ends before it looked at this, `done` may be
    /// called on the calling thread.
    ///
    /// # Errors
    /// When the service is stopping; `done` is not called then.
    pub fn connect(
        &self,
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
    ) -> Result<(), Error> {
        self.connect_with(to, handler, None, done)
    }

    /// As [`IoService::connect`], with TLS: `done` is called when the handshake is done, or with
    /// [`CloseReason::Tls`] when it failed.
    ///
    /// # Errors
    /// As [`IoService::connect`].
    #[cfg(feature = "tls")]
    pub fn connect_tls(
        &self,
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: &crate::TlsClient,
        done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
    ) -> Result<(), Error> {
        self.connect_with(to, handler, Some(tls.clone()), done)
    }

    pub(crate) fn connect_with(
        &self,
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ClientTls>,
        done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
    ) -> Result<(), Error> {
        self.check_running()?;
        let living = self.living();
        let lightest = living.min_by_key(|link| link.load.load(Ordering::Relaxed));
        let link = lightest.ok_or(Error::Stopped)?;
        link.post_connect(to, handler, tls, done);
        Ok(())
    }

    /// The engine that runs.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        self.choice.kind
    }

    /// Why that engine was taken.
    #[must_use]
    pub fn engine_reason(&self) -> &str {
        &self.choice.reason
    }

    /// Settings as they were at the start.
    #[must_use]
    pub fn config(&self) -> &ServiceConfig {
        &self.shared.config
    }

    /// Takes from `new` what a running service can change, and looks at nothing else. At once:
    /// `sessions_max` and, of `protection`, the lists and what limits new sessions; sessions that
    /// there are stay. For sessions that begin from now on: their limits and times, but not
    /// `frame_bytes_max` and the socket options. Any thread; returns at once.
    ///
    /// # Errors
    /// The first setting that is out of range; nothing is changed then.
    pub fn reload(&self, new: &ServiceConfig) -> Result<(), Error> {
        let running = &self.shared.config.session;
        let session = SessionConfig {
            frame_bytes_max: running.frame_bytes_max,
            socket: running.socket.clone(),
            ..new.session.clone()
        };
        let checked = ServiceConfig {
            sessions_max: new.sessions_max,
            session,
            protection: new.protection.clone(),
            ..self.shared.config.clone()
        };
        checked.validate()?;
        self.shared
            .sessions_max
            .store(checked.sessions_max, Ordering::Relaxed);
        self.shared.admission.reload(checked.protection);
        let session = Arc::new(checked.session);
        for link in &self.links {
            link.mailbox.post(Command::Reload(session.clone()));
        }
        Ok(())
    }

    /// Sessions that there are, connections on their way included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.sessions.load(Ordering::Relaxed)
    }

    /// Sessions of each worker, connections on their way included.
    #[must_use]
    pub fn sessions_per_worker(&self) -> Vec<usize> {
        let loads = self
            .links
            .iter()
            .map(|link| link.load.load(Ordering::Relaxed));
        loads.collect()
    }

    /// The session with this id, if it exists.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.shared.registry.find(id)
    }

    /// Calls `visit` for each session. Sessions may come and go meanwhile.
    pub fn for_each_session(&self, visit: impl FnMut(&Session)) {
        self.shared.registry.for_each(visit);
    }

    /// All sessions of the service, to send a message to as one.
    #[must_use]
    pub fn everyone(&self) -> Everyone {
        Everyone::of(&self.shared)
    }

    /// Whether every worker takes its turns: each is asked through its mailbox and has `limit` in
    /// all to answer. Blocks until all have answered or `limit` is over. False when
    /// a worker has ended, or stays in a handler for longer than `limit`. Not from a handler that
    /// runs inline: it would wait for itself.
    #[must_use]
    pub fn ping_workers(&self, limit: Duration) -> bool {
        let asked = match self.shared.config.worker_failure {
            WorkerFailure::Stop => self.links.len(),
            WorkerFailure::GoOn => self.living().count().max(1),
        };
        let answers = Arc::new(Answers::default());
        for link in self.living() {
            link.mailbox.post(Command::Ping(answers.clone()));
        }
        self.living().count() >= asked && answers.wait_for(asked, limit)
    }

    /// Makes a worker die as if by a defect, so that what becomes of the others can be tested.
    /// Returns at once.
    #[doc(hidden)]
    pub fn fail_worker(&self, index: usize) {
        if let Some(link) = self.links.get(index) {
            link.mailbox.post(Command::Fail);
        }
    }

    /// The workers that have not ended.
    fn living(&self) -> impl Iterator<Item = &Arc<WorkerLink>> {
        self.links.iter().filter(|link| !link.has_failed())
    }

    /// Totals since the start.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        StatsSnapshot::of(&self.shared, &self.links)
    }

    /// What watches the service from any thread, for as long as it likes.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        let links = self.links.iter().cloned().collect();
        Monitor::new(self.shared.clone(), links, self.choice.kind, self.started)
    }

    /// Blocks until the service was stopped by another thread or a worker has failed.
    ///
    /// # Errors
    /// The failure.
    pub fn wait(&self) -> Result<(), Error> {
        let mut state = self.ended.state.lock();
        while !self.has_ended(&state) {
            self.ended.changed.wait(&mut state);
        }
        state.failure.take().map_or(Ok(()), Err)
    }

    /// Blocks like [`IoService::wait`], but no longer than `limit`. True when the service has
    /// ended.
    pub fn wait_for(&self, limit: Duration) -> bool {
        let mut state = self.ended.state.lock();
        if !self.has_ended(&state) {
            self.ended.changed.wait_for(&mut state, limit);
        }
        self.has_ended(&state)
    }

    fn has_ended(&self, state: &EndedState) -> bool {
        let stops = self.shared.config.worker_failure == WorkerFailure::Stop;
        state.workers >= self.links.len() || stops && state.failure.is_some()
    }

    /// Drains and ends the service: no new sessions, what was received is answered, queued bytes
    /// are flushed, connections are half-closed; what is left at the deadline is reset. Blocks
    /// until all threads have ended. Not from a handler: that would wait for itself. Calling it
    /// again is harmless.
    pub fn stop(&self, drain: Duration) -> StopReport {
        let began = Instant::now();
        let sessions_at_stop = self.sessions();
        self.begin_stop(drain);
        for thread in self.threads.lock().drain(..) {
            // Dropped by one of its own workers, the service can not wait for that one. A panic was
            // caught and recorded inside the thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        if let Some(pool) = &self.shared.pool {
            pool.stop();
        }
        let mut state = self.ended.state.lock();
        StopReport {
            stats: self.stats(),
            sessions_at_stop,
            took: began.elapsed(),
            uptime: self.started.elapsed(),
            leaked_operations: state.leaked_operations,
            failure: state.failure.take(),
        }
    }

    /// Begins what [`IoService::stop`] does and returns at once. Any thread, handlers included. A
    /// second call can only make the deadline earlier.
    pub fn begin_stop(&self, drain: Duration) {
        self.stopping.store(true, Ordering::Release);
        let deadline = Instant::now() + drain;
        for link in &self.links {
            link.mailbox.post(Command::Stop { deadline });
        }
    }

    fn check_running(&self) -> Result<(), Error> {
        if self.stopping.load(Ordering::Acquire) || self.has_ended(&self.ended.state.lock()) {
            return Err(Error::Stopped);
        }
        Ok(())
    }
}

impl Drop for IoService {
    fn drop(&mut self) {
        if !self.threads.lock().is_empty() {
            self.stop(Duration::ZERO);
        }
    }
}

impl std::fmt::Debug for IoService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoService")
            .field("engine", &self.choice.kind)
            .field("workers", &self.links.len())
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

/// Workers of a service that may not come to be: then they end before its start returns.
struct Starting(Vec<JoinHandle<()>>);

impl Drop for Starting {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // What went wrong in it was told on its channel.
            let _ = thread.join();
        }
    }
}

/// The life of a worker's thread.
fn run_worker<E: Engine>(
    index: usize,
    open: impl FnOnce(&EngineConfig) -> Result<E, EngineError>,
    service: Arc<ServiceShared>,
    ended: &Ended,
    ready: &Sender<Result<Arc<WorkerLink>, EngineError>>,
    may_start: &Receiver<Arc<[Peer<E>]>>,
) {
    let engine = match open(&engine_config(&service)) {
        Ok(engine) => engine,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let link = Arc::new(WorkerLink::new(
        index,
        Mailbox::new(engine.waker()),
        service,
    ));
    let _ = ready.send(Ok(link.clone()));
    let Ok(peers) = may_start.recv() else { return };
    let mut worker = Worker::new(engine, link, peers);
    // A panic in here is a defect of ours: the sessions are told, the failure is reported.
    let outcome = catch_unwind(AssertUnwindSafe(|| worker.run()));
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => Some(Error::WorkerDied {
            index,
            message: panic_text(&panic),
        }),
    };
    if let Some(failure) = &failure {
        tracing::error!(worker = index, %failure, "an I/O worker failed");
    }
    let goes_on = worker.link.service.config.worker_failure == WorkerFailure::GoOn;
    let listeners = (goes_on && failure.is_some()).then(|| worker.take_listeners());
    let heirs = worker.peers.clone();
    let drained = worker.finish();
    // Now that the sockets are closed, another worker can listen there.
    for listener in listeners.into_iter().flatten() {
        bequeath(listener, &heirs);
    }
    let mut state = ended.state.lock();
    state.workers += 1;
    if let Drained::Leaked { operations } = drained {
        tracing::error!(
            worker = index,
            operations,
            "the kernel did not let go in time; leaked"
        );
        state.leaked_operations += operations;
    }
    if state.failure.is_none() {
        state.failure = failure;
    }
    ended.changed.notify_all();
}

/// Has the first worker that lives listen where a dead one did.
fn bequeath<E: Engine>(listener: ListenerState, heirs: &[Peer<E>]) {
    let ListenerState {
        address,
        handler,
        tls,
    } = listener;
    let Some(heir) = heirs.iter().find(|heir| !heir.link.has_failed()) else {
        return;
    };
    // It logs that it listens.
    let (reply, _) = channel();
    heir.link.mailbox.post(Command::Listen {
        address,
        handler,
        tls,
        reply,
    });
}

/// The engine's sizes: as configured, for this worker's share of the sessions.
fn engine_config(service: &ServiceShared) -> EngineConfig {
    let workers = service.config.workers.max(1);
    let share = service.config.sessions_max.div_ceil(workers);
    EngineConfig {
        sessions_max: u32::try_from(share).unwrap_or(u32::MAX),
        ..service.config.engine_config.clone()
    }
}
