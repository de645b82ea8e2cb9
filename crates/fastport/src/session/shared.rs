//! What all handles of a session share with the worker that owns it.

use crate::lock::Mutex;
use crate::rooms::room::RoomShared;
use crate::session::context::SessionContext;
use crate::session::flags::{
    ASKS, COUNTED_UNAUTHENTICATED, ENDS, FULL, Flags, PRESSED, TRACED, UNAUTHENTICATED,
};
use crate::session::handle::{Session, SessionId};
use crate::session::peer_address::PeerAddress;
use crate::session::remote_half::RemoteHalf;
use crate::session::send_queue::LocalQueue;
use crate::stats::counters::Counter;
use crate::worker::attention;
use crate::worker::link::Command;
use crate::{CloseReason, SendError};
use fastport_buffer::OwnerCell;
use fastport_engine::Key;
use fastport_protocol::PacketId;
use std::any::Any;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What the log calls the steps of a session that is traced.
pub(crate) const TRACE: &str = "fastport::trace";

/// See [`SessionShared::received_at`].
const RECEIVED_SHIFT: u32 = 27;

/// The state behind a [`Session`] handle.
pub(crate) struct SessionShared {
    pub(crate) id: SessionId,
    pub(crate) key: Key,
    peer: PeerAddress,
    pub(crate) context: Arc<SessionContext>,
    pub(crate) local: OwnerCell<LocalQueue>,
    /// No memory until another thread sends, or something else of it is needed.
    pub(super) remote: Mutex<Option<Box<RemoteHalf>>>,
    /// Bytes in the remote half; not zero exactly when there is something to splice.
    pub(super) remote_bytes: QueueBytes,
    /// Bytes of the local half, as of the owner's last turn.
    pub(super) local_bytes: QueueBytes,
    /// A sender on another thread was told of back-pressure.
    pub(super) backpressured: AtomicBool,
    /// The owner has this session in its mailbox, or soon will.
    scheduled: AtomicBool,
    /// Whether it ends, is logged, and what becomes of what it can not take.
    pub(crate) flags: Flags,
    /// When bytes last came, in units of 2^27 ns since the service started; 0 for never.
    received_at: AtomicU32,
    /// The worker's last cast before the end was asked for: what was broadcast until then is still
    /// for this session.
    pub(super) last_cast: AtomicU64,
    pub(super) reason: Mutex<Option<CloseReason>>,
    attached: OnceLock<Box<Attached>>,
    pub(crate) packets_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
}

/// Boxed once more, so that what few sessions have takes one pointer of each.
type Attached = Box<dyn Any + Send + Sync>;

/// What every session takes, idle or not, beside the reference counts. Rare state belongs behind a
/// pointer.
const _: () = assert!(size_of::<SessionShared>() <= 176);

impl SessionShared {
    /// Makes a session owned by the calling thread.
    pub(crate) fn new(
        id: SessionId,
        key: Key,
        peer: SocketAddr,
        context: Arc<SessionContext>,
    ) -> Self {
        Self {
            flags: Flags::new(context.config.send_policy),
            id,
            key,
            peer: peer.into(),
            context,
            local: OwnerCell::new(LocalQueue::default()),
            remote: Mutex::new(None),
            remote_bytes: QueueBytes::default(),
            local_bytes: QueueBytes::default(),
            backpressured: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            last_cast: AtomicU64::new(0),
            reason: Mutex::new(None),
            received_at: AtomicU32::new(0),
            attached: OnceLock::new(),
            packets_in: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
        }
    }

    /// The peer's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer.get()
    }

    /// Moves the remote half behind the local one. Owner only; one load when there is nothing.
    #[inline]
    pub(crate) fn splice(&self, queue: &mut LocalQueue) {
        if self.remote_bytes.load(Ordering::Acquire) != 0 {
            self.splice_until(queue, self.context.worker.casts.applied());
        }
    }

    /// As [`SessionShared::splice`], but only what goes behind cast `applied` or an earlier one.
    pub(super) fn splice_until(&self, queue: &mut LocalQueue, applied: u64) {
        if self.remote_bytes.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut remote = self.remote.lock();
        if let Some(remote) = &mut *remote {
            let replaced = remote.splice_into(&mut queue.pieces, applied);
            self.note_replaced(replaced, remote);
            // Counted twice for a moment by readers without the lock, and never not at all.
            self.local_bytes.store(queue.bytes(), Ordering::Relaxed);
            self.remote_bytes.store(remote.bytes(), Ordering::Release);
        }
    }

    /// Whether a sender on another thread was told of back-pressure since the last call. Owner
    /// only.
    #[inline]
    pub(crate) fn take_backpressured(&self) -> bool {
        let was = self.backpressured.load(Ordering::Acquire);
        if was {
            self.backpressured.store(false, Ordering::Relaxed);
        }
        was
    }

    /// Publishes the size of the local half to other threads. Owner only.
    pub(crate) fn publish_local(&self, bytes: usize) {
        self.local_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that are queued or in flight. Exact on the owner's thread.
    pub(crate) fn queued_bytes(&self) -> usize {
        let local = self.local.with(|queue| queue.bytes());
        let local = local.unwrap_or_else(|| self.local_bytes.load(Ordering::Relaxed));
        local + self.remote_bytes()
    }

    /// Bytes of the remote half.
    #[inline]
    pub(crate) fn remote_bytes(&self) -> usize {
        self.remote_bytes.load(Ordering::Acquire)
    }

    /// As [`SessionShared::is_above_high`], for whoever handles packets and found the session
    /// [`PRESSED`].
    #[cold]
    pub(crate) fn is_pressed_still(&self) -> bool {
        // Before the look: whoever queues from elsewhere after it sets the flag again.
        self.flags.set(PRESSED, false);
        let above = self.is_above_high();
        if above {
            self.flags.set(PRESSED, true);
        }
        above
    }

    /// Whether the send queue keeps what the peer sends from being handled: it is above the high
    /// watermark, and nothing else bounds it.
    pub(crate) fn is_above_high(&self) -> bool {
        self.queued_bytes() > self.context.config.send_high_watermark
            && self.holds_input_when_full()
    }

    /// Whether the end of the session was asked for. Nothing is delivered from then on.
    #[inline]
    pub(crate) fn is_disconnect_requested(&self) -> bool {
        self.flags.has(ENDS)
    }

    /// Asks for the end. The first reason stays; later calls do nothing. Any thread.
    pub(crate) fn request_disconnect(self: &Arc<Self>, reason: CloseReason) {
        if self.note_end(reason) {
            self.attend();
        }
    }

    /// As [`SessionShared::request_disconnect`], for the owner that goes on with the end by itself.
    /// Whether nobody was faster.
    pub(crate) fn note_end(&self, reason: CloseReason) -> bool {
        let reason = self.as_the_peer_said(reason);
        let mut first = self.reason.lock();
        if first.is_some() {
            return false;
        }
        let last_cast = self.context.worker.casts.posted();
        // Read under this lock only.
        self.last_cast.store(last_cast, Ordering::Relaxed);
        *first = Some(reason);
        self.flags.set(ENDS, true);
        true
    }

    /// Keeps what the session's handshake agreed on.
    #[cfg(feature = "tls")]
    pub(crate) fn note_tls(&self, info: crate::tls::TlsInfo) {
        self.remote.lock().get_or_insert_default().tls = Some(Box::new(info));
    }

    /// What the session's handshake agreed on, if it had one.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.remote.lock().as_ref()?.tls.as_deref().cloned()
    }

    /// Why the session ends, once that was asked for.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        *self.reason.lock()
    }

    /// Notes that the session is in a room, unless its end was asked for.
    pub(crate) fn note_joined(&self, room: &Arc<RoomShared>) -> Result<(), SendError> {
        let mut remote = self.remote.lock();
        // Under the lock: whoever takes the rooms at the end comes after the request.
        if self.is_disconnect_requested() {
            return Err(SendError::Disconnected);
        }
        remote.get_or_insert_default().rooms.push(room.clone());
        Ok(())
    }

    /// Notes that the session is not in a room any more.
    pub(crate) fn note_left(&self, room: &RoomShared) {
        if let Some(remote) = &mut *self.remote.lock()
            && let Some(at) = remote.rooms.iter().position(|other| other.is(room))
        {
            remote.rooms.swap_remove(at);
        }
    }

    /// The rooms that the session is in.
    pub(crate) fn rooms(&self) -> Vec<Arc<RoomShared>> {
        let remote = self.remote.lock();
        remote.as_ref().map_or_else(Vec::new, |r| r.rooms.clone())
    }

    /// Takes the session out of all its rooms, at its end.
    pub(crate) fn leave_rooms(self: &Arc<Self>) {
        let rooms = match &mut *self.remote.lock() {
            Some(remote) => std::mem::take(&mut remote.rooms),
            None => return,
        };
        for room in rooms {
            room.remove(&Session::from_shared(self.clone()));
        }
    }

    /// Makes the owner look at this session at the end of its turn. Any thread.
    pub(crate) fn attend(self: &Arc<Self>) {
        let listed = self.local.with(|queue| {
            if !queue.attention {
                queue.attention = true;
                attention::list(self.key);
            }
        });
        if listed.is_none() {
            self.attend_from_elsewhere();
        }
    }

    /// Posts the session to its owner, unless it is on its way there already.
    pub(super) fn attend_from_elsewhere(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.context
                .worker
                .mailbox
                .post(Command::Attend(Session::from_shared(self.clone())));
        }
    }

    /// Whether the owner is yet to take this session from its mailbox, and with it what is appended
    /// under the remote half's lock, which the caller has.
    #[inline]
    pub(super) fn is_scheduled_locked(&self) -> bool {
        self.scheduled.load(Ordering::Relaxed)
    }

    /// The owner took this session from its mailbox: cleared before the splice, so that whoever
    /// appends after the splice schedules again.
    pub(crate) fn unschedule(&self) {
        // Under the lock: a sender that finds the flag set in there need not touch it, since what
        // it has appended is seen from here on.
        let _remote = self.remote.lock();
        self.scheduled.swap(false, Ordering::AcqRel);
    }

    /// The peer has to prove who it is; it was counted as one that has not. Owner, at the begin.
    pub(crate) fn begin_unauthenticated(&self) {
        self.flags
            .set(UNAUTHENTICATED | COUNTED_UNAUTHENTICATED, true);
    }

    #[inline]
    pub(crate) fn is_authenticated(&self) -> bool {
        !self.flags.has(UNAUTHENTICATED)
    }

    pub(crate) fn set_authenticated(&self) {
        self.end_unauthenticated();
        self.flags.set(UNAUTHENTICATED, false);
    }

    /// It is not counted any more: it has proved it, or has ended. Once, however the two meet.
    pub(crate) fn end_unauthenticated(&self) {
        if self.flags.set(COUNTED_UNAUTHENTICATED, false) {
            self.context.worker.service.forget_unauthenticated();
        }
    }

    /// Whether what the session does is logged.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.flags.has(TRACED)
    }

    pub(crate) fn set_traced(&self, traced: bool) {
        self.flags.set(TRACED, traced);
    }

    /// Logs a packet of a session that is traced.
    #[inline]
    pub(crate) fn trace_packet(&self, id: PacketId, bytes: usize) {
        if self.is_traced() {
            self.log_packet(id, bytes);
        }
    }

    #[cold]
    fn log_packet(&self, id: PacketId, bytes: usize) {
        tracing::info!(target: TRACE, session = %self.id, packet = %id, bytes, "received");
    }

    /// Bytes came `now` nanoseconds after the service started. Owner only.
    #[inline]
    pub(crate) fn note_received(&self, now: u64) {
        // 18 years fit; a session that received at once has not received never.
        let unit = ((now >> RECEIVED_SHIFT) as u32).max(1);
        self.received_at.store(unit, Ordering::Relaxed);
    }

    /// Milliseconds from the service's start to the last bytes received, 134 ms exact; 0 for never.
    pub(crate) fn received_at_ms(&self) -> u64 {
        let units = u64::from(self.received_at.load(Ordering::Relaxed));
        (units << RECEIVED_SHIFT) / 1_000_000
    }

    /// Attaches the application's value once.
    pub(crate) fn attach(&self, value: Box<dyn Any + Send + Sync>) -> Result<(), ()> {
        self.attached.set(Box::new(value)).map_err(drop)
    }

    pub(crate) fn attached(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.attached.get().map(|value| &***value)
    }

    /// Drops what is queued in both halves. Owner only.
    pub(crate) fn clear_queues(&self) {
        self.local.with(|queue| {
            // Whatever `remote_bytes` says: a sender may be inside the lock.
            let mut remote = self.remote.lock();
            if let Some(remote) = &mut *remote {
                remote.splice_into(&mut queue.pieces, u64::MAX);
            }
            queue.pieces.clear();
            self.local_bytes.store(queue.bytes(), Ordering::Relaxed);
            self.remote_bytes.store(0, Ordering::Release);
        });
    }

    /// Whether nothing is queued or asked for, as of now. Owner only.
    pub(crate) fn is_at_rest(&self) -> bool {
        let rests = self
            .local
            .with(|queue| !queue.attention && queue.bytes() == 0);
        rests == Some(true)
            && self.remote_bytes() == 0
            && !self.flags.has(ENDS | ASKS | PRESSED | FULL)
    }

    /// Whether nothing is queued and nothing will be any more, once the end was asked for: a sender
    /// that is inside the lock is waited for, and who comes later finds the request. Owner only.
    pub(crate) fn is_drained(&self) -> bool {
        self.queued_bytes() == 0
            && self
                .remote
                .lock()
                .as_ref()
                .is_none_or(|half| half.bytes() == 0)
    }

    /// Counts a packet whose id nothing handles and logs it at most once a second.
    pub(crate) fn note_unhandled(&self, id: PacketId) {
        self.context.worker.service.note_unhandled(self.id, id);
    }

    /// Counts a payload that did not decode; closes the session if so configured.
    pub(crate) fn reject_undecodable(self: &Arc<Self>, id: PacketId) {
        self.context.worker.service.undecodable.add_shared(1);
        if self.context.config.undecodable == crate::Undecodable::Close {
            self.request_disconnect(CloseReason::Undecodable { id });
        }
    }
}

/// The size of a queue's half. 32 bits hold it: the configuration allows 1 GiB at most.
#[derive(Default)]
pub(super) struct QueueBytes(AtomicU32);

impl QueueBytes {
    #[inline]
    pub(super) fn load(&self, order: Ordering) -> usize {
        self.0.load(order) as usize
    }

    #[inline]
    pub(super) fn store(&self, bytes: usize, order: Ordering) {
        self.0
            .store(u32::try_from(bytes).unwrap_or(u32::MAX), order);
    }
}

#[cfg(all(test, loom))]
mod models;
