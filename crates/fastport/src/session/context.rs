//! What all sessions of one listener, or of one connector, have in common on one worker: told once
//! instead of in each of them.

use crate::config::SessionConfig;
use crate::protection::admission::Standing;
use crate::worker::link::WorkerLink;
use crate::{Handler, Session};
use std::sync::Arc;
use std::time::Duration;

/// Shared by reference; never changes.
pub(crate) struct SessionContext {
    /// Who owns the sessions.
    pub(crate) worker: Arc<WorkerLink>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) config: Arc<SessionConfig>,
    /// Up to so many bytes in its send queue no limit minds a session: neither its watermark, nor
    /// its hard limit, nor the service's budget.
    pub(crate) easy_bytes: usize,
    /// None of their time limits is over earlier than this after they begin: of those that are
    /// trusted, and of the others.
    shortest_limits: [Duration; 2],
    /// Whether a listener accepts them, as opposed to a connector that makes them.
    pub(crate) inbound: bool,
}

impl SessionContext {
    pub(crate) fn new(
        worker: Arc<WorkerLink>,
        handler: Arc<dyn Handler>,
        config: Arc<SessionConfig>,
        inbound: bool,
    ) -> Self {
        let limit = config.send_high_watermark.min(config.send_queue_max);
        let protection = &worker.service.config.protection;
        let authentication = if protection.authentication {
            protection.authentication_timeout
        } else {
            Duration::ZERO
        };
        Self {
            shortest_limits: [true, false]
                .map(|trusted| shortest_limit(&config, authentication, trusted)),
            easy_bytes: limit.min(worker.service.budget.share()),
            worker,
            handler,
            config,
            inbound,
        }
    }

    /// None of the time limits of a session of such a standing is over earlier than this after it
    /// begins.
    pub(crate) fn shortest_limit(&self, standing: Standing) -> Duration {
        self.shortest_limits[usize::from(standing != Standing::Trusted)]
    }

    /// Tells the handler that a session has begun.
    pub(crate) fn announce(&self, session: &Session) {
        if self.inbound {
            self.handler.on_accepted(session);
        } else {
            self.handler.on_connected(session);
        }
    }
}

/// The shortest of the limits that may end a session which does nothing; zero is no limit.
fn shortest_limit(config: &SessionConfig, authentication: Duration, trusted: bool) -> Duration {
    let heartbeats = !config.heartbeat_interval.is_zero();
    let limits = [
        (!trusted).then_some(config.first_packet_timeout),
        Some(config.idle_timeout),
        Some(config.heartbeat_interval),
        heartbeats.then_some(config.heartbeat_timeout),
        Some(authentication),
    ];
    let limits = limits.into_iter().flatten();
    let limits = limits.filter(|limit| !limit.is_zero());
    limits.min().unwrap_or(Duration::MAX)
}
