//! A service as an operator sees it: totals, workers, pages of sessions, bans.
//!
//! Everything here is read from counters and copies; nothing stops a worker. Any thread.

use crate::AddressBlock;
use crate::config::ServiceConfig;
use crate::protection::bans::Ban;
use crate::session::handle::{Session, SessionId};
use crate::stats::snapshot::StatsSnapshot;
use crate::worker::link::{Answers, Command, ServiceShared, WorkerLink};
use fastport_engine::EngineKind;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Watches a service and its sessions. Cheap to clone; keeps no thread alive, and may outlive the
/// service, whose totals then stay.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<ServiceShared>,
    links: Arc<[Arc<WorkerLink>]>,
    engine: EngineKind,
    started: Instant,
}

/// What one worker does, as of its last turns. The totals never fall.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The worker's number, from 0.
    pub index: usize,
    /// Sessions on it, and connections on their way to it.
    pub sessions: usize,
    /// Commands of other threads that it has not taken yet.
    pub mailbox: usize,
    /// Whole frames received.
    pub packets_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the kernel took.
    pub bytes_out: u64,
    /// Send operations.
    pub sends: u64,
    /// Turns of its loop.
    pub turns: u64,
    /// Times that reading from a session was paused by back-pressure.
    pub pauses: u64,
}

/// Some sessions in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Where the next page begins: pass it to [`Monitor::page`]. `None` when nothing followed.
    pub next: Option<SessionId>,
    /// Sessions in all at that moment.
    pub total: usize,
}

impl Monitor {
    pub(crate) fn new(
        shared: Arc<ServiceShared>,
        links: Arc<[Arc<WorkerLink>]>,
        engine: EngineKind,
        started: Instant,
    ) -> Self {
        Self {
            shared,
            links,
            engine,
            started,
        }
    }

    /// Totals since the service started.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        StatsSnapshot::of(&self.shared, &self.links)
    }

    /// Each worker's totals.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStats> {
        let stats = self.links.iter().map(|link| WorkerStats {
            index: link.index,
            sessions: link.load.load(Ordering::Relaxed),
            mailbox: link.mailbox.len(),
            packets_in: link.counters.packets_in.get(),
            bytes_in: link.counters.bytes_in.get(),
            bytes_out: link.counters.bytes_out.get(),
            sends: link.counters.sends.get(),
            turns: link.counters.turns.get(),
            pauses: link.counters.pauses.get(),
        });
        stats.collect()
    }

    /// Whether every worker takes its turns: each is asked through its mailbox and has `limit` in
    /// all to answer. Blocks until all have answered or `limit` is over. False when a worker has
    /// ended, or stays in a handler for longer. Not from a handler that runs inline: it would wait
    /// for itself.
    #[must_use]
    pub fn ping_workers(&self, limit: Duration) -> bool {
        let answers = Arc::new(Answers::default());
        for link in self.links.iter() {
            link.mailbox.post(Command::Ping(answers.clone()));
        }
        answers.wait_for(self.links.len(), limit)
    }

    /// Sessions whose handlers wait for a thread of the event pool; 0 without a pool.
    #[must_use]
    pub fn waiting_for_pool(&self) -> usize {
        let pool = self.shared.pool.as_ref();
        pool.map_or(0, |pool| pool.queue().len())
    }

    /// The engine that runs.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// How long ago the service started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Settings as they were at the start.
    #[must_use]
    pub fn config(&self) -> &ServiceConfig {
        &self.shared.config
    }

    /// Sessions that there are, connections on their way included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.sessions.load(Ordering::Relaxed)
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

    /// The first `limit` sessions whose ids are greater than `after`, in order; from the start with
    /// `None`. Looks at every session once.
    ///
    /// Whoever walks from page to page by [`SessionPage::next`] meets every session that lives from
    /// the first page to the last exactly once, and no session twice: ids only grow, and are never
    /// reused.
    #[must_use]
    pub fn page(&self, after: Option<SessionId>, limit: usize) -> SessionPage {
        let mut first = BinaryHeap::with_capacity(limit.min(1024) + 1);
        let (mut total, mut follow) = (0, 0_usize);
        self.for_each_session(|session| {
            total += 1;
            if after.is_some_and(|after| session.id() <= after) {
                return;
            }
            follow += 1;
            first.push(ById(session.clone()));
            if first.len() > limit {
                first.pop();
            }
        });
        let sessions: Vec<Session> = first.into_sorted_vec().into_iter().map(|s| s.0).collect();
        let next = sessions.last().map(Session::id);
        SessionPage {
            next: next.filter(|_| follow > sessions.len()),
            sessions,
            total,
        }
    }

    /// The session before which there are `offset` others, by id: where a page by number begins.
    #[must_use]
    pub fn id_before(&self, offset: usize) -> Option<SessionId> {
        let before = offset.checked_sub(1)?;
        let mut ids = Vec::new();
        self.for_each_session(|session| ids.push(session.id()));
        if before >= ids.len() {
            return ids.into_iter().max();
        }
        Some(*ids.select_nth_unstable(before).1)
    }

    /// Lets no address of `block` begin a session for `duration`, or until [`Monitor::unban`].
    /// Sessions that there are stay: disconnect them if they are to end. A ban of the same block is
    /// replaced. Bans do not survive the service.
    pub fn ban(&self, block: AddressBlock, duration: Option<Duration>) {
        let now = self.shared.clock.moment(Instant::now()).nanoseconds();
        self.shared.admission.ban(block, duration, now);
    }

    /// Takes a ban back. Whether there was one of exactly this block.
    pub fn unban(&self, block: AddressBlock) -> bool {
        self.shared.admission.unban(block)
    }

    /// The bans that hold, by block, with what is left of each; `None` has no end.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        let now = self.shared.clock.moment(Instant::now()).nanoseconds();
        self.shared.admission.bans(now)
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("engine", &self.engine)
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

/// A session that is ordered by its id.
struct ById(Session);

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id().cmp(&other.0.id())
    }
}
