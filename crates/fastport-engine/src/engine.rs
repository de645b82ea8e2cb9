//! The interface of all back-ends: completions, whatever the system offers.
//!
//! It speaks in armed receives and whole sends, so that each back-end can use its best form. Events
//! are pulled, not pushed: whoever handles one may use the engine, and nothing is re-entrant. All
//! methods run on the thread that opened the engine and none blocks but
//! [`Engine::submit_and_wait`].
//!
//! What holds on every back-end (`tests/conformance` checks it):
//!
//! * [`Event::Closed`] comes exactly once for each key for which [`Engine::close`] was called, as
//!   its last event, and only when the kernel holds nothing of it: no buffer, no operation, no
//!   descriptor.
//! * After `close` only `Closed` comes for the key. A batch in flight is freed by the engine.
//! * At most one receive and one send are outstanding for a key.
//! * A batch given to [`Engine::send`] comes back whole in [`Event::Sent`], unless the key is
//!   closed first.
//! * Events of one key keep their order; between keys there is none.
//! * A method that names a stale key does nothing.
//! * What fails with a connection becomes an event; [`EngineError`] is for the engine.

use crate::{EngineError, Key, SocketOptions};
use fastport_buffer::{Chunk, SendBatch};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What an engine is made with. Sizes are per worker.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Connections that the worker is sized for; more work, slower.
    pub sessions_max: u32,
    /// Bytes of one receive buffer.
    pub chunk_bytes: usize,
    /// Receive buffers, 2 to 32,768; io_uring rounds up to a power of two.
    pub chunks: u16,
    /// Bytes that one connection may receive before the others get their turn.
    pub receive_budget: usize,
    /// Entries of the submission queue, where there is one.
    pub submission_entries: u32,
    /// Entries of the completion queue, where there is one; `None` derives it from `sessions_max`.
    pub completion_entries: Option<u32>,
    /// Connections whose sockets are kept in the ring's table of files, as direct descriptors, and
    /// take none of the process's (io_uring): accepted ones, from when they are first received
    /// from. At most as many as the process may have descriptors, and none before Linux 6.13; what
    /// is beyond takes ordinary ones. 0 is none.
    pub direct_descriptors: u32,
    /// How long an accept that failed for want of descriptors or memory waits before it is tried
    /// again; doubled on each failure.
    pub accept_retry_min: Duration,
    /// The most that `accept_retry_min` grows to.
    pub accept_retry_max: Duration,
    /// How bytes are received (IOCP).
    pub receive_form: ReceiveForm,
    /// Connections that may have a receive posted in advance with [`ReceiveForm::Adaptive`]; each
    /// has a page of memory pinned while it does. 0 is the same as [`ReceiveForm::Direct`] (IOCP).
    pub posted_receives: u16,
    /// Whether operations that succeed at once are told by the call alone, without a packet (IOCP).
    /// Where the network provider does not permit it there is always a packet. `None` is yes, but
    /// not under Wine, which now and then loses a notice then.
    pub skip_completions: Option<bool>,
}

/// How a completion port receives. Either way a connection without traffic holds no buffer: what
/// waits is a receive of no bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum ReceiveForm {
    /// As `Direct` at first and again after a pause; while bytes keep coming for a connection, a
    /// receive with a buffer is posted in advance, for a bounded number of connections.
    #[default]
    Adaptive,
    /// When there are bytes they are read by calls that do not wait: no receive buffer is ever the
    /// kernel's.
    Direct,
    /// When there are bytes an overlapped receive takes them: one more completion each, unless it
    /// is skipped.
    Overlapped,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            sessions_max: 10_000,
            chunk_bytes: 32 * 1024,
            chunks: 256,
            receive_budget: 256 * 1024,
            submission_entries: 1024,
            completion_entries: None,
            direct_descriptors: 0,
            accept_retry_min: Duration::from_millis(10),
            accept_retry_max: Duration::from_secs(1),
            receive_form: ReceiveForm::default(),
            posted_receives: 1024,
            skip_completions: None,
        }
    }
}

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Connections that the kernel keeps before they are accepted; the system may clamp it.
    pub backlog: u32,
    /// Accepts posted in advance, where the system works that way (IOCP).
    pub accepts_posted: u16,
    /// How long the kernel keeps a connection to itself until its first bytes come, in whole
    /// seconds, rounded up; zero has every connection accepted at once. See
    /// [`socket::listening`](crate::socket::listening).
    pub defer_accept: Duration,
    /// Options for accepted sockets.
    pub socket: SocketOptions,
}

impl ListenConfig {
    /// The origin's defaults: backlog 1024, 256 accepts posted, NODELAY and keep-alive on.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            backlog: 1024,
            accepts_posted: 256,
            defer_accept: Duration::ZERO,
            socket: SocketOptions::default(),
        }
    }
}

/// Something that happened. `S` is the engine's accepted socket.
#[derive(Debug)]
pub enum Event<S> {
    /// A connection came in. The socket belongs to nobody yet: [`Engine::adopt`] it on any worker,
    /// or drop it to close it.
    Accepted {
        /// The listener that it came by.
        listener: Key,
        /// The connected socket.
        socket: S,
    },
    /// Accepting failed. The engine waits and goes on by itself; at most one event per pause.
    AcceptFailed {
        /// The listener.
        listener: Key,
        /// What the system said.
        error: io::Error,
    },
    /// The connection that [`Engine::connect`] asked for stands.
    Connected {
        /// The connection.
        key: Key,
    },
    /// Bytes arrived; never none.
    Received {
        /// The connection.
        key: Key,
        /// The bytes. Give it back with [`Engine::recycle`], or drop it.
        chunk: Chunk,
    },
    /// The peer will send no more. No `Received` follows.
    PeerFinished {
        /// The connection.
        key: Key,
    },
    /// A pause took effect: no `Received` follows until [`Engine::arm_recv`].
    RecvPaused {
        /// The connection.
        key: Key,
    },
    /// A send ended. On failure the stream is unusable: close the key.
    Sent {
        /// The connection.
        key: Key,
        /// What was given to [`Engine::send`].
        batch: SendBatch,
        /// Whether all of it went to the kernel.
        result: Result<(), SendFailure>,
    },
    /// The connection failed (refused, reset, ...); it must be closed. Comes at most once.
    Failed {
        /// The connection.
        key: Key,
        /// What the system said.
        error: io::Error,
    },
    /// The last event of a key or a listener.
    Closed {
        /// The connection or listener.
        key: Key,
    },
}

/// How far a send came before it failed.
#[derive(Debug)]
pub struct SendFailure {
    /// Bytes that the kernel took.
    pub sent: usize,
    /// What the system said.
    pub error: io::Error,
}

/// How long [`Engine::submit_and_wait`] may wait for an event.
#[derive(Copy, Clone, Debug)]
pub enum Wait {
    /// Not at all.
    Poll,
    /// Until then.
    Until(Instant),
    /// Until something happens.
    Forever,
}

impl Wait {
    /// How long that is from now, but not past what the engine itself has to do then.
    pub(crate) fn timeout(self, own: Option<Instant>) -> Option<Duration> {
        let asked = match self {
            Self::Poll => return Some(Duration::ZERO),
            Self::Until(deadline) => Some(deadline),
            Self::Forever => None,
        };
        let until = [asked, own].into_iter().flatten().min()?;
        Some(until.saturating_duration_since(Instant::now()))
    }
}

/// How to end a connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CloseMode {
    /// Close the descriptor when the kernel holds nothing more: the peer sees FIN, unless it sent
    /// bytes that nobody read (then RST; RFC 1122 4.2.2.13). Half-close and read on first to avoid
    /// that.
    Orderly,
    /// Reset: what is queued in the kernel is discarded and the peer sees RST, where the system
    /// can.
    Abort,
}

/// Wakes a worker from any thread.
pub trait Wake: Send + Sync + 'static {
    /// Makes the current or the next [`Engine::submit_and_wait`] return. Any thread; does not
    /// block; does nothing when the engine is gone.
    fn wake(&self);
}

/// What was left when an engine was drained.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Drained {
    /// The kernel holds nothing.
    Clean,
    /// Some operations did not end in time; their memory was leaked on purpose.
    Leaked {
        /// Outstanding operations.
        operations: usize,
    },
}

/// One worker's completion engine. See the module's page for what holds on every back-end.
pub trait Engine: Sized + 'static {
    /// A connected socket that belongs to no worker; dropping it closes it.
    type Accepted: Send + 'static;
    /// Wakes this engine's worker.
    type Waker: Wake + Clone;
    /// The back-end's name as in `--engine`: `io_uring`, `iocp`, `poll`.
    const NAME: &'static str;
    /// After so many events of a turn the session layer should flush and [`Engine::submit`], so
    /// that what was received goes out while it is warm, and its buffers come back.
    const EVENTS_PER_SUBMIT: usize;

    /// Makes the engine. It stays on the calling thread.
    ///
    /// # Errors
    /// When the system refuses the completion queue or its memory.
    fn open(config: &EngineConfig) -> Result<Self, EngineError>;

    /// The waker of this engine, for other threads.
    fn waker(&self) -> Self::Waker;

    /// The time at which the present turn began; read once per turn.
    fn now(&self) -> Instant;

    /// Starts to accept, until the key is closed. Returns the listener's key and its address.
    ///
    /// # Errors
    /// When the socket can not be made, bound or listened on.
    fn listen(&mut self, on: &ListenConfig) -> Result<(Key, SocketAddr), EngineError>;

    /// Starts to connect: `Connected` or `Failed` follows. There is no time limit: close the key.
    ///
    /// # Errors
    /// When no socket can be made.
    fn connect(&mut self, to: SocketAddr, options: &SocketOptions) -> Result<Key, EngineError>;

    /// Takes over a connected socket. Nothing is received before [`Engine::arm_recv`].
    ///
    /// # Errors
    /// When the system refuses it; the socket is closed.
    fn adopt(
        &mut self,
        socket: Self::Accepted,
        options: &SocketOptions,
    ) -> Result<Key, EngineError>;

    /// The peer's address. Costs a system call.
    ///
    /// # Errors
    /// When the key is stale or the connection is gone already; or when it was accepted and
    /// received from, and became a direct descriptor then.
    fn peer_address(&self, key: Key) -> io::Result<SocketAddr>;

    /// Starts to receive, or goes on after a pause. Does nothing when armed.
    fn arm_recv(&mut self, key: Key);

    /// Stops receiving as soon as possible; `RecvPaused` follows after the last `Received`, unless
    /// the receive ended by itself (`PeerFinished`, `Failed`). Arming before it comes cancels the
    /// pause.
    fn pause_recv(&mut self, key: Key);

    /// Gives a chunk back on the owner's thread; cheaper than dropping it.
    fn recycle(&mut self, chunk: Chunk);

    /// Whether so many receive buffers are lent that holders should copy.
    fn is_chunk_scarce(&self) -> bool;

    /// Sends the batch, all of it, in order; `Sent` follows, never from inside this call.
    ///
    /// # Panics
    /// In debug builds, when a send of the key is outstanding or the batch is empty.
    fn send(&mut self, key: Key, batch: SendBatch);

    /// Half-closes: the peer sees FIN after what was sent. Only while no send is outstanding.
    fn shutdown_write(&mut self, key: Key);

    /// Ends a connection or a listener: outstanding operations are cancelled and reaped, then
    /// `Closed`.
    fn close(&mut self, key: Key, mode: CloseMode);

    /// Hands what was asked for to the kernel without waiting.
    ///
    /// # Errors
    /// When the completion queue is lost.
    fn submit(&mut self) -> Result<(), EngineError>;

    /// Hands what was asked for to the kernel and waits for the first event, as long as `wait`
    /// says. May return early and with nothing.
    ///
    /// # Errors
    /// When the completion queue is lost.
    fn submit_and_wait(&mut self, wait: Wait) -> Result<(), EngineError>;

    /// The next event, or `None` until the next wait.
    fn next_event(&mut self) -> Option<Event<Self::Accepted>>;

    /// The index of the key that the event of some steps `ahead` is probably of, from 1 for the one
    /// that [`Engine::next_event`] returns next. Only a hint, by which the session layer has the
    /// memory of a session fetched before it is needed: there may be no such event, and the key may
    /// be stale. Always `None` for an engine that does not know.
    #[inline]
    fn upcoming(&self, ahead: usize) -> Option<usize> {
        let _ = ahead;
        None
    }

    /// Operations that the kernel holds, wake-up aside.
    fn in_flight(&self) -> usize;

    /// Keys that exist: connections and listeners that were not reported closed.
    fn open_keys(&self) -> usize;

    /// Closes every key, waits for the kernel to let go and frees the engine; at the deadline leaks
    /// what it still holds.
    fn drain(self, deadline: Instant) -> Drained;
}
