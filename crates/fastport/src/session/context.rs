//! What all sessions of one listener, or of one connector, have in common on one worker: told once
//! instead of in each of them.

use crate::config::SessionConfig;
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
    /// None of their time limits is over earlier than this after they begin.
    pub(crate) shortest_limit: Duration,
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
        Self {
            shortest_limit: shortest_limit(&config, protection.authentication_timeout),
            easy_bytes: limit.min(worker.service.budget.share()),
            worker,
            handler,
            config,
            inbound,
        }
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

/// The shortest of the limits that may end a session which does nothing.
fn shortest_limit(config: &SessionConfig, authentication: Duration) -> Duration {
    let limits = [
        config.first_packet_timeout,
        config.idle_timeout,
        config.heartbeat_interval,
        config.heartbeat_timeout,
        authentication,
    ];
    let limits = limits.into_iter().filter(|limit| !limit.is_zero());
    limits.min().unwrap_or(Duration::MAX)
}
