//! An I/O worker: one thread, one engine, the sessions that belong to it for life.
//!
//! The turn: wait for completions, take the mailbox, handle events, look at every session that
//! asked for attention (flush, pause, close), let time pass. All sends of a turn go to the kernel
//! together with the next wait, so a turn is one system call on io_uring.
//!
//! | module | owns |
//! |---|---|
//! | [`attention`] | the list of sessions to look at before the turn ends |
//! | [`link`] | what other threads hold of a worker: mailbox, counters, load |
//! | [`accept`] | listeners, the choice of a worker, adoption |
//! | [`connect`] | outgoing connections until they stand |
//! | [`events`] | the engine's events for a session |
//! | [`receive`] | chunk to packets to handlers |
//! | [`flush`] | batches to the engine, back-pressure, `on_writable` |
//! | [`close`] | the one place that decides how a session ends |
//! | `handshake` | connections until their TLS handshake is done |
//! | [`secure`] | TLS of the sessions that have it |
//! | [`proxied`] | connections from a proxy until they say whom they are from |
//! | [`patience`] | how it waits when there is nothing to do |
//! | [`turn`] | the loop, timers, stopping |

pub(crate) mod accept;
pub(crate) mod attention;
pub(crate) mod close;
pub(crate) mod connect;
mod deadlines;
pub(crate) mod events;
pub(crate) mod flush;
#[cfg(feature = "tls")]
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod patience;
pub(crate) mod proxied;
pub(crate) mod receive;
#[cfg(feature = "tls")]
pub(crate) mod secure;
#[cfg(not(feature = "tls"))]
#[path = "worker/without_tls.rs"]
pub(crate) mod secure;
pub(crate) mod turn;

use crate::config::SessionConfig;
use crate::net::framer::PacketFramer;
use crate::session::context::SessionContext;
use crate::session::slot::{Connecting, Slot};
use crate::stats::handler_times::Sampler;
use accept::{Adoption, ListenerState};
use crossbeam_queue::SegQueue;
use fastport_engine::{Engine, Key, Moment, TimerWheel};
use link::WorkerLink;
use patience::Patience;
use proxied::Proxied;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The resolution of time limits: each is met at most this much late.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// One worker's state. Lives on its thread.
pub(crate) struct Worker<E: Engine> {
    pub(crate) engine: E,
    pub(crate) link: Arc<WorkerLink>,
    pub(crate) peers: Arc<[Peer<E>]>,
    /// Sessions by the index of their engine key.
    pub(crate) slots: Vec<Option<Box<Slot>>>,
    // Few, off the hot path, and in an order that is the same in each run of a simulation.
    pub(crate) listeners: BTreeMap<Key, ListenerState>,
    pub(crate) connecting: BTreeMap<Key, Connecting>,
    pub(crate) proxied: BTreeMap<Key, Proxied>,
    /// TLS of this worker's connections.
    #[cfg(feature = "tls")]
    pub(crate) secure: secure::Secure,
    /// Connects that failed and wait for the engine's `Closed`.
    pub(crate) abandoned: BTreeSet<Key>,
    pub(crate) wheel: TimerWheel<Key>,
    /// When the wheel looks at the session of each index next, whichever session that was filed
    /// for; other entries of it are stale.
    pub(crate) looks: Vec<Option<Moment>>,
    /// The engine's time, told in moments once a turn.
    now: Moment,
    pub(crate) framer: PacketFramer,
    /// The same for sessions that have not authenticated.
    pub(crate) first_framer: PacketFramer,
    /// What the latest sessions have in common, as long as there are any of them.
    pub(crate) contexts: Vec<Weak<SessionContext>>,
    /// Limits and times of sessions that begin now.
    pub(crate) session_config: Arc<SessionConfig>,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) patience: Patience,
    /// Which batches of packets are timed.
    pub(crate) sampler: Sampler,
    /// How the bytes that wait for this worker's peers have changed since the last turn's end.
    pub(crate) queued_change: isize,
    /// Reused by the attention pass.
    pub(crate) looking: Vec<Key>,
    /// Reused when deadlines are looked at.
    pub(crate) due: Vec<(Moment, Key)>,
}

/// A worker as its peers see it: where accepted sockets are handed over.
pub(crate) struct Peer<E: Engine> {
    pub(crate) link: Arc<WorkerLink>,
    pub(crate) adoptions: SegQueue<Adoption<E>>,
}

impl<E: Engine> Peer<E> {
    /// Closes the sockets on their way to a worker that has ended.
    pub(crate) fn abandon_adoptions(&self) {
        while self.adoptions.pop().is_some() {
            self.link.forget_one();
        }
    }
}

/// A stop that is under way. First every listener lets in who waits in its backlog, then what the
/// kernel holds for the sessions is received, then they end.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Stopping {
    /// When the sessions that are left are reset.
    pub(crate) deadline: Instant,
    /// How this worker's listeners let in the last ones.
    pub(crate) last_accepts: LastAccepts,
    /// Turns to go before sessions are ended: what the kernel holds already is still received.
    pub(crate) turns_left: u32,
}

/// The end of a worker's listeners.
#[derive(Copy, Clone, Debug)]
pub(crate) struct LastAccepts {
    /// Whether they were closed.
    pub(crate) over: bool,
    /// Turns to go at most: new connections must not keep a server alive that is to stop.
    pub(crate) turns_left: u32,
    /// Turns to go without a connection.
    pub(crate) quiet_turns_left: u32,
}

impl<E: Engine> Worker<E> {
    pub(crate) fn new(engine: E, link: Arc<WorkerLink>, peers: Arc<[Peer<E>]>) -> Self {
        let config = &link.service.config;
        let framer = PacketFramer::new(config.session.frame_bytes_max);
        let first_bytes = config.protection.unauthenticated_frame_bytes_max;
        let first_framer = PacketFramer::new(first_bytes.min(config.session.frame_bytes_max));
        let session_config = link.service.session_config.clone();
        let patience = Patience::new(config.wait, config.spin_limit);
        let now = link.service.clock.moment(engine.now());
        let wheel = TimerWheel::new(now, TICK);
        Self {
            engine,
            link,
            peers,
            slots: Vec::new(),
            listeners: BTreeMap::new(),
            connecting: BTreeMap::new(),
            proxied: BTreeMap::new(),
            #[cfg(feature = "tls")]
            secure: secure::Secure::default(),
            abandoned: BTreeSet::new(),
            wheel,
            looks: Vec::new(),
            now,
            framer,
            first_framer,
            contexts: Vec::new(),
            session_config,
            stopping: None,
            patience,
            sampler: Sampler::default(),
            queued_change: 0,
            looking: Vec::new(),
            due: Vec::new(),
        }
    }

    /// When the turn's completions were taken, as sessions keep it.
    #[inline]
    pub(crate) const fn now(&self) -> Moment {
        self.now
    }

    /// Reads the engine's clock, which goes on only in its waits.
    pub(crate) fn note_time(&mut self) {
        self.now = self.link.service.clock.moment(self.engine.now());
        self.link.set_turn_time(self.now);
    }

    /// Runs `act` on the session behind a key, unless the key is stale. The slot is taken out for
    /// that time, so `act` may use the worker as well; it does not meet this session there.
    #[inline]
    pub(crate) fn with_slot(&mut self, key: Key, act: impl FnOnce(&mut Self, &mut Slot)) {
        let Some(place) = self.slots.get_mut(key.index()) else {
            return;
        };
        if place.as_ref().is_none_or(|slot| slot.key != key) {
            return;
        }
        let Some(slot) = place.take() else { return };
        let mut lent = Lent {
            worker: self,
            index: key.index(),
            slot: Some(slot),
        };
        if let Some(slot) = &mut lent.slot {
            act(lent.worker, slot);
        }
    }
}

/// A session that is out of its place; put back also by a panic, so that the worker's end finds it.
struct Lent<'a, E: Engine> {
    worker: &'a mut Worker<E>,
    index: usize,
    slot: Option<Box<Slot>>,
}

impl<E: Engine> Drop for Lent<'_, E> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.worker.slots.get_mut(self.index) {
            *place = self.slot.take();
        }
    }
}
