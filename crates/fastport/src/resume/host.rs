//! The server's side of resumable sessions: a handler above a handler.
//!
//! Runs on the threads that handlers run on, and on one of its own that ends what nobody came back
//! to.

use crate::lock::{Condvar, Mutex};
use crate::resume::endpoint::{Endpoint, Inbound, is_survived};
use crate::resume::token::Token;
use crate::rooms::room::RoomShared;
use crate::session::handle::{shared_frame, shared_frame_of};
use crate::{CloseReason, Error, Handler, Packet, PacketId, SendError, Session};
use fastport_buffer::SharedFrame;
use fastport_protocol::session::{Handled, Hello, Welcome};
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long and how much is kept for a client that may come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResumeConfig {
    /// For how long a session without a connection is kept; more than 0. Default 30 s.
    pub keep: Duration,
    /// Bytes that are kept for sending again, from 1 KiB to 1 GiB; the other side has its own. A
    /// send above it is refused, a message that is larger always. Default 64 KiB.
    pub replay_bytes_max: usize,
    /// Pauses that may have begun within `keep`, over all sessions; a session whose connection ends
    /// above it ends. At most 16,777,216; with 0 no session outlives its connection. Default
    /// 10,000.
    pub pauses_max: usize,
}

impl Default for ResumeConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(30),
            replay_bytes_max: 64 * 1024,
            pauses_max: 10_000,
        }
    }
}

/// An application's side of resumable sessions. Calls for one conversation come one at a time:
/// `on_opened` once and first, `on_ended` once and last. A handler that blocks also holds up a
/// connection that its client makes anew.
pub trait ResumeHandler: Send + Sync + 'static {
    /// A client began a conversation.
    fn on_opened(&self, conversation: &Conversation) {
        let _ = conversation;
    }

    /// A packet arrived, for the first and only time.
    fn on_packet(&self, conversation: &Conversation, packet: Packet<'_>);

    /// The connection ended; the client may come back. What is sent meanwhile is kept.
    fn on_suspended(&self, conversation: &Conversation, reason: CloseReason) {
        let _ = (conversation, reason);
    }

    /// The client came back, and receives what it lacks.
    fn on_resumed(&self, conversation: &Conversation) {
        let _ = conversation;
    }

    /// The conversation is over: a side meant it, or the client did not come back in time. The
    /// reason is that of its last connection.
    fn on_ended(&self, conversation: &Conversation, reason: CloseReason) {
        let _ = (conversation, reason);
    }
}

/// A session that outlives its connections. Clones name the same one; any thread.
///
/// What one thread sends arrives once and in its order, whatever becomes of the connections, as
/// long as the conversation lives. That it was taken does not mean that the client has handled it:
/// what had not when the conversation ends is lost.
#[derive(Clone)]
pub struct Conversation {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    token: Token,
    endpoint: Endpoint,
    attached: OnceLock<Box<dyn Any + Send + Sync>>,
    /// The rooms that it is in; none any more when it has ended.
    rooms: Mutex<Option<Vec<Arc<RoomShared>>>>,
}

impl Conversation {
    /// Its number: unique in the process, never reused, not a secret.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Sends a message. Does not block. While there is no connection it is kept.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] when the conversation is over, [`SendError::Overflow`] when the
    /// client has [`ResumeConfig::replay_bytes_max`] bytes to handle; nothing is sent or kept then.
    pub fn send<M: prost::Message>(&self, id: PacketId, message: &M) -> Result<(), SendError> {
        self.send_shared(shared_frame(id, message)?)
    }

    /// Sends a payload as it is.
    ///
    /// # Errors
    /// As [`Conversation::send`].
    pub fn send_bytes(&self, id: PacketId, payload: &[u8]) -> Result<(), SendError> {
        self.send_shared(shared_frame_of(id, payload)?)
    }

    /// Sends a frame that was encoded once for many.
    ///
    /// # Errors
    /// As [`Conversation::send`].
    pub fn send_shared(&self, frame: SharedFrame) -> Result<(), SendError> {
        self.shared.endpoint.send(frame)
    }

    /// Ends the conversation and tells the client why. What it has not handled yet may be lost. A
    /// client that is not connected is refused when it comes back, and `on_ended` follows when it
    /// has had its time.
    pub fn kick(&self, code: u16, text: &str) {
        match self.shared.endpoint.session() {
            Some(session) => session.kick(code, text),
            None => drop(self.shared.endpoint.end()),
        }
    }

    /// Notes that it is in a room. False when it has ended.
    pub(crate) fn note_joined(&self, room: &Arc<RoomShared>) -> bool {
        let mut rooms = self.shared.rooms.lock();
        rooms
            .as_mut()
            .map(|rooms| rooms.push(room.clone()))
            .is_some()
    }

    /// Notes that it is not in a room any more.
    pub(crate) fn note_left(&self, room: &RoomShared) {
        if let Some(rooms) = &mut *self.shared.rooms.lock() {
            rooms.retain(|other| !other.is(room));
        }
    }

    /// Whether the client is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.endpoint.session().is_some()
    }

    /// Bytes that are kept because the client has not told that it handled them.
    #[must_use]
    pub fn unhandled_bytes(&self) -> usize {
        self.shared.endpoint.unhandled_bytes()
    }

    /// Attaches a value of the application's, once. False, and dropped, when one is there.
    pub fn attach<T: Any + Send + Sync>(&self, value: T) -> bool {
        self.shared.attached.set(Box::new(value)).is_ok()
    }

    /// The attached value, if there is one and it is a `T`.
    #[must_use]
    pub fn attached<T: Any>(&self) -> Option<&T> {
        self.shared.attached.get()?.downcast_ref()
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}

/// The code by which a client is told that there is nothing to go on with: a token that is not
/// known, or not any more, or a count that can not be.
pub const RESUME_REFUSED: u16 = 900;

/// A [`Handler`] that makes its sessions resumable. Clients begin with a hello, as
/// [`ResumingClient`](crate::ResumingClient) does; others are refused. Dropping it ends what is
/// suspended.
pub struct Resumable {
    hall: Arc<Hall>,
    reaper: Option<JoinHandle<()>>,
}

struct Hall {
    handler: Box<dyn ResumeHandler>,
    config: ResumeConfig,
    table: Mutex<HashMap<[u8; 16], Conversation>>,
    pauses: Mutex<Pauses>,
    changed: Condvar,
    started: Instant,
}

#[derive(Default)]
struct Pauses {
    /// In the order of their ends, since all last the same.
    queue: VecDeque<Pause>,
    stopping: bool,
}

struct Pause {
    until: Duration,
    conversation: Conversation,
    epoch: u64,
    reason: CloseReason,
}

static NEXT_CONVERSATION: AtomicU64 = AtomicU64::new(1);

impl Resumable {
    /// Makes the sessions of `handler` resumable.
    ///
    /// # Errors
    /// A setting that is out of range; a thread that can not be started.
    pub fn new(config: ResumeConfig, handler: impl ResumeHandler) -> Result<Self, Error> {
        config.validate()?;
        let hall = Arc::new(Hall {
            handler: Box::new(handler),
            config,
            table: Mutex::default(),
            pauses: Mutex::default(),
            changed: Condvar::new(),
            started: Instant::now(),
        });
        let name = "fastport-resume".to_owned();
        let mine = hall.clone();
        let reaper = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || mine.reap())
            .map_err(|source| Error::Thread { name, source })?;
        Ok(Self {
            hall,
            reaper: Some(reaper),
        })
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        self.hall.pauses.lock().stopping = true;
        self.hall.changed.notify_all();
        // Dropped by a handler on that very thread, it can not be waited for.
        if let Some(reaper) = self.reaper.take()
            && reaper.thread().id() != std::thread::current().id()
        {
            // A panic of a handler on it has been reported by the panic hook.
            let _ = reaper.join();
        }
    }
}

impl fmt::Debug for Resumable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumable")
            .field("conversations", &self.hall.table.lock().len())
            .finish_non_exhaustive()
    }
}

impl Handler for Resumable {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if packet.id() == PacketId::RESUME_HELLO {
            return match packet.message::<Hello>() {
                Ok(hello) if session.attached::<Conversation>().is_none() => {
                    self.hall.greet(session, &hello);
                }
                Ok(_) => refuse(session, "a second hello"),
                Err(_) => session.reject_undecodable(packet.id()),
            };
        }
        let Some(conversation) = session.attached::<Conversation>() else {
            return refuse(session, "no hello");
        };
        let endpoint = &conversation.shared.endpoint;
        if packet.id() == PacketId::RESUME_HANDLED {
            match packet.message::<Handled>() {
                Ok(handled) if endpoint.forget(handled.received) => {}
                // An old connection's count may come behind that of the new one's hello.
                Ok(_) if !self.hall.is_current(conversation, session) => {}
                Ok(_) => refuse(session, "a count that can not be"),
                Err(_) => session.reject_undecodable(packet.id()),
            }
            return;
        }
        // The lock is held until the handler is done.
        if let Some(_inbound) = endpoint.count(session, packet.frame().len()) {
            self.hall.handler.on_packet(conversation, packet);
        }
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        if let Some(conversation) = session.attached::<Conversation>() {
            self.hall.leave(conversation, session, reason);
        }
    }
}

fn refuse(session: &Session, why: &str) {
    session.kick(RESUME_REFUSED, why);
}

impl Hall {
    fn greet(&self, session: &Session, hello: &Hello) {
        if hello.token.is_empty() {
            self.open(session);
        } else if !self.resume(session, hello) {
            refuse(session, "there is no such session to resume");
        }
    }

    fn open(&self, session: &Session) {
        let token = match Token::random() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "no random numbers for a session's token");
                return refuse(session, "the server can not make a session");
            }
        };
        let conversation = Conversation {
            shared: Arc::new(Shared {
                id: NEXT_CONVERSATION.fetch_add(1, Ordering::Relaxed),
                token,
                endpoint: Endpoint::new(self.config.replay_bytes_max),
                attached: OnceLock::new(),
                rooms: Mutex::new(Some(Vec::new())),
            }),
        };
        let _ = session.attach(conversation.clone());
        self.table.lock().insert(token.name, conversation.clone());
        let endpoint = &conversation.shared.endpoint;
        let mut inbound = endpoint.inbound.lock();
        endpoint.attach(&mut inbound, session, 0, |session| {
            welcome(session, &token, false, 0);
        });
        self.handler.on_opened(&conversation);
    }

    fn resume(&self, session: &Session, hello: &Hello) -> bool {
        let Some(token) = Token::from_bytes(&hello.token) else {
            return false;
        };
        let found = self.table.lock().get(&token.name).cloned();
        let Some(conversation) = found.filter(|found| found.shared.token.is(&token)) else {
            return false;
        };
        let endpoint = &conversation.shared.endpoint;
        // Waits for a packet that the old connection's handler has.
        let mut inbound = endpoint.inbound.lock();
        let handled = inbound.received;
        let attached = endpoint.attach(&mut inbound, session, hello.received, |session| {
            // Before the first send: what comes in answer finds it.
            let _ = session.attach(conversation.clone());
            welcome(session, &token, true, handled);
        });
        if attached {
            self.handler.on_resumed(&conversation);
        }
        attached
    }

    fn is_current(&self, conversation: &Conversation, session: &Session) -> bool {
        let inbound = conversation.shared.endpoint.inbound.lock();
        inbound.current == Some(session.id())
    }

    /// A connection has ended: the conversation waits for another, or ends as well.
    fn leave(&self, conversation: &Conversation, session: &Session, reason: CloseReason) {
        let endpoint = &conversation.shared.endpoint;
        let mut inbound = endpoint.inbound.lock();
        if !endpoint.detach(&mut inbound, session) {
            return;
        }
        let pause = Pause {
            until: self.started.elapsed() + self.config.keep,
            conversation: conversation.clone(),
            epoch: inbound.epoch,
            reason,
        };
        if is_survived(reason) && self.keep(pause) {
            self.handler.on_suspended(conversation, reason);
        } else {
            self.end(conversation, &mut inbound, reason);
        }
    }

    /// Whether there is room for one more pause.
    fn keep(&self, pause: Pause) -> bool {
        let mut pauses = self.pauses.lock();
        if pauses.stopping || pauses.queue.len() >= self.config.pauses_max {
            return false;
        }
        pauses.queue.push_back(pause);
        self.changed.notify_all();
        true
    }

    /// Under the inbound lock, so that the handler is told last.
    fn end(&self, conversation: &Conversation, inbound: &mut Inbound, reason: CloseReason) {
        // Nobody waits for it any more, and nobody finds it.
        inbound.epoch += 1;
        self.table.lock().remove(&conversation.shared.token.name);
        let left = conversation.shared.endpoint.end();
        debug_assert!(left.is_none(), "a conversation ended under its connection");
        let rooms = conversation.shared.rooms.lock().take();
        for room in rooms.into_iter().flatten() {
            room.remove_conversation(conversation);
        }
        self.handler.on_ended(conversation, reason);
    }

    /// Ends the conversations whose clients did not come back, until the host goes.
    fn reap(&self) {
        while let Some(pause) = self.next_over() {
            let endpoint = &pause.conversation.shared.endpoint;
            let mut inbound = endpoint.inbound.lock();
            if inbound.epoch == pause.epoch && inbound.current.is_none() {
                self.end(&pause.conversation, &mut inbound, pause.reason);
            }
        }
    }

    /// The next pause that is over; blocks until there is one. All are, when the host goes.
    fn next_over(&self) -> Option<Pause> {
        let mut pauses = self.pauses.lock();
        loop {
            let left = pauses
                .queue
                .front()
                .map(|pause| pause.until.saturating_sub(self.started.elapsed()));
            match left {
                Some(left) if left.is_zero() || pauses.stopping => {
                    return pauses.queue.pop_front();
                }
                None if pauses.stopping => return None,
                Some(left) => {
                    self.changed.wait_for(&mut pauses, left);
                }
                None => self.changed.wait(&mut pauses),
            }
        }
    }
}

fn welcome(session: &Session, token: &Token, resumed: bool, received: u64) {
    let message = Welcome {
        token: token.to_bytes().into(),
        resumed,
        received,
    };
    // A connection that has ended already is told by its end.
    let _ = session.send(PacketId::RESUME_WELCOME, &message);
}
