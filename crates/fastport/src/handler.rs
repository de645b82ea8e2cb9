//! What an application implements: one trait, whichever way handlers are run.

use crate::{CloseReason, Packet, Session};

/// An application's side of its sessions. One value serves all sessions of a listener or connector.
///
/// # Threads
/// With [`Dispatch::Inline`](crate::Dispatch) the methods run on the I/O worker that owns the
/// session: they must be short, since every session of that worker waits. With
/// [`Dispatch::Pool`](crate::Dispatch) they run on event workers and may block. Either way the
/// calls for one session come one at a time, in order: `on_accepted` or `on_connected` once and
/// first, `on_disconnected` once and last.
///
/// # Panics
/// A panic closes the session it happened in, with [`CloseReason::HandlerPanic`], and nothing else.
pub trait Handler: Send + Sync + 'static {
    /// A listener accepted the session. Sending is allowed.
    fn on_accepted(&self, session: &Session) {
        let _ = session;
    }

    /// A connector made the session. Sending is allowed.
    fn on_connected(&self, session: &Session) {
        let _ = session;
    }

    /// A packet arrived. It borrows the receive memory: copy what must outlive the call.
    fn on_packet(&self, session: &Session, packet: Packet<'_>);

    /// The send queue fell below its low watermark after it had been above the high one.
    fn on_writable(&self, session: &Session) {
        let _ = session;
    }

    /// The session has ended. Nothing follows; sending is an error. Not called for a session that
    /// was never accepted or connected; see [`IoService::connect`](crate::IoService::connect) for
    /// failed connects.
    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let _ = (session, reason);
    }
}
