//! The IOCP back-end: a completion port per worker, packets in batches, accepts posted in advance.
//!
//! A worker's thread owns the engine and everything in it, and is the only one that takes packets
//! out of its port, so a packet is never handled before the call that began its operation has
//! returned, and nothing here needs a lock. A call that succeeds at once makes no packet where the
//! provider permits that; what it led to is told by [`Engine::next_event`] like the rest.
//!
//! | module | owns |
//! |---|---|
//! | `port` | the completion port, its packets, and wake-ups from other threads |
//! | `operation` | the OVERLAPPED of each operation, and how a packet leads to it |
//! | `winsock`, `settings` | the calls, and what their returns mean |
//! | `turn` | what is served in a turn, and how long it may wait |
//! | `slots` | what is known of each connection and listener |
//! | `buffers` | what is received into |
//! | `steady` | for which connections a receive is posted in advance |
//! | `accept`, `connect`, `receive`, `send`, `close` | what is begun, and what its end leads to |

mod accept;
mod buffers;
mod close;
mod connect;
mod operation;
mod port;
mod receive;
mod send;
mod settings;
mod slots;
mod steady;
mod turn;
mod winsock;

pub use port::IocpWaker;
pub(crate) use settings::claim_address;

use crate::kernel_memory::KernelMemory;
use crate::slab::Slab;
use crate::{
    CloseMode, Drained, Engine, EngineConfig, EngineError, Key, ListenConfig, ReceiveForm,
    SocketOptions, Wait,
};
use buffers::Buffers;
use close::Closing;
use fastport_buffer::{Chunk, SendBatch};
use operation::Operations;
use port::Port;
use slots::{Role, Slot};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::windows::io::OwnedSocket;
use std::time::{Duration, Instant};
use steady::Steady;
use winsock::Extensions;

type Event = crate::Event<OwnedSocket>;

/// What the kernel reads or writes while operations are in flight.
struct Parts {
    slots: Slab<Slot>,
    operations: Operations,
    buffers: Buffers,
}

/// One worker's completion port. It stays on the thread that opened it.
///
/// [`EngineConfig::submission_entries`] and `completion_entries` have no effect: a port has no
/// size.
pub struct IocpEngine {
    port: Port,
    memory: KernelMemory<Parts>,
    /// Keys to be served in this turn.
    ready: VecDeque<Key>,
    /// Whether the last turn began with a look into the port.
    asks_port: bool,
    /// Keys whose budget is spent, or whose turn comes after what is sent for them.
    later: Vec<Key>,
    /// Keys that have bytes to receive and found no buffer.
    starved: Vec<Key>,
    starved_wait: Duration,
    steady: Steady,
    /// Listeners that pause, and sends that the kernel had no memory for.
    retries: Vec<(Instant, Key)>,
    /// Closes that wait for operations, in the order of time.
    closing: VecDeque<Closing>,
    /// A key was closed, so that a socket may be free.
    closed_since: bool,
    accept_retry_min: Duration,
    accept_retry_max: Duration,
    receive_budget: usize,
    receive_form: ReceiveForm,
    skip_completions: bool,
    /// Of the provider of IPv4 sockets, and of that of IPv6.
    extensions: [Option<Extensions>; 2],
    /// Operations that the kernel holds.
    operations: usize,
    /// Receive buffers that the kernel holds.
    posted_buffers: usize,
    turn: u64,
    events_left: u32,
    now: Instant,
    drained: bool,
}

impl IocpEngine {
    /// Receive buffers that the kernel holds now: none for connections that wait for bytes.
    #[must_use]
    pub const fn posted_buffers(&self) -> usize {
        self.posted_buffers
    }

    /// Accepts that the kernel holds now, of a listener; 0 for any other key.
    #[must_use]
    pub fn posted_accepts(&self, listener: Key) -> usize {
        match self.memory.slots.look(listener).map(|slot| &slot.role) {
            Some(Role::Listener(listening)) => listening.posted(),
            _ => 0,
        }
    }

    /// The functions of a socket's provider; asked for once per address family.
    fn extensions(&mut self, socket: &OwnedSocket, of: SocketAddr) -> io::Result<Extensions> {
        let known = &mut self.extensions[usize::from(of.is_ipv6())];
        if let Some(extensions) = *known {
            return Ok(extensions);
        }
        Ok(*known.insert(Extensions::of(socket)?))
    }

    /// Puts a connection or listener into a slot, whose operations are there then.
    fn insert(&mut self, slot: Slot) -> Key {
        let parts = &mut *self.memory;
        let key = parts.slots.insert(slot);
        parts.operations.cover(parts.slots.capacity());
        key
    }

    /// Puts a key on the list of those to be served, unless it is there.
    #[inline]
    fn enqueue(&mut self, key: Key) {
        if let Some(slot) = self.memory.slots.find(key)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Takes over a connected socket.
    fn adopt_socket(&mut self, socket: OwnedSocket, options: &SocketOptions) -> io::Result<Key> {
        let reference = SockRef::from(&socket);
        options.apply(&reference)?;
        // For the receives that do not wait; overlapped operations take no notice.
        reference.set_nonblocking(true)?;
        self.port.associate(&socket)?;
        let skips = self.skip_completions && settings::skip_packets(&socket);
        let mut slot = Slot::new(socket, Role::Session);
        slot.skips = skips;
        Ok(self.insert(slot))
    }
}

impl Engine for IocpEngine {
    /// Known to no port.
    type Accepted = OwnedSocket;
    type Waker = IocpWaker;
    const NAME: &'static str = "iocp";
    const EVENTS_PER_SUBMIT: usize = 64;

    fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let port = Port::open().map_err(|source| EngineError::Setup {
            action: "make the completion port",
            source,
        })?;
        let posted = match config.receive_form {
            ReceiveForm::Adaptive => config.posted_receives,
            ReceiveForm::Direct | ReceiveForm::Overlapped => 0,
        };
        let now = Instant::now();
        Ok(Self {
            port,
            memory: KernelMemory::new(Parts {
                slots: Slab::default(),
                operations: Operations::default(),
                buffers: Buffers::new(config.chunks, config.chunk_bytes, posted),
            }),
            ready: VecDeque::new(),
            asks_port: true,
            later: Vec::new(),
            starved: Vec::new(),
            starved_wait: receive::STARVED_WAIT_MIN,
            steady: Steady::new(posted, now),
            retries: Vec::new(),
            closing: VecDeque::new(),
            closed_since: false,
            accept_retry_min: config.accept_retry_min,
            accept_retry_max: config.accept_retry_max,
            receive_budget: config.receive_budget,
            receive_form: config.receive_form,
            skip_completions: config
                .skip_completions
                .unwrap_or_else(|| !settings::is_wine()),
            extensions: [None; 2],
            operations: 0,
            posted_buffers: 0,
            turn: 1,
            events_left: turn::EVENTS_MAX,
            now,
            drained: false,
        })
    }

    fn waker(&self) -> IocpWaker {
        self.port.waker()
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
            .map_err(|source| EngineError::Connect {
                address: to,
                source,
            })
    }

    fn adopt(&mut self, socket: OwnedSocket, options: &SocketOptions) -> Result<Key, EngineError> {
        self.adopt_socket(socket, options)
            .map_err(|source| EngineError::Adopt { source })
    }

    fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        let slot = self.memory.slots.look(key);
        let socket = slot.and_then(|slot| slot.socket.as_ref());
        let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
        let address = SockRef::from(socket).peer_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::Error::other("not an internet address"))
    }

    fn arm_recv(&mut self, key: Key) {
        self.want_receive(key);
    }

    fn pause_recv(&mut self, key: Key) {
        self.pause_receive(key);
    }

    #[inline]
    fn recycle(&mut self, chunk: Chunk) {
        self.memory.buffers.recycle(chunk);
    }

    fn is_chunk_scarce(&self) -> bool {
        self.memory.buffers.is_scarce()
    }

    fn send(&mut self, key: Key, batch: SendBatch) {
        self.start_send(key, batch);
    }

    fn shutdown_write(&mut self, key: Key) {
        self.half_close(key);
    }

    fn close(&mut self, key: Key, mode: CloseMode) {
        self.start_close(key, mode);
    }

    /// Everything was handed over when it was asked for.
    fn submit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn submit_and_wait(&mut self, wait: Wait) -> Result<(), EngineError> {
        let timeout = self.timeout(wait);
        // What needs no packet is done first; the port is asked one turn later at most.
        let idle = self.ready.is_empty() && self.later.is_empty();
        self.asks_port = idle || !self.asks_port;
        let outcome = match self.asks_port {
            true => self.port.harvest(timeout),
            false => Ok(()),
        };
        self.now = Instant::now();
        self.look_at_steady();
        self.turn += 1;
        self.events_left = turn::EVENTS_MAX;
        self.ready.extend(self.later.drain(..));
        outcome.map_err(|source| EngineError::Queue { source })
    }

    #[inline]
    fn next_event(&mut self) -> Option<Event> {
        self.next_of_turn()
    }

    fn in_flight(&self) -> usize {
        self.operations
    }

    fn open_keys(&self) -> usize {
        self.memory.slots.open()
    }

    fn drain(mut self, deadline: Instant) -> Drained {
        self.wind_down(deadline)
    }
}

impl Drop for IocpEngine {
    fn drop(&mut self) {
        if !self.drained {
            // Dropped without a drain, perhaps by a panic: what ends at once is freed, the rest
            // leaked.
            self.wind_down(Instant::now() + close::DROP_PATIENCE);
        }
    }
}
