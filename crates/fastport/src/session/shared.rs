//! What all handles of a session share with the worker that owns it.

use crate::lock::Mutex;
use crate::rooms::room::RoomShared;
use crate::session::context::SessionContext;
use crate::session::flags::{COUNTED_UNAUTHENTICATED, Flags, TRACED, UNAUTHENTICATED};
use crate::session::handle::{Session, SessionId};
use crate::session::peer_address::PeerAddress;
use crate::session::remote_half::RemoteHalf;
use crate::session::send_policy::Room;
use crate::session::send_queue::{LocalQueue, Pieces};
use crate::stats::counters::Counter;
use crate::worker::attention;
use crate::worker::link::Command;
use crate::{CloseReason, SendError, SendPolicy, SendStatus};
use fastport_buffer::{OwnerCell, Piece, SharedFrame};
use fastport_engine::Key;
use fastport_protocol::PacketId;
use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Frames of at most so many bytes are encoded under the remote half's lock, so that they share
/// blocks; larger ones before it is taken, so that a slow encoder does not hold up the worker.
const ENCODE_UNDER_LOCK_MAX: usize = 2048;

/// What the log calls the steps of a session that is traced.
pub(crate) const TRACE: &str = "fastport::trace";

/// See [`SessionShared::received_at`].
const RECEIVED_SHIFT: u32 = 27;

thread_local! {
    /// Set while this thread encodes under a remote half's lock.
    static ENCODING: Cell<bool> = const { Cell::new(false) };
}

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
    remote_bytes: QueueBytes,
    /// Bytes of the local half, as of the owner's last turn.
    local_bytes: QueueBytes,
    /// A sender on another thread was told of back-pressure.
    backpressured: AtomicBool,
    /// The owner has this session in its mailbox, or soon will.
    scheduled: AtomicBool,
    /// The seed's `m_DisconnectRequested`: set once, by whoever is first.
    disconnect_requested: AtomicBool,
    /// Whether it is logged, and what becomes of what it can not take.
    pub(super) flags: Flags,
    /// When bytes last came, in units of 2^27 ns since the service started; 0 for never.
    received_at: AtomicU32,
    /// The worker's last cast before the end was asked for: what was broadcast until then is still
    /// for this session.
    last_cast: AtomicU64,
    reason: Mutex<Option<CloseReason>>,
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
            disconnect_requested: AtomicBool::new(false),
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

    /// Queues `bytes` bytes that `append` adds, to whichever half the caller may use.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        bytes: usize,
        append: impl FnOnce(&mut Pieces),
    ) -> Result<SendStatus, SendError> {
        if self.is_disconnect_requested() {
            return Err(SendError::Disconnected);
        }
        self.settle_casts();
        let mut append = Some(append);
        let local = self.local.with(|queue| {
            self.splice(queue);
            let mut above = queue.bytes() + bytes > self.context.config.send_high_watermark;
            if above {
                let room = self.make_room(queue, bytes);
                if room == Room::Refused {
                    return Ok(SendStatus::Dropped);
                }
                above = room == Room::None;
            }
            let queued = self.admit(queue.bytes(), bytes)?;
            if let Some(append) = append.take() {
                append(&mut queue.pieces);
            }
            self.context.worker.service.budget.note(queued, bytes);
            queue.above_high |= above;
            if !queue.attention {
                queue.attention = true;
                attention::list(self.key);
            }
            Ok(SendStatus::of(above))
        });
        match (local, append) {
            (Some(outcome), _) => outcome,
            (None, Some(append)) => self.enqueue_remote(bytes, false, append),
            (None, None) => Err(SendError::InsideEncoder),
        }
    }

    /// Small frames are encoded under the lock, so that they share blocks; large ones before it is
    /// taken, so that a slow encoder does not hold up the worker. What `may_be_late` is queued also
    /// when the end was asked for.
    fn enqueue_remote(
        self: &Arc<Self>,
        bytes: usize,
        may_be_late: bool,
        append: impl FnOnce(&mut Pieces),
    ) -> Result<SendStatus, SendError> {
        if ENCODING.get() {
            return Err(SendError::InsideEncoder);
        }
        let mut append = Some(append);
        let mut outside = Pieces::default();
        if bytes > ENCODE_UNDER_LOCK_MAX
            && let Some(append) = append.take()
        {
            append(&mut outside);
        }
        self.enqueue_elsewhere(may_be_late, |remote, after| {
            // The owner moves bytes between the halves under this lock: the sum is exact here.
            let mut before = self.local_bytes.load(Ordering::Relaxed) + remote.bytes();
            if before + bytes > self.context.config.send_high_watermark {
                match self.make_remote_room(remote, before, bytes) {
                    Room::None => {}
                    Room::Made => before = remote.bytes(),
                    Room::Refused => return Ok(None),
                }
            }
            let queued = self.admit(before, bytes)?;
            remote.append(after, |pieces| {
                if let Some(append) = append {
                    let _mark = Encoding::begin();
                    append(pieces);
                }
                pieces.splice(&mut outside);
            });
            Ok(Some(queued))
        })
    }

    /// Has `append` add to the remote half, under its lock: behind the cast that it is told. It
    /// returns how many bytes are queued then, or that nothing was.
    pub(super) fn enqueue_elsewhere(
        self: &Arc<Self>,
        may_be_late: bool,
        append: impl FnOnce(&mut RemoteHalf, u64) -> Result<Option<usize>, SendError>,
    ) -> Result<SendStatus, SendError> {
        if ENCODING.get() {
            return Err(SendError::InsideEncoder);
        }
        let queued = {
            // Before the lock: what this thread has cast is posted.
            let after = self.context.worker.casts.to_wait_for();
            let mut remote = self.remote.lock();
            // Looked at again, since much may have happened while it was encoded: under the lock,
            // which the owner takes once more before it half-closes.
            if !may_be_late && self.is_disconnect_requested() {
                return Err(SendError::Disconnected);
            }
            let remote = remote.get_or_insert_default();
            let queued = append(remote, after)?;
            self.remote_bytes.store(remote.bytes(), Ordering::Release);
            queued
        };
        let high = self.context.config.send_high_watermark;
        let status = queued.map_or(SendStatus::Dropped, |queued| SendStatus::of(queued > high));
        if status != SendStatus::Queued {
            // The owner may never see this much at once, but owes the sender an `on_writable`.
            self.backpressured.store(true, Ordering::Release);
        }
        self.attend_from_elsewhere();
        Ok(status)
    }

    /// Applies what this thread has cast before it sends on: to the sessions of the owner's.
    #[inline]
    pub(super) fn settle_casts(&self) {
        // Under a remote half's lock, what is cast to that session could not be queued.
        if self.context.worker.casts.are_waiting() && !ENCODING.get() {
            self.context.worker.apply_casts();
        }
    }

    /// Checks the hard limits. Returns what will be queued.
    pub(super) fn admit(self: &Arc<Self>, queued: usize, bytes: usize) -> Result<usize, SendError> {
        let limit = self.context.config.send_queue_max;
        if queued + bytes > limit {
            self.request_disconnect(CloseReason::SendOverflow);
            return Err(SendError::Overflow { queued, limit });
        }
        if !self.context.worker.service.budget.admits(queued, bytes) {
            self.request_disconnect(CloseReason::MemoryLimit);
            return Err(SendError::OverBudget { queued });
        }
        Ok(queued + bytes)
    }

    /// Queues a frame that many sessions share, which is the worker's cast `number`, with a key if
    /// it has one, and puts the session into `line` to be flushed. Owner only. Whether it was
    /// taken.
    pub(crate) fn enqueue_cast(
        self: &Arc<Self>,
        frame: &SharedFrame,
        key: Option<u64>,
        number: u64,
        line: &mut VecDeque<Key>,
    ) -> bool {
        if self.is_disconnect_requested() && self.ended_before_cast(number) {
            return false;
        }
        let bytes = frame.len();
        let push = |pieces: &mut Pieces| {
            pieces.push(Piece::Shared(frame.clone(), 0..bytes));
        };
        let local = self.local.with(|queue| {
            // What goes behind this cast stays where it is.
            self.splice_until(queue, number - 1);
            if let Some(key) = key.filter(|_| self.send_policy() == SendPolicy::LatestByKey) {
                return self.push_keyed(queue, key, frame);
            }
            let above = queue.bytes() + bytes > self.context.config.send_high_watermark;
            if above && self.make_room(queue, bytes) == Room::Refused {
                return Ok(SendStatus::Dropped);
            }
            self.admit(queue.bytes(), bytes)?;
            push(&mut queue.pieces);
            if !queue.attention && !queue.in_line {
                queue.in_line = true;
                line.push_back(self.key);
            }
            Ok(SendStatus::Queued)
        });
        // An encoder of this very session made the worker apply its casts: from elsewhere, then.
        local
            .unwrap_or_else(|| self.enqueue_remote(bytes, true, push))
            .is_ok_and(|status| status != SendStatus::Dropped)
    }

    /// Whether the end was asked for before cast `number` was made.
    fn ended_before_cast(&self, number: u64) -> bool {
        let first = self.reason.lock();
        first.is_some() && self.last_cast.load(Ordering::Relaxed) < number
    }

    /// Moves the remote half behind the local one. Owner only; one load when there is nothing.
    #[inline]
    pub(crate) fn splice(&self, queue: &mut LocalQueue) {
        if self.remote_bytes.load(Ordering::Acquire) != 0 {
            self.splice_until(queue, self.context.worker.casts.applied());
        }
    }

    /// As [`SessionShared::splice`], but only what goes behind cast `applied` or an earlier one.
    fn splice_until(&self, queue: &mut LocalQueue, applied: u64) {
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
        local + self.remote_bytes.load(Ordering::Acquire)
    }

    /// Whether the send queue keeps what the peer sends from being handled: it is above the high
    /// watermark, and nothing else bounds it.
    #[inline]
    pub(crate) fn is_above_high(&self) -> bool {
        self.queued_bytes() > self.context.config.send_high_watermark
            && self.holds_input_when_full()
    }

    /// Whether the end of the session was asked for. Nothing is delivered from then on.
    #[inline]
    pub(crate) fn is_disconnect_requested(&self) -> bool {
        self.disconnect_requested.load(Ordering::Acquire)
    }

    /// Asks for the end. The first reason stays; later calls do nothing. Any thread.
    pub(crate) fn request_disconnect(self: &Arc<Self>, reason: CloseReason) {
        let reason = self.as_the_peer_said(reason);
        {
            let mut first = self.reason.lock();
            if first.is_some() {
                return;
            }
            let last_cast = self.context.worker.casts.posted();
            // Read under this lock only.
            self.last_cast.store(last_cast, Ordering::Relaxed);
            *first = Some(reason);
            self.disconnect_requested.store(true, Ordering::Release);
        }
        self.attend();
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
    fn attend_from_elsewhere(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.context
                .worker
                .mailbox
                .post(Command::Attend(Session::from_shared(self.clone())));
        }
    }

    /// The owner took this session from its mailbox: cleared before the splice, so that whoever
    /// appends after the splice schedules again.
    pub(crate) fn unschedule(&self) {
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
            tracing::info!(target: TRACE, session = %self.id, packet = %id, bytes, "received");
        }
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
struct QueueBytes(AtomicU32);

impl QueueBytes {
    #[inline]
    fn load(&self, order: Ordering) -> usize {
        self.0.load(order) as usize
    }

    #[inline]
    fn store(&self, bytes: usize, order: Ordering) {
        self.0
            .store(u32::try_from(bytes).unwrap_or(u32::MAX), order);
    }
}

/// Marks this thread as encoding, also when the encoder panics.
struct Encoding;

impl Encoding {
    fn begin() -> Self {
        ENCODING.set(true);
        Self
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        ENCODING.set(false);
    }
}

#[cfg(all(test, loom))]
mod models;
