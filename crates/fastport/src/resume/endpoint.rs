//! One side of a resumable session: what it has handled, what it has sent, and the connection that
//! it has at the moment, if any. The same for both sides.
//!
//! Locks: the inbound one is held while the handler has a packet, so a new connection can not take
//! over in the middle of one, and the count is exact. The outbound one is taken inside it, never
//! the other way round.

use crate::lock::{Mutex, MutexGuard};
use crate::resume::journal::Journal;
use crate::session::handle::{Session, SessionId};
use crate::{CloseReason, PacketId, SendError, SendPolicy};
use fastport_buffer::SharedFrame;
use fastport_protocol::session::Handled;

/// After so many packets the peer is told what was handled.
const TELL_PACKETS: u64 = 16;
/// After so many bytes as well.
const TELL_BYTES: usize = 8 * 1024;

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) inbound: Mutex<Inbound>,
    outbound: Mutex<Outbound>,
}

/// What was handled, and whose packets count.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// Packets that the handler was given since the session began.
    pub(crate) received: u64,
    /// The connection whose packets are handled; none while there is no connection.
    pub(crate) current: Option<SessionId>,
    /// Counts the connections, so that whoever waits for the end of a pause knows which one.
    pub(crate) epoch: u64,
    untold_packets: u64,
    untold_bytes: usize,
}

#[derive(Debug)]
struct Outbound {
    journal: Journal,
    session: Option<Session>,
    ended: bool,
}

impl Endpoint {
    pub(crate) fn new(replay_bytes_max: usize) -> Self {
        Self {
            inbound: Mutex::default(),
            outbound: Mutex::new(Outbound {
                journal: Journal::new(replay_bytes_max),
                session: None,
                ended: false,
            }),
        }
    }

    /// Keeps a frame until the peer has handled it, and sends it if there is a connection.
    ///
    /// # Errors
    /// The session has ended, or the peer has too much to handle; nothing is kept then.
    pub(crate) fn send(&self, frame: SharedFrame) -> Result<(), SendError> {
        let mut outbound = self.outbound.lock();
        if outbound.ended {
            return Err(SendError::Disconnected);
        }
        if !outbound.journal.push(frame.clone()) {
            let (queued, limit) = outbound.journal.bytes();
            return Err(SendError::Overflow { queued, limit });
        }
        if let Some(session) = &outbound.session {
            // Of a connection that breaks the frame is sent again on the next.
            let _ = session.send_shared(&frame);
        }
        Ok(())
    }

    /// The peer has handled so many packets. False when that can not be.
    pub(crate) fn forget(&self, received: u64) -> bool {
        self.outbound.lock().journal.forget(received)
    }

    /// Goes on with a connection whose peer has handled `received` packets: `greet` is sent first,
    /// then what the peer lacks. The connection before is ended. False when the peer's count can
    /// not be; nothing is changed then.
    pub(crate) fn attach(
        &self,
        inbound: &mut Inbound,
        session: &Session,
        received: u64,
        greet: impl FnOnce(&Session),
    ) -> bool {
        let mut outbound = self.outbound.lock();
        if outbound.ended || !outbound.journal.forget(received) {
            return false;
        }
        inbound.current = Some(session.id());
        inbound.epoch += 1;
        (inbound.untold_packets, inbound.untold_bytes) = (0, 0);
        if let Some(old) = outbound.session.replace(session.clone()) {
            old.disconnect();
        }
        // Both sides count packets: none may be missing.
        if matches!(
            session.send_policy(),
            SendPolicy::DropNewest | SendPolicy::DropOldest
        ) {
            session.set_send_policy(SendPolicy::Report);
        }
        greet(session);
        for frame in outbound.journal.frames() {
            let _ = session.send_shared(frame);
        }
        true
    }

    /// The connection is gone. False when it was not the current one.
    pub(crate) fn detach(&self, inbound: &mut Inbound, session: &Session) -> bool {
        if inbound.current != Some(session.id()) {
            return false;
        }
        inbound.current = None;
        self.outbound.lock().session = None;
        true
    }

    /// Counts a packet of `bytes` bytes that came by `session`, for the handler to be given under
    /// the lock that is returned. `None` when the connection is not the current one any more.
    pub(crate) fn count(&self, session: &Session, bytes: usize) -> Option<MutexGuard<'_, Inbound>> {
        let mut inbound = self.inbound.lock();
        if inbound.current != Some(session.id()) {
            return None;
        }
        inbound.received += 1;
        inbound.untold_packets += 1;
        inbound.untold_bytes += bytes;
        if inbound.untold_packets >= TELL_PACKETS || inbound.untold_bytes >= TELL_BYTES {
            (inbound.untold_packets, inbound.untold_bytes) = (0, 0);
            let received = inbound.received;
            let _ = session.send(PacketId::RESUME_HANDLED, &Handled { received });
        }
        Some(inbound)
    }

    /// The session is over. The connection that it still had.
    pub(crate) fn end(&self) -> Option<Session> {
        let mut outbound = self.outbound.lock();
        outbound.ended = true;
        outbound.journal.clear();
        outbound.session.take()
    }

    /// The connection of the moment.
    pub(crate) fn session(&self) -> Option<Session> {
        self.outbound.lock().session.clone()
    }

    /// Bytes that the peer has not told that it handled.
    pub(crate) fn unhandled_bytes(&self) -> usize {
        self.outbound.lock().journal.bytes().0
    }
}

/// Whether a session outlives a connection that ends so: the network failed, and nobody meant it.
pub(crate) const fn is_survived(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::PeerClosed
            | CloseReason::PeerTruncated
            | CloseReason::PeerReset { .. }
            | CloseReason::TlsTruncated
            | CloseReason::Idle
            | CloseReason::FrameTimeout
            | CloseReason::WriteStalled
            | CloseReason::SendQueueFull
            | CloseReason::SendOverflow
            | CloseReason::Unresponsive
            | CloseReason::MemoryLimit
    )
}
