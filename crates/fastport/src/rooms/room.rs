//! Rooms: sessions that hear the same messages.

use crate::lock::Mutex;
use crate::resume::host::{Conversation, RESUME_REFUSED};
use crate::rooms::casts::{Cast, RoomId};
use crate::session::handle::{Session, SessionId, shared_frame, shared_frame_of};
use crate::worker::link::WorkerLink;
use crate::{PacketId, SendError};
use fastport_buffer::SharedFrame;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A group of sessions that a message can be sent to as one. Clones name the same room.
///
/// A room needs no service and no name: make one, share it with the handlers, and let sessions
/// join. A session may be in any number of rooms, and leaves all of them by itself when it has
/// ended, before `on_disconnected`. A room that nobody refers to and that has no members is gone.
///
/// Everything here may be called from any thread, handlers included, and does not block.
///
/// # Order
/// Broadcasts are in order with everything else that the same thread sends: a member receives what
/// one thread sends to it, directly, by this room or by another, in the order in which that thread
/// did. What thread B does before it tells thread A comes before what A sends then. All members of
/// a room receive its broadcasts in the same order, whoever sent them. [`Room::join`] and
/// [`Room::leave`] are part of the order: a broadcast reaches exactly those who were members when
/// it was made.
///
/// # Members that do not keep up
/// Queuing for one member never waits for another. What a member does not take is bounded by its
/// own [`SessionConfig::send_queue_max`](crate::SessionConfig), and that member alone is closed; or
/// its [`SendPolicy`](crate::SendPolicy) has it miss some.
///
/// ```
/// use fastport::protocol::tests::EchoRequest;
/// use fastport::{PacketId, Room, Server, Session};
///
/// const SAY: PacketId = PacketId::new(0x0100);
/// let room = Room::new();
/// let joined = room.clone();
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .on_accepted(move |session: &Session| {
///         let _ = joined.join(session);
///     })
///     .start()?;
/// let hello = EchoRequest { data_str: "hello".into(), ..Default::default() };
/// let receivers = room.broadcast(SAY, &hello)?;
/// assert_eq!(receivers, 0, "nobody has connected");
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Room {
    shared: Arc<RoomShared>,
}

/// The state behind a [`Room`].
pub(crate) struct RoomShared {
    id: RoomId,
    /// Locked before a member's own lock, and while casts are posted, so that all workers have a
    /// room's casts in the same order.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: HashMap<SessionId, Session>,
    /// Members that outlive their connections, by their ids. Each keeps what it is sent.
    conversations: HashMap<u64, Conversation>,
    /// The workers that own members, and how many each.
    workers: Vec<(Arc<WorkerLink>, usize)>,
}

/// The next room's id.
static NEXT_ROOM: AtomicU64 = AtomicU64::new(1);

/// So many casts may wait for a worker. Above it broadcasts are refused, so that whoever makes them
/// faster than they can be queued fills no memory.
pub(crate) const CASTS_WAITING_MAX: u64 = 16_384;

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Room {
    /// A room without members.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(RoomShared {
                id: RoomId(NEXT_ROOM.fetch_add(1, Ordering::Relaxed)),
                state: Mutex::default(),
            }),
        }
    }

    pub(crate) fn from_shared(shared: Arc<RoomShared>) -> Self {
        Self { shared }
    }

    /// Makes the session a member. False when it is one already.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] when the end of the session was asked for.
    pub fn join(&self, session: &Session) -> Result<bool, SendError> {
        let mut state = self.shared.state.lock();
        if state.members.contains_key(&session.id()) {
            return Ok(false);
        }
        // From here on the session's end takes it out again, and waits for the lock to do so.
        session.shared().note_joined(&self.shared)?;
        state.members.insert(session.id(), session.clone());
        let link = &session.shared().context.worker;
        state.count_in(link);
        link.casts.post(Cast::Join(self.shared.id, session.clone()));
        link.mailbox.wake();
        Ok(true)
    }

    /// Ends the session's membership. False when it was no member.
    pub fn leave(&self, session: &Session) -> bool {
        self.shared.remove(session)
    }

    /// Makes a resumable session a member. It stays one while its client is away, and then receives
    /// what it missed. A broadcast is kept for it if [`ResumeConfig::replay_bytes_max`] lets it;
    /// otherwise the conversation is kicked, since it could not go on without a gap. False when it
    /// is a member already, or has ended.
    ///
    /// [`ResumeConfig::replay_bytes_max`]: crate::ResumeConfig::replay_bytes_max
    pub fn join_conversation(&self, conversation: &Conversation) -> bool {
        let mut state = self.shared.state.lock();
        if state.conversations.contains_key(&conversation.id())
            || !conversation.note_joined(&self.shared)
        {
            return false;
        }
        state
            .conversations
            .insert(conversation.id(), conversation.clone());
        true
    }

    /// Ends a resumable session's membership. False when it was no member.
    pub fn leave_conversation(&self, conversation: &Conversation) -> bool {
        self.shared.remove_conversation(conversation)
    }

    /// Whether the session is a member.
    #[must_use]
    pub fn contains(&self, session: &Session) -> bool {
        self.shared.state.lock().members.contains_key(&session.id())
    }

    /// Members now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members now, in no particular order.
    #[must_use]
    pub fn members(&self) -> Vec<Session> {
        let state = self.shared.state.lock();
        state.members.values().cloned().collect()
    }

    /// Sends a message to all members: encoded once, and not at all when there are none. How many
    /// members it is queued for; those that end meanwhile do not receive it.
    ///
    /// # Errors
    /// When the frame is too large, or too many broadcasts wait; nobody receives it then.
    pub fn broadcast<M: prost::Message>(
        &self,
        id: PacketId,
        message: &M,
    ) -> Result<usize, SendError> {
        self.cast(None, None, || shared_frame(id, message))
    }

    /// As [`Room::broadcast`], but not to `except`, who may be no member as well.
    ///
    /// # Errors
    /// As [`Room::broadcast`].
    pub fn broadcast_except<M: prost::Message>(
        &self,
        except: &Session,
        id: PacketId,
        message: &M,
    ) -> Result<usize, SendError> {
        self.cast(Some(except), None, || shared_frame(id, message))
    }

    /// Sends a payload as it is to all members; copied once.
    ///
    /// # Errors
    /// As [`Room::broadcast`].
    pub fn broadcast_bytes(&self, id: PacketId, payload: &[u8]) -> Result<usize, SendError> {
        self.cast(None, None, || shared_frame_of(id, payload))
    }

    /// Sends a frame that was encoded before to all members but `except`.
    ///
    /// # Errors
    /// When too many broadcasts wait.
    pub fn broadcast_shared(
        &self,
        frame: &SharedFrame,
        except: Option<&Session>,
    ) -> Result<usize, SendError> {
        self.cast(except, None, || Ok(frame.clone()))
    }

    /// As [`Room::broadcast`], of a message of which only the latest with the same `key` matters:
    /// see [`Session::send_keyed`]. Resumable members receive all of them.
    ///
    /// # Errors
    /// As [`Room::broadcast`].
    pub fn broadcast_keyed<M: prost::Message>(
        &self,
        key: u64,
        id: PacketId,
        message: &M,
    ) -> Result<usize, SendError> {
        self.cast(None, Some(key), || shared_frame(id, message))
    }

    fn cast(
        &self,
        except: Option<&Session>,
        key: Option<u64>,
        encode: impl FnOnce() -> Result<SharedFrame, SendError>,
    ) -> Result<usize, SendError> {
        if self.is_empty() {
            return Ok(0);
        }
        // Before the lock is taken: an encoder may be slow, or use the room.
        let frame = encode()?;
        let state = self.shared.state.lock();
        check_room_for_casts(state.workers.iter().map(|(link, _)| link))?;
        for (link, _) in &state.workers {
            link.casts.post(Cast::Frame {
                to: Some(self.shared.id),
                frame: frame.clone(),
                key,
                except: except.map(Session::id),
            });
            link.mailbox.wake();
        }
        if let Some((link, _)) = state.workers.first() {
            link.service.broadcasts.add_shared(1);
        }
        for conversation in state.conversations.values() {
            if conversation.send_shared(frame.clone()).is_err() {
                conversation.kick(RESUME_REFUSED, "more was sent than is kept");
            }
        }
        let excepted = except.is_some_and(|except| state.members.contains_key(&except.id()));
        Ok(state.len() - usize::from(excepted))
    }
}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        self.shared.id == other.shared.id
    }
}

impl Eq for Room {}

/// Refuses a cast when one of the workers has too many waiting.
pub(crate) fn check_room_for_casts<'a>(
    mut links: impl Iterator<Item = &'a Arc<WorkerLink>>,
) -> Result<(), SendError> {
    let full = links.find(|link| link.casts.waiting() >= CASTS_WAITING_MAX);
    full.map_or(Ok(()), |_| {
        Err(SendError::TooManyBroadcasts {
            limit: CASTS_WAITING_MAX,
        })
    })
}

impl RoomShared {
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Takes a resumable session out. False when it was not in.
    pub(crate) fn remove_conversation(&self, conversation: &Conversation) -> bool {
        let mut state = self.state.lock();
        let was_in = state.conversations.remove(&conversation.id()).is_some();
        conversation.note_left(self);
        was_in
    }

    /// Takes a session out. False when it was not in.
    pub(crate) fn remove(&self, session: &Session) -> bool {
        let mut state = self.state.lock();
        if state.members.remove(&session.id()).is_none() {
            return false;
        }
        session.shared().note_left(self);
        let link = &session.shared().context.worker;
        state.count_out(link);
        link.casts.post(Cast::Leave(self.id, session.id()));
        link.mailbox.wake();
        true
    }
}

impl std::fmt::Debug for RoomShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("id", &self.id.0)
            .finish_non_exhaustive()
    }
}

impl State {
    fn len(&self) -> usize {
        self.members.len() + self.conversations.len()
    }

    fn count_in(&mut self, link: &Arc<WorkerLink>) {
        let mut workers = self.workers.iter_mut();
        match workers.find(|(worker, _)| Arc::ptr_eq(worker, link)) {
            Some((_, members)) => *members += 1,
            None => self.workers.push((link.clone(), 1)),
        }
    }

    fn count_out(&mut self, link: &Arc<WorkerLink>) {
        let mut workers = self.workers.iter();
        if let Some(at) = workers.position(|(worker, _)| Arc::ptr_eq(worker, link)) {
            self.workers[at].1 -= 1;
            if self.workers[at].1 == 0 {
                self.workers.swap_remove(at);
            }
        }
    }
}
