//! What other threads hold of a worker, and what all workers hold of their service.

use crate::config::{ServiceConfig, SessionConfig};
use crate::dispatch::event_pool::EventPool;
use crate::lock::{Condvar, Mutex};
use crate::protection::admission::Admission;
use crate::protection::budget::Budget;
use crate::protection::packet_rate::SessionRates;
use crate::rooms::audience::Audience;
use crate::rooms::casts::Casts;
use crate::session::handle::{Session, SessionId};
use crate::session::registry::Registry;
use crate::session::slot::ConnectDone;
use crate::stats::counters::{Counter, WorkerCounters};
use crate::worker::secure::{ClientTls, ServerTls};
use crate::{CloseReason, Error, Handler, RejectReason};
use fastport_buffer::OwnerCell;
use fastport_engine::{Clock, Mailbox, Moment, SocketOptions};
use fastport_protocol::PacketId;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// Work for a worker from another thread.
pub(crate) enum Command {
    /// Look at this session: something was queued, or its end was asked for.
    Attend(Session),
    /// Start to listen; the address or the error goes back.
    Listen {
        address: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ServerTls>,
        reply: Sender<Result<SocketAddr, Error>>,
    },
    /// Start to connect.
    Connect {
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ClientTls>,
        done: ConnectDone,
    },
    /// Sessions that begin from now on have these limits and times.
    Reload(Arc<SessionConfig>),
    /// Die, as if by a defect: for tests of what becomes of the others.
    Fail,
    /// Answer: proof that the worker takes its turns.
    Ping(Arc<Answers>),
    /// Drain until the deadline, then reset what is left and end.
    Stop { deadline: Instant },
}

/// How many workers have answered a ping.
#[derive(Default)]
pub(crate) struct Answers {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Answers {
    pub(crate) fn add(&self) {
        *self.count.lock() += 1;
        self.changed.notify_all();
    }

    /// Blocks until there are `wanted`, no longer than `limit`. Whether there are.
    pub(crate) fn wait_for(&self, wanted: usize, limit: Duration) -> bool {
        let mut count = self.count.lock();
        let result = self
            .changed
            .wait_while_for(&mut count, |count| *count < wanted, limit);
        !result.timed_out()
    }
}

/// A worker as any thread may hold it.
pub(crate) struct WorkerLink {
    pub(crate) index: usize,
    pub(crate) mailbox: Mailbox<Command>,
    pub(crate) counters: WorkerCounters,
    /// Sessions on this worker and sockets on their way to it.
    pub(crate) load: AtomicUsize,
    chunk_scarce: AtomicBool,
    /// When it last came back from the kernel, in nanoseconds since the service's start.
    turn_time: AtomicU64,
    /// It takes nothing more: it died, or ended.
    failed: AtomicBool,
    /// What waits for many of the worker's sessions at once.
    pub(crate) casts: Casts,
    /// Who of the worker's sessions hears it.
    pub(crate) audience: OwnerCell<Audience>,
    pub(crate) service: Arc<ServiceShared>,
}

impl WorkerLink {
    /// A link to the worker of the calling thread.
    pub(crate) fn new(
        index: usize,
        mailbox: Mailbox<Command>,
        service: Arc<ServiceShared>,
    ) -> Self {
        Self {
            index,
            mailbox,
            counters: WorkerCounters::default(),
            load: AtomicUsize::new(0),
            chunk_scarce: AtomicBool::new(false),
            turn_time: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            casts: Casts::default(),
            audience: OwnerCell::new(Audience::default()),
            service,
        }
    }

    /// Tells when the turn began. The worker only.
    pub(crate) fn set_turn_time(&self, now: Moment) {
        self.turn_time.store(now.nanoseconds(), Ordering::Relaxed);
    }

    /// When the worker's last turn began.
    pub(crate) fn turn_time(&self) -> Instant {
        let since = self.turn_time.load(Ordering::Relaxed);
        self.service.clock.instant(Moment::after(since))
    }

    /// Counts a connection and has the worker make it.
    pub(crate) fn post_connect(
        self: &Arc<Self>,
        to: SocketAddr,
        handler: Arc<dyn Handler>,
        tls: Option<ClientTls>,
        done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
    ) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.service.sessions.fetch_add(1, Ordering::Relaxed);
        self.mailbox.post(Command::Connect {
            to,
            handler,
            tls,
            done: ConnectDone::new(self.clone(), done),
        });
    }

    /// Takes back the count of a connection that became no session, or of a session that ended.
    pub(crate) fn forget_one(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.service.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the worker has ended. Whoever hands something over looks after it did: either the
    /// worker's end finds it, or this is seen.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// The worker has ended.
    pub(crate) fn set_failed(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Whether holders of receive memory should copy; as of the worker's last receive.
    #[inline]
    pub(crate) fn is_chunk_scarce(&self) -> bool {
        self.chunk_scarce.load(Ordering::Relaxed)
    }

    pub(crate) fn set_chunk_scarce(&self, scarce: bool) {
        if self.chunk_scarce.load(Ordering::Relaxed) != scarce {
            self.chunk_scarce.store(scarce, Ordering::Relaxed);
        }
    }
}

/// What all workers of a service share.
pub(crate) struct ServiceShared {
    pub(crate) config: ServiceConfig,
    /// Limits and times of the sessions as they were at the start. Each worker has its own copy of
    /// the present ones.
    pub(crate) session_config: Arc<SessionConfig>,
    /// Sessions over all workers that are let in.
    pub(crate) sessions_max: AtomicUsize,
    pub(crate) registry: Registry,
    pub(crate) pool: Option<EventPool>,
    pub(crate) admission: Admission,
    pub(crate) budget: Budget,
    pub(crate) rates: SessionRates,
    /// Sessions that have not authenticated and have to.
    pub(crate) unauthenticated: AtomicUsize,
    /// Sessions over all workers, sockets on their way included.
    pub(crate) sessions: AtomicUsize,
    /// Listeners of all workers that are open. Workers that stop let in who waits there first.
    pub(crate) listeners: AtomicUsize,
    /// TLS handshakes of accepted connections, over all workers.
    #[cfg(feature = "tls")]
    pub(crate) handshakes: AtomicUsize,
    /// Held while something is cast to everyone.
    pub(crate) casting: Mutex<()>,
    /// Messages that were encoded once for many sessions.
    pub(crate) broadcasts: Counter,
    /// Set when all workers have started. Weak, since each of them holds this.
    links: OnceLock<Vec<Weak<WorkerLink>>>,
    pub(crate) unhandled: Counter,
    pub(crate) undecodable: Counter,
    unhandled_logged: AtomicU64,
    pub(crate) started: Instant,
    /// The time of all its workers, from the start.
    pub(crate) clock: Clock,
    /// The time since the start on a simulated machine, as of its last turn; 0 on a real one.
    #[cfg(feature = "simulation")]
    pub(crate) simulated_ns: AtomicU64,
}

/// The next session id of the process.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

impl ServiceShared {
    /// A service that starts at `started`: no engine's time may be earlier.
    pub(crate) fn new(config: ServiceConfig, pool: Option<EventPool>, started: Instant) -> Self {
        Self {
            session_config: Arc::new(config.session.clone()),
            admission: Admission::new(config.protection.clone()),
            budget: Budget::new(config.protection.queued_bytes_limit(), config.sessions_max),
            rates: SessionRates::new(&config.protection),
            sessions_max: AtomicUsize::new(config.sessions_max),
            config,
            registry: Registry::default(),
            pool,
            unauthenticated: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            #[cfg(feature = "tls")]
            handshakes: AtomicUsize::new(0),
            casting: Mutex::new(()),
            broadcasts: Counter::default(),
            links: OnceLock::new(),
            unhandled: Counter::default(),
            undecodable: Counter::default(),
            unhandled_logged: AtomicU64::new(0),
            started,
            clock: Clock::new(started),
            #[cfg(feature = "simulation")]
            simulated_ns: AtomicU64::new(0),
        }
    }

    /// Counts a session that has to authenticate, unless there are as many as there may be.
    pub(crate) fn count_unauthenticated(&self) -> Result<(), RejectReason> {
        let most = self.config.protection.unauthenticated_sessions_max;
        let before = self.unauthenticated.fetch_add(1, Ordering::Relaxed);
        if most > 0 && before >= most {
            self.forget_unauthenticated();
            return Err(RejectReason::Unauthenticated);
        }
        Ok(())
    }

    /// A session has authenticated, or ended without.
    pub(crate) fn forget_unauthenticated(&self) {
        self.unauthenticated.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn next_session_id(&self) -> SessionId {
        SessionId::new(NEXT_SESSION.fetch_add(1, Ordering::Relaxed))
    }

    /// The time since the service started, now.
    pub(crate) fn uptime_ns(&self) -> u64 {
        #[cfg(feature = "simulation")]
        if let simulated @ 1.. = self.simulated_ns.load(Ordering::Relaxed) {
            return simulated;
        }
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Makes the workers known, once.
    pub(crate) fn set_workers(&self, links: &[Arc<WorkerLink>]) {
        let links = links.iter().map(Arc::downgrade).collect();
        let set = self.links.set(links);
        debug_assert!(set.is_ok(), "the workers were set twice");
    }

    /// The workers that there are; none before all have started.
    pub(crate) fn workers(&self) -> Vec<Arc<WorkerLink>> {
        let links = self.links.get().into_iter().flatten();
        let links = links.filter_map(Weak::upgrade);
        links.filter(|link| !link.has_failed()).collect()
    }

    pub(crate) fn socket_options(&self) -> &SocketOptions {
        &self.session_config.socket
    }

    pub(crate) fn note_unhandled(&self, session: SessionId, id: PacketId) {
        self.unhandled.add_shared(1);
        // Second 0 would never log: count from 1.
        let second = self.started.elapsed().as_secs() + 1;
        if self.unhandled_logged.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(%session, packet = %id, "nothing handles this packet id; dropped");
        }
    }
}
