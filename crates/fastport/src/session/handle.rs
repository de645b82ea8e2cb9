//! The handle of a session: cheap to clone, usable from any thread.

use crate::net::framer;
use crate::rooms::everyone::Everyone;
use crate::rooms::room::Room;
use crate::session::control::Farewell;
use crate::session::send_queue::Pieces;
use crate::session::shared::SessionShared;
use crate::{CloseReason, Packet, SendError, SendPolicy, SendStatus};
use fastport_buffer::{Piece, SharedFrame};
use fastport_protocol::PacketId;
use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A session's name: unique in the process, never reused, not a secret.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionId(u64);

impl SessionId {
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The id with this number, whether or not there is such a session.
    #[must_use]
    pub const fn from_value(number: u64) -> Self {
        Self(number)
    }

    /// The number, from 1.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One connection's session. Clones name the same session; a handle may outlive the connection, and
/// sending is then an error.
///
/// # Order
/// What one thread sends arrives in the order in which it sent. What thread B sends before it tells
/// thread A arrives before what A sends then.
#[derive(Clone)]
pub struct Session {
    shared: Arc<SessionShared>,
}

impl Session {
    pub(crate) fn from_shared(shared: Arc<SessionShared>) -> Self {
        Self { shared }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<SessionShared> {
        &self.shared
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.shared.peer()
    }

    /// Whether a listener accepted the session, as opposed to a connector that made it.
    #[must_use]
    pub fn is_inbound(&self) -> bool {
        self.shared.context.inbound
    }

    /// Encodes a message straight into the send queue. Does not block; any thread. On the thread
    /// that owns the session (in an inline handler) it takes no lock; elsewhere a short one.
    ///
    /// # Errors
    /// [`SendError`]; nothing of the message is queued then.
    pub fn send<M: prost::Message>(
        &self,
        id: PacketId,
        message: &M,
    ) -> Result<SendStatus, SendError> {
        self.send_with(id, message.encoded_len(), |mut payload| {
            // The length was computed from the same message, which `&M` keeps from changing.
            let encoded = message.encode(&mut payload);
            debug_assert!(encoded.is_ok(), "encoded_len was wrong");
        })
    }

    /// Sends `payload` as it is.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued then.
    pub fn send_bytes(&self, id: PacketId, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.send_with(id, payload.len(), |memory| memory.copy_from_slice(payload))
    }

    /// Sends a payload of `payload_bytes` bytes that `encode` writes into the send queue. The
    /// memory may hold anything before; `encode` must fill it.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued then. On a thread that does not own the session, payloads
    /// above 2 KiB are encoded before all is known: `encode` may have been called in vain.
    #[inline]
    pub fn send_with(
        &self,
        id: PacketId,
        payload_bytes: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<SendStatus, SendError> {
        let header = frame_header(id, payload_bytes)?;
        let bytes = payload_bytes + framer::HEADER_BYTES;
        let write = |frame: &mut [u8]| {
            let (head, payload) = frame.split_at_mut(framer::HEADER_BYTES);
            head.copy_from_slice(&header);
            encode(payload);
        };
        let mut write = Some(write);
        let behind = |pieces: &mut Pieces| pieces.append_behind(bytes, &mut write);
        if self.shared.enqueue_behind(bytes, behind) {
            return Ok(SendStatus::Queued);
        }
        self.shared.enqueue(bytes, |pieces| {
            if let Some(write) = write {
                pieces.append(bytes, write);
            }
        })
    }

    /// Sends a received packet on as it is, header included: by reference where that is worth it,
    /// so that a raw echo or a relay copies nothing. To this session or another.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued then.
    #[inline]
    pub fn forward(&self, packet: &Packet<'_>) -> Result<SendStatus, SendError> {
        if let Some((chunk, at)) = packet.source() {
            let bytes = packet.frame().len();
            let behind = |pieces: &mut Pieces| pieces.extend_forward(chunk, at, bytes);
            if self.shared.enqueue_behind(bytes, behind) {
                return Ok(SendStatus::Queued);
            }
        }
        self.begin_forward(packet)
    }

    fn begin_forward(&self, packet: &Packet<'_>) -> Result<SendStatus, SendError> {
        let frame = packet.frame();
        let may_lend = !self.shared.context.worker.is_chunk_scarce();
        self.shared.enqueue(frame.len(), |pieces| {
            let forwarded = packet.source().is_some_and(|(chunk, at)| {
                pieces.push_forward(chunk, at..at + frame.len(), may_lend)
            });
            if !forwarded {
                pieces.append(frame.len(), |memory| memory.copy_from_slice(frame));
            }
        })
    }

    /// Sends a frame that was encoded once for many sessions; see [`shared_frame`]. It is queued by
    /// reference.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued then.
    pub fn send_shared(&self, frame: &SharedFrame) -> Result<SendStatus, SendError> {
        self.shared.enqueue(frame.len(), |pieces| {
            if frame.len() <= SHARE_BYTES_MIN {
                pieces.append(frame.len(), |memory| memory.copy_from_slice(frame));
            } else {
                pieces.push(Piece::Shared(frame.clone(), 0..frame.len()));
            }
        })
    }

    /// Sends a message of which only the latest with the same `key` matters, such as where an
    /// entity is. With [`SendPolicy::LatestByKey`] it takes the place of an unsent one of the same
    /// key, so that a peer which is slow gets fewer and newer ones; it may so arrive before what
    /// was sent between the two. With any other policy it is an ordinary message. Any thread; with
    /// that policy it allocates.
    ///
    /// # Errors
    /// [`SendError`]; nothing is queued then, and an older message stays.
    pub fn send_keyed<M: prost::Message>(
        &self,
        key: u64,
        id: PacketId,
        message: &M,
    ) -> Result<SendStatus, SendError> {
        if self.send_policy() == SendPolicy::LatestByKey {
            return self.shared.enqueue_keyed(key, &shared_frame(id, message)?);
        }
        self.send(id, message)
    }

    /// As [`Session::send_keyed`], with a payload that is sent as it is.
    ///
    /// # Errors
    /// As [`Session::send_keyed`].
    pub fn send_bytes_keyed(
        &self,
        key: u64,
        id: PacketId,
        payload: &[u8],
    ) -> Result<SendStatus, SendError> {
        if self.send_policy() == SendPolicy::LatestByKey {
            let frame = shared_frame_of(id, payload)?;
            return self.shared.enqueue_keyed(key, &frame);
        }
        self.send_bytes(id, payload)
    }

    /// What happens from now on to messages for this session when its send queue is full, instead
    /// of what [`SessionConfig::send_policy`](crate::SessionConfig) says. Any thread, at any time.
    pub fn set_send_policy(&self, policy: SendPolicy) {
        self.shared.set_send_policy(policy);
    }

    /// How long this session's queue may stay full from now on with [`SendPolicy::Disconnect`],
    /// instead of [`SessionConfig::send_full_grace`](crate::SessionConfig): a spectator less than a
    /// player, for example. It counts from when the queue became full, also if it is full already;
    /// the worker's timers keep it, 50 ms exact. Zero is no limit. Any thread, at any time.
    pub fn set_send_full_grace(&self, grace: Duration) {
        self.shared.set_full_grace(grace);
    }

    /// What happens to messages when the send queue is full.
    #[must_use]
    pub fn send_policy(&self) -> SendPolicy {
        self.shared.send_policy()
    }

    /// Messages for this session that its policy has dropped or replaced so far.
    #[must_use]
    pub fn dropped_messages(&self) -> u64 {
        self.shared.dropped()
    }

    /// The rooms that the session is in, in no particular order.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        let rooms = self.shared.rooms().into_iter();
        rooms.map(Room::from_shared).collect()
    }

    /// All sessions of this session's service, this one included.
    #[must_use]
    pub fn everyone(&self) -> Everyone {
        Everyone::of(&self.shared.context.worker.service)
    }

    /// Ends the session: nothing more is delivered, what is queued is flushed within the flush time
    /// limit, then the connection is half-closed and closed. Any thread; returns at once.
    pub fn disconnect(&self) {
        self.disconnect_with(CloseReason::Requested);
    }

    /// As [`Session::disconnect`], with another reason.
    pub fn disconnect_with(&self, reason: CloseReason) {
        self.shared.request_disconnect(reason);
    }

    /// As [`Session::disconnect`], and tells the peer why: a code and a text, in a packet behind
    /// everything that was sent before. It is flushed within the flush time limit before the socket
    /// is closed. A peer on FastPort has it as [`CloseReason::ClosedByPeer`] and
    /// [`Session::farewell`]; another finds a packet with the id 0x8F01. Codes below 1000 are
    /// FastPort's own. Of several kicks of a session one counts.
    pub fn kick(&self, code: u16, text: &str) {
        self.shared.kick(Farewell::new(code, text));
    }

    /// What the peer said when it ended the session, if it did.
    #[must_use]
    pub fn farewell(&self) -> Option<Farewell> {
        self.shared.farewell()
    }

    /// How long the answer to the last heartbeat took, as the peer's handler got to it; `None`
    /// before the first one, and when
    /// [`SessionConfig::heartbeat_interval`](crate::SessionConfig::heartbeat_interval) is off.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.round_trip()
    }

    /// When the session's worker last came back from the kernel: one time for all that it handles
    /// in a turn, for whoever wants the time of each message and not what reading the clock costs.
    /// In an inline handler at most a few milliseconds ago; a handler on the pool may have begun
    /// before it, or be late. Any thread; does not block.
    #[must_use]
    pub fn turn_time(&self) -> Instant {
        self.shared.context.worker.turn_time()
    }

    /// False from the moment the session's end was asked for.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !self.shared.is_disconnect_requested()
    }

    /// Why the session ends or ended, once that was asked for.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.reason()
    }

    /// The application accepts the peer, because it has proved who it is for example: the limits of
    /// sessions that are not authenticated end. Any thread; more than once does nothing. Of no use
    /// unless [`ProtectionConfig::authentication`](crate::ProtectionConfig::authentication) is on.
    pub fn set_authenticated(&self) {
        self.shared.set_authenticated();
    }

    /// Whether the application has accepted the peer, or does not have to.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.shared.is_authenticated()
    }

    /// Bytes queued or in flight. Exact on the owning worker; elsewhere as of its last turn.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes()
    }

    /// Attaches a value of the application's to the session, once.
    ///
    /// # Errors
    /// Drops the value and says so when one is attached already.
    pub fn attach<T: Any + Send + Sync>(&self, value: T) -> Result<(), AlreadyAttached> {
        self.shared
            .attach(Box::new(value))
            .map_err(|()| AlreadyAttached)
    }

    /// The attached value, if there is one and it is a `T`.
    #[must_use]
    pub fn attached<T: Any>(&self) -> Option<&T> {
        self.shared.attached()?.downcast_ref()
    }

    /// Whole frames received.
    #[must_use]
    pub fn received_packets(&self) -> u64 {
        self.shared.packets_in.get()
    }

    /// Bytes received.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.shared.bytes_in.get()
    }

    /// Bytes that the kernel took.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.shared.bytes_out.get()
    }

    /// Milliseconds from the start of the service to the moment when bytes last came, at most
    /// 134 ms early; 0 when none ever did.
    #[must_use]
    pub fn last_received_ms(&self) -> u64 {
        self.shared.received_at_ms()
    }

    /// Whether each packet and the end of this session is logged, at level info under the target
    /// `fastport::trace`. Off at first. Any thread; a moment passes until the worker sees it.
    pub fn set_traced(&self, traced: bool) {
        self.shared.set_traced(traced);
    }

    /// What the session's TLS handshake agreed on, the peer's certificates among it; `None` for a
    /// session without TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.shared.tls()
    }

    /// Whether [`Session::set_traced`] turned logging on.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.shared.is_traced()
    }

    /// Counts a packet whose id nothing handles; logged at most once a second, and dropped.
    pub fn note_unhandled(&self, id: PacketId) {
        self.shared.note_unhandled(id);
    }

    /// Counts a payload that does not decode as its message, and closes the session if
    /// [`SessionConfig::undecodable`](crate::SessionConfig) says so.
    pub fn reject_undecodable(&self, id: PacketId) {
        self.shared.reject_undecodable(id);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.shared.id)
            .field("peer", &self.shared.peer())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.shared.id == other.shared.id
    }
}

impl Eq for Session {}

/// A value was attached to the session before.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a value is attached to the session already")]
pub struct AlreadyAttached;

/// Encodes a frame once, for [`Session::send_shared`] to any number of sessions.
///
/// # Errors
/// When the frame would be larger than the wire allows.
pub fn shared_frame<M: prost::Message>(
    id: PacketId,
    message: &M,
) -> Result<SharedFrame, SendError> {
    let header = frame_header(id, message.encoded_len())?;
    let mut frame = Vec::with_capacity(header.len() + message.encoded_len());
    frame.extend_from_slice(&header);
    let encoded = message.encode(&mut frame);
    debug_assert!(encoded.is_ok(), "a Vec grows");
    Ok(frame.into())
}

/// As [`shared_frame`], for a payload that is encoded already.
pub(crate) fn shared_frame_of(id: PacketId, payload: &[u8]) -> Result<SharedFrame, SendError> {
    let header = frame_header(id, payload.len())?;
    Ok([&header[..], payload].concat().into())
}

/// Shared frames of at most so many bytes are copied: a piece and two contended reference counts
/// cost more.
const SHARE_BYTES_MIN: usize = 256;

#[inline]
fn frame_header(id: PacketId, payload_bytes: usize) -> Result<[u8; 4], SendError> {
    framer::header(id, payload_bytes).ok_or(SendError::TooLarge {
        id,
        bytes: payload_bytes.saturating_add(framer::HEADER_BYTES),
    })
}
