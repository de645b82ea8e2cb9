//! What the owning worker knows of a session: its phase, its unfinished input, its deadlines.
//!
//! ```text
//!   Connecting --Connected--> Open --disconnect requested--> Flushing --queue empty--> Lingering
//!        |                     |  (reason not worth a flush)    |                         |
//!        +--failed, too late---+----------+---- failed, late ---+------- FIN, late -------+
//!                                         v
//!                                      Closing --engine's Closed--> gone
//! ```
//!
//! Only [`Phase::Open`] delivers packets. The engine's `close` is called once, on entering
//! `Closing`.

use crate::dispatch::strand::Strand;
use crate::protection::admission::Standing;
use crate::protection::packet_rate::SessionMeters;
use crate::session::carry::Carry;
use crate::session::handle::Session;
use crate::session::held::Held;
use crate::worker::link::WorkerLink;
use crate::worker::secure::ClientTls;
use crate::{CloseReason, Handler, SessionConfig};
use fastport_engine::{Key, Moment};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

type OnOutcome = Box<dyn FnOnce(Result<Session, CloseReason>) + Send>;

/// Called once with the session, or with the reason why there is none. Dropped uncalled, as the
/// mailbox of a worker that has ended does, it says [`CloseReason::Stopping`], and the place that
/// was counted for the connection is given back.
pub(crate) struct ConnectDone {
    act: Option<OnOutcome>,
    worker: Arc<WorkerLink>,
}

impl ConnectDone {
    /// For a connection that was counted on `worker`.
    pub(crate) fn new(
        worker: Arc<WorkerLink>,
        act: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
    ) -> Self {
        let act: Option<OnOutcome> = Some(Box::new(act));
        Self { act, worker }
    }

    pub(crate) fn call(mut self, outcome: Result<Session, CloseReason>) {
        if let Some(act) = self.act.take() {
            act(outcome);
        }
    }
}

impl Drop for ConnectDone {
    fn drop(&mut self) {
        if let Some(act) = self.act.take() {
            self.worker.forget_one();
            act(Err(CloseReason::Stopping));
        }
    }
}

/// An outgoing connection that is being made.
pub(crate) struct Connecting {
    pub(crate) to: SocketAddr,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) done: ConnectDone,
    pub(crate) deadline: Moment,
    /// The connection is to have TLS.
    pub(crate) tls: Option<ClientTls>,
}

/// How far the life of a session has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Packets are delivered.
    Open,
    /// The end was asked for; what is queued is still sent.
    Flushing { deadline: Moment },
    /// Half-closed; what the peer still sends is discarded, so that it reads our last bytes before
    /// FIN instead of losing them to a reset.
    Lingering { deadline: Moment },
    /// The engine was told to close.
    Closing,
}

/// Whether the engine receives for the session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// It does.
    Armed,
    /// Back-pressure stopped it.
    Paused,
    /// The peer finished.
    Finished,
}

/// A session on its worker.
pub(crate) struct Slot {
    pub(crate) key: Key,
    pub(crate) session: Session,
    /// Set when handlers run on the pool.
    pub(crate) strand: Option<Arc<Strand>>,
    pub(crate) phase: Phase,
    pub(crate) reading: Reading,
    /// What its address is to the limits.
    pub(crate) standing: Standing,
    pub(crate) send_in_flight: bool,
    /// The worker has TLS state for it.
    #[cfg(feature = "tls")]
    pub(crate) secured: bool,
    /// Heartbeats since something came.
    pub(crate) pings: u8,
    /// The engine reported the connection broken: nothing can be sent.
    pub(crate) broken: bool,
    /// How the session ends when everything that was received is handled.
    pub(crate) ending: Option<CloseReason>,
    /// What is held comes before the end in `ending`.
    pub(crate) ends_after_held: bool,
    pub(crate) carry: Carry,
    /// Received, and not to be parsed before the send queue has room. Empty but under
    /// back-pressure.
    pub(crate) held: Held,
    /// Bytes of the send queue that the service's budget knows of.
    pub(crate) accounted: u32,
    /// What it has used up of its rates; nothing for one that is trusted or silent.
    pub(crate) meters: Option<Box<SessionMeters>>,
    pub(crate) opened_at: Moment,
    pub(crate) last_received: Moment,
    /// When the unfinished frame began.
    pub(crate) frame_started: Option<Moment>,
    /// When the kernel last took bytes, or the send queue last became non-empty.
    pub(crate) last_progress: Moment,
}

/// What every session takes on its worker, idle or not. Rare state belongs behind a pointer.
const _: () = assert!(size_of::<Slot>() <= 136);

impl Slot {
    pub(crate) fn new(key: Key, session: Session, pooled: bool, now: Moment) -> Self {
        let strand = pooled.then(|| Strand::new(session.clone()));
        Self {
            key,
            session,
            strand,
            phase: Phase::Open,
            reading: Reading::Armed,
            standing: Standing::Trusted,
            send_in_flight: false,
            #[cfg(feature = "tls")]
            secured: false,
            pings: 0,
            broken: false,
            ending: None,
            ends_after_held: false,
            carry: Carry::default(),
            held: Held::default(),
            accounted: 0,
            meters: None,
            opened_at: now,
            last_received: now,
            frame_started: None,
            last_progress: now,
        }
    }

    /// Whether the connection has TLS.
    #[inline]
    pub(crate) const fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.secured;
        #[cfg(not(feature = "tls"))]
        false
    }

    /// How a session ends whose peer has ended its stream in order.
    pub(crate) fn end_of_stream(&self) -> CloseReason {
        if self.carry.is_empty() {
            CloseReason::PeerClosed
        } else {
            CloseReason::PeerTruncated
        }
    }

    /// Whether more waits for a handler on the pool than may, although reading goes on.
    #[inline]
    pub(crate) fn has_much_to_handle(&self) -> bool {
        self.strand.as_ref().is_some_and(|strand| {
            self.reading == Reading::Armed
                && strand.queued_bytes() > self.config().receive_high_watermark
        })
    }

    /// Whether received bytes are for the handler.
    pub(crate) fn takes_input(&self) -> bool {
        self.phase == Phase::Open && !self.session.shared().is_disconnect_requested()
    }

    /// The moment before which nothing that is held may be delivered, if there is one.
    pub(crate) fn held_until(&self) -> Option<Moment> {
        self.meters.as_ref()?.held_until
    }

    /// The next moment at which a time limit of this session may be over, or `None`.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Open => {
                let limits = self.open_deadlines().into_iter().flatten();
                let limits = limits.map(|limit| limit.0);
                limits
                    .chain(self.held_until())
                    .chain(self.session.shared().asks_due())
                    .chain(self.heartbeat_at())
                    .min()
            }
            Phase::Flushing { deadline } | Phase::Lingering { deadline } => Some(deadline),
            Phase::Closing => None,
        }
    }

    /// Moves all time limits by `gap`, in which nothing could happen.
    pub(crate) fn shift_deadlines(&mut self, gap: Duration) {
        self.opened_at += gap;
        self.last_received += gap;
        self.last_progress += gap;
        self.frame_started = self.frame_started.map(|at| at + gap);
        self.session.shared().shift_full_since(gap);
        self.session.shared().shift_asks(gap);
        match &mut self.phase {
            Phase::Flushing { deadline } | Phase::Lingering { deadline } => *deadline += gap,
            Phase::Open | Phase::Closing => {}
        }
    }

    /// The reason to end an open session now, if a time limit of it is over.
    pub(crate) fn overdue(&self, now: Moment) -> Option<CloseReason> {
        let mut deadlines = self.open_deadlines().into_iter().flatten();
        deadlines
            .find(|(deadline, _)| *deadline <= now)
            .map(|(_, reason)| reason)
    }

    /// The limits and times that were in force when the session began.
    pub(crate) fn config(&self) -> &SessionConfig {
        &self.session.shared().context.config
    }

    /// Whether the peer is to show that it lives.
    pub(crate) fn wants_heartbeat(&self, now: Moment) -> bool {
        self.heartbeat_at().is_some_and(|at| at <= now)
    }

    /// When the next heartbeat is due; after that many without an answer none is.
    fn heartbeat_at(&self) -> Option<Moment> {
        let interval = self.config().heartbeat_interval;
        if interval.is_zero() || self.reading != Reading::Armed || self.pings == u8::MAX {
            return None;
        }
        let silence = interval.checked_mul(u32::from(self.pings) + 1)?;
        Some(self.last_received + silence)
    }

    fn open_deadlines(&self) -> [Option<(Moment, CloseReason)>; 7] {
        let config = self.config();
        let limit = |from: Moment, limit: Duration, reason: CloseReason| {
            (!limit.is_zero()).then(|| (from + limit, reason))
        };
        let waits_for_first =
            self.standing != Standing::Trusted && self.session.shared().packets_in.get() == 0;
        [
            waits_for_first.then(|| {
                let reason = CloseReason::FirstPacketTimeout;
                limit(self.opened_at, config.first_packet_timeout, reason)
            }),
            self.frame_started
                .map(|from| limit(from, config.frame_timeout, CloseReason::FrameTimeout)),
            self.send_in_flight.then(|| {
                let reason = CloseReason::WriteStalled;
                limit(self.last_progress, config.write_stall_timeout, reason)
            }),
            (!self.session.is_authenticated()).then(|| {
                let service = &self.session.shared().context.worker.service;
                let time = service.config.protection.authentication_timeout;
                limit(self.opened_at, time, CloseReason::AuthenticationTimeout)
            }),
            self.session.shared().full_since().map(|(from, grace)| {
                let reason = CloseReason::SendQueueFull;
                limit(from, grace, reason)
            }),
            // While back-pressure keeps us from reading, silence is not the peer's doing.
            (self.reading == Reading::Armed)
                .then(|| limit(self.last_received, config.idle_timeout, CloseReason::Idle)),
            (self.reading == Reading::Armed && !config.heartbeat_interval.is_zero()).then(|| {
                let reason = CloseReason::Unresponsive;
                limit(self.last_received, config.heartbeat_timeout, reason)
            }),
        ]
        .map(Option::flatten)
    }
}
