//! The readiness fallback of Unix: completions emulated over epoll or kqueue.
//!
//! A key with something to do is on a list; the calls are made one by one as [`Engine::next_event`]
//! asks for events, so that a chunk that is given back at once is read into again at once. "In
//! flight" means here that something was asked for and is not reported: the kernel itself holds
//! nothing between two calls, and a close is done when it returns.
//!
//! ```text
//!   edge, or something was asked for       an event              nothing more to do
//!  ------------------------------> ready ----------> ready ... --------------------> idle
//!                                    ^  |
//!      next turn, after the others   |  +--- budget spent ----> later --+
//!                                    |  +--- no buffer left --> starved |
//!                                    +----------------------------------+
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `poller` | the system's queue of edges, and the waker |
//! | `slots` | the connections and listeners |
//! | `accept`, `receive`, `send` | the calls, and the events that they lead to |

mod accept;
mod poller;
mod receive;
mod send;
mod slots;

pub use poller::PollWaker;

use crate::slab::Slab;
use crate::{
    CloseMode, Drained, Engine, EngineConfig, EngineError, InFlight, Key, ListenConfig, Op,
    SocketOptions, Wait,
};
use fastport_buffer::{Chunk, ChunkStore, SendBatch};
use poller::Poller;
use send::Sent;
use slots::{Role, Slot};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

type Event = crate::Event<TcpStream>;

/// Events of one turn, so that a key which always has one does not keep the worker from its timers.
const EVENTS_PER_TURN: u32 = 4096;

/// One worker's readiness engine.
pub struct PollEngine {
    poller: Poller,
    slots: Slab<Slot>,
    chunks: ChunkStore,
    /// Sends that ended at once. They come before keys that wait to be read: what was sent may be
    /// the buffer that those need.
    sent: VecDeque<Sent>,
    /// Keys to be served in this turn.
    ready: VecDeque<Key>,
    /// Whether the last turn began with a look into the kernel's queue.
    asks_kernel: bool,
    /// Keys whose budget is spent.
    later: Vec<Key>,
    /// Keys that have bytes to read and found no buffer.
    starved: Vec<Key>,
    starved_wait: Duration,
    /// Listeners that failed for want of descriptors or memory.
    paused_listeners: Vec<Key>,
    /// A key was closed while they paused, so that a descriptor may be free.
    closed_since: bool,
    accept_retry_min: Duration,
    accept_retry_max: Duration,
    receive_budget: usize,
    /// What was asked for and is not reported yet.
    operations: usize,
    turn: u64,
    events_left: u32,
    now: Instant,
}

/// What serving a ready key came to.
enum Served {
    /// This happened; there may be more.
    Event(Event),
    /// Nothing is to be done until the next edge or request.
    Idle,
    /// The others come first.
    NextTurn,
    /// There is no buffer to read into.
    Starved,
}

impl PollEngine {
    /// Puts a key on the list of those to be served, unless it is there.
    #[inline]
    fn enqueue(&mut self, key: Key) {
        if let Some(slot) = self.slots.find(key)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push_back(key);
        }
    }

    /// The next thing that a ready key leads to.
    #[inline]
    fn serve(&mut self, key: Key) -> Served {
        let Some(slot) = self.slots.find(key) else {
            return Served::Idle;
        };
        if slot.in_flight == InFlight::Closed {
            self.slots.free(key);
            return Served::Event(Event::Closed { key });
        }
        if slot.in_flight.has(Op::Connect) {
            return self.finish_connect(key);
        }
        match slot.role {
            Role::Listener(_) => self.accept(key),
            _ if slot.sending.is_empty() => self.receive(key),
            _ => match self.continue_send(key) {
                Some((batch, result)) => Served::Event(Event::Sent { key, batch, result }),
                None => self.receive(key),
            },
        }
    }

    /// Notes what the poller told.
    fn note_edges(&mut self) {
        for edge in self.poller.edges() {
            let Some(key) = self.slots.key_at(edge.index) else {
                continue;
            };
            let Some(slot) = self.slots.find(key) else {
                continue;
            };
            slot.readable |= edge.readable;
            slot.writable |= edge.writable;
            slot.read_to_end |= edge.read_to_end;
            if slot.has_work() && !slot.queued {
                slot.queued = true;
                self.ready.push_back(key);
            }
        }
    }

    /// Whether there is something to tell or to try without a look into the kernel's queue.
    fn has_events(&self) -> bool {
        !self.ready.is_empty() || !self.sent.is_empty()
    }

    /// How long the poller may wait: as asked, and not past what the engine itself has to do.
    fn timeout(&mut self, wait: Wait) -> Option<Duration> {
        let starving = self.feed_starved();
        let retry = self.retry_accepts();
        if self.has_events() || !self.later.is_empty() {
            return Some(Duration::ZERO);
        }
        let timeout = wait.timeout(retry);
        let starved = starving.then_some(self.starved_wait);
        [timeout, starved].into_iter().flatten().min()
    }

    /// Ends every key without telling.
    fn close_all(&mut self) {
        for key in self.slots.keys() {
            self.close(key, CloseMode::Orderly);
        }
        debug_assert_eq!(self.operations, 0, "a close left something in flight");
    }
}

impl Engine for PollEngine {
    /// Non-blocking, and known to no poller.
    type Accepted = TcpStream;
    type Waker = PollWaker;
    const NAME: &'static str = "poll";
    /// Each send is a call of its own in any case.
    const EVENTS_PER_SUBMIT: usize = 32;

    fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let poller = Poller::open().map_err(|source| EngineError::Setup {
            action: "make the readiness queue",
            source,
        })?;
        Ok(Self {
            poller,
            slots: Slab::default(),
            chunks: ChunkStore::new(config.chunks, config.chunk_bytes),
            sent: VecDeque::new(),
            ready: VecDeque::new(),
            asks_kernel: true,
            later: Vec::new(),
            starved: Vec::new(),
            starved_wait: receive::STARVED_WAIT_MIN,
            paused_listeners: Vec::new(),
            closed_since: false,
            accept_retry_min: config.accept_retry_min,
            accept_retry_max: config.accept_retry_max,
            receive_budget: config.receive_budget,
            operations: 0,
            turn: 1,
            events_left: EVENTS_PER_TURN,
            now: Instant::now(),
        })
    }

    fn waker(&self) -> PollWaker {
        self.poller.waker()
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn listen(&mut self, on: &ListenConfig) -> Result<(Key, SocketAddr), EngineError> {
        let address = on.address;
        self.start_listening(on)
            .map_err(|source| EngineError::Listen { address, source })
    }

    fn connect(&mut self, to: SocketAddr, options: &SocketOptions) -> Result<Key, EngineError> {
        self.start_connecting(to, options)
    }

    /// On Linux the options are those of the listener, which its sockets inherited (`tcp(7)`).
    fn adopt(&mut self, socket: TcpStream, options: &SocketOptions) -> Result<Key, EngineError> {
        self.adopt_stream(socket, options)
            .map_err(|source| EngineError::Adopt { source })
    }

    fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        let slot = self.slots.look(key);
        let stream = slot.and_then(|slot| slot.stream());
        stream.ok_or(io::ErrorKind::NotConnected)?.peer_addr()
    }

    fn arm_recv(&mut self, key: Key) {
        self.want_receive(key);
    }

    fn pause_recv(&mut self, key: Key) {
        self.pause_receive(key);
    }

    #[inline]
    fn recycle(&mut self, chunk: Chunk) {
        self.chunks.recycle(chunk);
    }

    fn is_chunk_scarce(&self) -> bool {
        self.chunks.is_scarce()
    }

    fn send(&mut self, key: Key, batch: SendBatch) {
        self.start_send(key, batch);
    }

    fn shutdown_write(&mut self, key: Key) {
        let slot = self.slots.look(key);
        if let Some(stream) = slot.and_then(|slot| slot.stream()) {
            // ENOTCONN after a reset is no error here: the receive tells of the reset.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// All of it happens here, but the report.
    fn close(&mut self, key: Key, mode: CloseMode) {
        let slot = self.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        if let (CloseMode::Abort, Some(stream)) = (mode, slot.stream()) {
            // If it is refused the peer sees FIN, not RST; the close goes on.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        if let Some(source) = slot.source() {
            self.poller.deregister(source);
        }
        slot.role = Role::Closed;
        slot.sending = SendBatch::default();
        let _ = slot.in_flight.close();
        for op in [Op::Accept, Op::Connect, Op::Recv, Op::Send] {
            self.operations -= slot.finish(op);
        }
        self.closed_since |= !self.paused_listeners.is_empty();
        self.enqueue(key);
    }

    /// Everything was handed over when it was asked for.
    fn submit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn submit_and_wait(&mut self, wait: Wait) -> Result<(), EngineError> {
        let timeout = self.timeout(wait);
        // What calls have ended is told first; the kernel is asked one turn later at most.
        self.asks_kernel = !self.has_events() || !self.asks_kernel;
        let outcome = match self.asks_kernel {
            true => self.poller.wait(timeout),
            false => Ok(()),
        };
        self.now = Instant::now();
        self.turn += 1;
        self.events_left = EVENTS_PER_TURN;
        outcome.map_err(|source| EngineError::Queue { source })?;
        if self.asks_kernel {
            self.note_edges();
        }
        self.ready.extend(self.later.drain(..));
        Ok(())
    }

    #[inline]
    fn next_event(&mut self) -> Option<Event> {
        self.events_left.checked_sub(1)?;
        if let Some(sent) = self.next_sent() {
            self.events_left -= 1;
            return Some(sent);
        }
        while let Some(key) = self.ready.front().copied() {
            let served = self.serve(key);
            if let Served::Event(event) = served {
                self.events_left -= 1;
                return Some(event);
            }
            self.ready.pop_front();
            let Some(slot) = self.slots.find(key) else {
                continue;
            };
            slot.queued = matches!(served, Served::NextTurn);
            if slot.queued {
                self.later.push(key);
            } else if matches!(served, Served::Starved) && !slot.starved {
                slot.starved = true;
                self.starved.push(key);
            }
        }
        None
    }

    #[inline]
    fn upcoming(&self, ahead: usize) -> Option<usize> {
        let key = match self.sent.get(ahead) {
            Some(sent) => sent.key,
            None => *self.ready.get(ahead - self.sent.len())?,
        };
        Some(key.index())
    }

    fn in_flight(&self) -> usize {
        self.operations
    }

    fn open_keys(&self) -> usize {
        self.slots.open()
    }

    /// Always clean, and at once.
    fn drain(mut self, _deadline: Instant) -> Drained {
        self.close_all();
        Drained::Clean
    }
}
