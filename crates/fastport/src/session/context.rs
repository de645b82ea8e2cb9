//! What all sessions of one listener, or of one connector, have in common on one worker: told once
//! instead of in each of them.

use crate::config::SessionConfig;
use crate::worker::link::WorkerLink;
use crate::{Handler, Session};
use std::sync::Arc;

/// Shared by reference; never changes.
pub(crate) struct SessionContext {
    /// Who owns the sessions.
    pub(crate) worker: Arc<WorkerLink>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) config: Arc<SessionConfig>,
    /// Whether a listener accepts them, as opposed to a connector that makes them.
    pub(crate) inbound: bool,
}

impl SessionContext {
    /// Tells the handler that a session has begun.
    pub(crate) fn announce(&self, session: &Session) {
        if self.inbound {
            self.handler.on_accepted(session);
        } else {
            self.handler.on_connected(session);
        }
    }
}
