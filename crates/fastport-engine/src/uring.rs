//! The io_uring back-end: one ring per worker, multishot accept and receive, one system call per
//! turn.
//!
//! A worker's thread owns the engine and everything in it (SINGLE_ISSUER). Completions appear only
//! while that thread is in the kernel (DEFER_TASKRUN), are turned into events one by one as
//! [`Engine::next_event`] asks for them, and nothing is copied in between.
//!
//! | module | owns |
//! |---|---|
//! | `ring` | the two queues, the system call, and that nothing is lost when one is full |
//! | `ops` | the entry of each operation, with its flags |
//! | `slots` | the connections and listeners |
//! | `table` | which connections are direct descriptors |
//! | `provided_buffers` | the receive memory and the ring by which the kernel gets it |
//! | `send_scratch` | message headers and iovecs until the kernel has copied them |
//! | `waker` | wake-ups from other threads |
//! | `accept`, `receive`, `send`, `close` | what the completions of each operation lead to |
//! | `ahead` | whose completions come next |
//! | `lost_resets` | looking at connections whose reset the kernel may have swallowed |
//! | [`probe`] | whether this machine permits and does all of that |

mod accept;
mod ahead;
mod close;
mod lost_resets;
mod ops;
pub mod probe;
mod provided_buffers;
mod receive;
mod ring;
mod send;
mod send_scratch;
mod slots;
mod table;
mod waker;

pub use waker::UringWaker;

use crate::kernel_memory::KernelMemory;
use crate::slab::Slab;
use crate::{
    CloseMode, Drained, Engine, EngineConfig, EngineError, Event, Key, ListenConfig, Op,
    SocketOptions, Wait, socket,
};
use fastport_buffer::{Chunk, SendBatch};
use io_uring::cqueue;
use lost_resets::Doubts;
use provided_buffers::ProvidedBuffers;
use ring::Ring;
use send_scratch::SendScratch;
use slots::{Receive, Slot};
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use table::Table;
use waker::WakeRead;

/// What the kernel reads or writes while operations are in flight.
struct Parts {
    slots: Slab<Slot>,
    buffers: ProvidedBuffers,
    scratch: SendScratch,
    table: Table,
    wake_read: WakeRead,
    /// Written by looks at connections, never read.
    looked: u8,
}

/// One worker's io_uring. It stays on the thread that opened it:
///
/// ```compile_fail
/// fn must_be_send<T: Send>() {}
/// must_be_send::<fastport_engine::UringEngine>();
/// ```
///
/// [`EngineConfig::receive_budget`] has no effect: the kernel gives other connections their turn
/// after 33 buffers of one (`MULTISHOT_MAX_RETRY`), so the size of a buffer decides.
pub struct UringEngine {
    /// Dropped before `memory`, by the order of these fields.
    ring: Ring,
    memory: KernelMemory<Parts>,
    /// Keys for which an event is due that no completion brings: `Closed`, or `RecvPaused`.
    notices: VecDeque<Key>,
    /// Connections whose receive ended for want of buffers, longest first.
    starved: VecDeque<Key>,
    /// How long a wait may take while connections starve, since nobody wakes us when another thread
    /// drops a chunk.
    starved_wait: Duration,
    /// Connections that may have been reset without a word.
    doubts: Doubts,
    /// Listeners that failed for want of descriptors or memory.
    paused_listeners: Vec<Key>,
    /// A key was closed since, so that a descriptor may be free.
    retry_accepts: bool,
    accept_retry_min: Duration,
    accept_retry_max: Duration,
    /// Operations that the kernel holds, wake-up and cancels aside.
    operations: usize,
    now: Instant,
    drained: bool,
    /// The ring refuses other threads, so the type does.
    thread: PhantomData<*const ()>,
}

impl UringEngine {
    /// System calls into the ring so far.
    #[must_use]
    pub const fn enters(&self) -> u64 {
        self.ring.enters()
    }

    /// Turns so far that found the completion queue overflown: slow and out of order, but nothing
    /// is lost. A larger `completion_entries` avoids it.
    #[must_use]
    pub const fn overflows(&self) -> u64 {
        self.ring.overflows()
    }

    /// Queues what has come due since the last submission.
    fn prepare(&mut self) {
        let parts = &mut *self.memory;
        parts.wake_read.arm(&mut self.ring);
        parts.buffers.publish();
        if !self.starved.is_empty() {
            self.arm_starved();
        }
        if !self.doubts.is_empty() {
            self.look_at_doubtful();
        }
        if !self.paused_listeners.is_empty() {
            self.arm_paused_listeners();
        }
    }

    /// The kernel has copied the message headers of everything that it took.
    fn reset_scratch(&mut self) {
        if self.ring.is_submitted() {
            self.memory.scratch.reset();
        }
    }

    /// How long the kernel may wait: as asked, and not past what the engine itself has to do.
    fn timeout(&self, wait: Wait) -> Option<Duration> {
        if !self.notices.is_empty() {
            return Some(Duration::ZERO);
        }
        let timeout = wait.timeout(self.next_accept_retry());
        let starved = (!self.starved.is_empty()).then_some(self.starved_wait);
        let doubts = self.doubts.wait(self.now);
        [timeout, starved, doubts].into_iter().flatten().min()
    }

    /// The event that a completion stands for, if it stands for one.
    #[inline]
    fn complete(&mut self, entry: &cqueue::Entry) -> Option<Event<OwnedFd>> {
        let Some((op, key)) = Key::from_user_data(entry.user_data()) else {
            debug_assert!(false, "a completion of nothing: {entry:?}");
            return None;
        };
        match op {
            Op::Recv => self.on_received(key, entry.result(), entry.flags()),
            Op::Send => self.on_sent(key, entry.result()),
            Op::Accept => self.on_accepted(key, entry.result(), entry.flags()),
            Op::Connect => self.on_connected(key, entry.result()),
            // That a cancel found nothing says nothing: the target's own completion counts.
            Op::Cancel => None,
            Op::Wake => {
                self.memory.wake_read.completed();
                None
            }
            Op::Shutdown => {
                if let Some(key) = self.memory.slots.whole(key) {
                    self.finish(key, Op::Shutdown);
                }
                None
            }
            Op::Close => {
                self.on_place_closed(key);
                None
            }
            Op::Look => self.on_looked(key, entry.result()),
        }
    }

    /// The event that `key` was put into `notices` for, unless that has passed.
    fn notice(&mut self, key: Key) -> Option<Event<OwnedFd>> {
        let slot = self.memory.slots.find(key)?;
        if slot.in_flight == crate::InFlight::Closed {
            self.memory.slots.free(key);
            return Some(Event::Closed { key });
        }
        if slot.in_flight.is_open() && slot.receive == Receive::Paused {
            slot.receive = Receive::Idle;
            return Some(Event::RecvPaused { key });
        }
        None
    }

    /// Notes the final completion of an operation, and ends the close that waited for it.
    fn finish(&mut self, key: Key, op: Op) {
        self.operations -= 1;
        let slot = self.memory.slots.find(key);
        if slot.is_some_and(|slot| slot.in_flight.finish(op)) {
            self.finish_close(key);
        }
    }
}

impl Engine for UringEngine {
    type Accepted = OwnedFd;
    type Waker = UringWaker;
    const NAME: &'static str = "io_uring";
    const EVENTS_PER_SUBMIT: usize = 256;

    fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let setup = |action| move |source| EngineError::Setup { action, source };
        let completions = config.completion_entries.unwrap_or_else(|| {
            let wanted = config.sessions_max.clamp(1, 16_384) * 4;
            wanted.next_power_of_two().clamp(4096, 65_536)
        });
        let ring = Ring::open(config.submission_entries, completions)
            .map_err(setup("set up the io_uring"))?;
        let waker = UringWaker::open().map_err(setup("make the wake-up eventfd"))?;
        let buffers = ProvidedBuffers::new(config.chunks, config.chunk_bytes)
            .map_err(setup("map the ring of receive buffers"))?;
        let parts = Parts {
            slots: Slab::default(),
            buffers,
            scratch: SendScratch::default(),
            table: Table::register(&ring, config.direct_descriptors),
            wake_read: WakeRead::new(waker),
            looked: 0,
        };
        let now = Instant::now();
        let mut engine = Self {
            ring,
            memory: KernelMemory::new(parts),
            notices: VecDeque::new(),
            starved: VecDeque::new(),
            starved_wait: receive::STARVED_WAIT_MIN,
            doubts: Doubts::new(now),
            paused_listeners: Vec::new(),
            retry_accepts: false,
            accept_retry_min: config.accept_retry_min,
            accept_retry_max: config.accept_retry_max,
            operations: 0,
            now,
            drained: false,
            thread: PhantomData,
        };
        // SAFETY: `KernelMemory` is dropped after the ring, by the order of the fields, or leaked.
        let registered = unsafe { engine.memory.buffers.register(&engine.ring) };
        registered.map_err(setup("register the receive buffers"))?;
        engine.memory.buffers.publish();
        Ok(engine)
    }

    fn waker(&self) -> UringWaker {
        self.memory.wake_read.waker()
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn listen(&mut self, on: &ListenConfig) -> Result<(Key, SocketAddr), EngineError> {
        self.start_listening(on)
            .map_err(|source| EngineError::Listen {
                address: on.address,
                source,
            })
    }

    fn connect(&mut self, to: SocketAddr, options: &SocketOptions) -> Result<Key, EngineError> {
        let socket = socket::connecting(to, options).map_err(|source| EngineError::Connect {
            address: to,
            source,
        })?;
        Ok(self.start_connecting(socket.into(), to))
    }

    /// The options are those of the listener, which its sockets inherited (`tcp(7)`).
    fn adopt(&mut self, socket: OwnedFd, _options: &SocketOptions) -> Result<Key, EngineError> {
        let Parts { slots, table, .. } = &mut *self.memory;
        let key = slots.insert(Slot::new(socket, None));
        if table.has_place(key)
            && let Some(slot) = slots.find(key)
        {
            slot.let_move();
        }
        Ok(key)
    }

    fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        let slot = self.memory.slots.look(key);
        slot.ok_or(io::ErrorKind::NotConnected)?.peer_address(key)
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
        self.start_shutdown(key);
    }

    fn close(&mut self, key: Key, mode: CloseMode) {
        self.start_close(key, mode);
    }

    fn submit(&mut self) -> Result<(), EngineError> {
        self.prepare();
        let outcome = self.ring.submit();
        self.reset_scratch();
        outcome.map_err(|source| EngineError::Queue { source })
    }

    fn submit_and_wait(&mut self, wait: Wait) -> Result<(), EngineError> {
        self.prepare();
        let timeout = self.timeout(wait);
        let outcome = self.ring.wait(timeout);
        self.reset_scratch();
        self.now = Instant::now();
        outcome.map_err(|source| EngineError::Queue { source })
    }

    #[inline]
    fn next_event(&mut self) -> Option<Event<OwnedFd>> {
        loop {
            while let Some(key) = self.notices.pop_front() {
                let event = self.notice(key);
                if event.is_some() {
                    return event;
                }
            }
            let entry = self.ring.next()?;
            self.fetch_ahead();
            let event = self.complete(&entry);
            if event.is_some() {
                return event;
            }
        }
    }

    #[inline]
    fn upcoming(&self, ahead: usize) -> Option<usize> {
        self.index_ahead(ahead)
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

impl Drop for UringEngine {
    fn drop(&mut self) {
        if !self.drained {
            // Dropped without a drain, perhaps by a panic: what ends at once is freed, the rest
            // leaked.
            self.wind_down(Instant::now() + close::DROP_PATIENCE);
        }
    }
}
