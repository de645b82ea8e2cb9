//! An engine without a kernel: seeded, with a virtual clock, and as unkind as the contract allows.
//!
//! It keeps every promise of [`Engine`] and nothing else: events of different keys come in any
//! order, bytes are cut anywhere, an operation may take any number of steps or fail, a close waits
//! for operations that end late, buffers and descriptors run out. What the session layer must not
//! do (a second send, an operation after the close, a key used after its end) is a violation. All
//! runs on one thread; nothing happens but in a step that the simulation takes.
//!
//! | module | owns |
//! |---|---|
//! | [`faults`] | how likely each fault is |
//! | [`net`] | what the engines of a machine share: clock, backlog, descriptors |
//! | [`wire`] | one connection, seen from both ends |
//! | `kernel` | what becomes of the operations, step by step |
//! | `slots` | the keys and what is outstanding for each |

pub mod faults;
mod kernel;
pub mod net;
mod slots;
pub mod wire;

use crate::check;
use crate::random::Random;
use crate::verdict::Verdict;
use fastport_buffer::{Chunk, ChunkStore, SendBatch};
use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, EngineError, Event, Key, ListenConfig, Op,
    SocketOptions, Wait, Wake,
};
use faults::Faults;
use net::Net;
use slots::{Receive, Role, Sending, Slot, Slots};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wire::Wire;

/// One worker's simulated engine.
#[derive(Debug)]
pub struct SimEngine {
    net: Net,
    faults: Faults,
    random: Random,
    verdict: Verdict,
    waker: SimWaker,
    chunks: ChunkStore,
    slots: Slots,
    /// The keys of queued events, one entry for each event.
    pending: Vec<Key>,
    /// Events of this turn.
    visible: usize,
    now: Instant,
    retry_min: Duration,
    retry_max: Duration,
}

/// Wakes a [`SimEngine`]: the simulation looks at the flag.
#[derive(Clone, Debug, Default)]
pub struct SimWaker(Arc<AtomicBool>);

impl Wake for SimWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A connected socket that belongs to no engine. Dropping it closes it.
#[derive(Debug)]
pub struct SimSocket {
    net: Net,
    wire: Option<Wire>,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take() {
            wire.host_close(false);
            self.net.give_descriptor();
        }
    }
}

impl SimEngine {
    /// An engine of the machine `net`.
    #[must_use]
    pub fn new(
        net: Net,
        faults: Faults,
        random: Random,
        verdict: Verdict,
        config: &EngineConfig,
    ) -> Self {
        Self {
            now: net.now(),
            net,
            faults,
            random,
            verdict,
            waker: SimWaker::default(),
            chunks: ChunkStore::new(config.chunks, config.chunk_bytes),
            slots: Slots::default(),
            pending: Vec::new(),
            visible: 0,
            retry_min: config.accept_retry_min,
            retry_max: config.accept_retry_max,
        }
    }

    /// Whether a worker that waits like this would be awake by now.
    #[must_use]
    pub fn is_wait_over(&self, wait: Wait) -> bool {
        let news = !self.pending.is_empty() || self.waker.0.load(Ordering::SeqCst);
        match wait {
            Wait::Poll => true,
            Wait::Until(deadline) => news || deadline <= self.net.now(),
            Wait::Forever => news,
        }
    }

    /// From now on nothing fails by chance and everything goes on at once.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
    }

    /// Buffers that are out with a chunk. Collects what came back first.
    pub fn lent_chunks(&mut self) -> usize {
        self.chunks.collect();
        self.chunks.check_invariants();
        self.chunks.lent()
    }

    /// When a listener that failed tries again.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|(_, slot)| slot.retry_at)
            .min()
    }

    /// Looks up a key that must be usable: to use another one is the session layer's mistake.
    fn usable(&mut self, key: Key, what: &str) -> Option<&mut Slot> {
        let slot = self.slots.find(key);
        let usable = slot.is_some_and(|slot| slot.in_flight.is_open());
        check!(
            self.verdict,
            usable,
            "{what} for {key:?}, which is closed or gone"
        );
        self.slots.find(key).filter(|slot| slot.in_flight.is_open())
    }

    fn queue(&mut self, key: Key, event: Event<SimSocket>) {
        self.verdict
            .trace(format_args!("  kernel: {}", Described(&event)));
        if let Some(slot) = self.slots.find(key) {
            slot.events.push_back(event);
            self.pending.push(key);
        }
    }

    fn insert(&mut self, role: Role, wire: Option<Wire>) -> Key {
        self.slots.insert(Slot::new(role, wire))
    }
}

impl Engine for SimEngine {
    type Accepted = SimSocket;
    type Waker = SimWaker;
    const NAME: &'static str = "sim";
    /// Small, so that work is handed over in mid-turn often.
    const EVENTS_PER_SUBMIT: usize = 3;

    /// An engine on a machine of its own, without faults; [`SimEngine::new`] is what is used.
    fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let net = Net::new(usize::MAX);
        let (faults, random) = (Faults::default(), Random::new(0));
        Ok(Self::new(net, faults, random, Verdict::default(), config))
    }

    fn waker(&self) -> SimWaker {
        self.waker.clone()
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn listen(&mut self, on: &ListenConfig) -> Result<(Key, SocketAddr), EngineError> {
        let key = self.insert(Role::Listener, None);
        if let Some(slot) = self.slots.find(key) {
            slot.in_flight.begin(Op::Accept);
        }
        self.net.listen(true);
        Ok((key, on.address))
    }

    fn connect(&mut self, to: SocketAddr, _: &SocketOptions) -> Result<Key, EngineError> {
        if !self.net.take_descriptor() {
            self.net.forget_attempt(to);
            return Err(EngineError::Connect {
                address: to,
                source: io::Error::from_raw_os_error(EMFILE),
            });
        }
        let key = self.insert(Role::Connecting(to), None);
        if let Some(slot) = self.slots.find(key) {
            slot.in_flight.begin(Op::Connect);
        }
        Ok(key)
    }

    fn adopt(&mut self, mut socket: SimSocket, _: &SocketOptions) -> Result<Key, EngineError> {
        if self.random.chance(self.faults.adopt_error) {
            return Err(EngineError::Adopt {
                source: io::Error::from_raw_os_error(EMFILE),
            });
        }
        let wire = socket.wire.take();
        let lost = self.random.chance(self.faults.address_error);
        let key = self.insert(Role::Connected, wire);
        if let Some(slot) = self.slots.find(key) {
            slot.address_lost = lost;
        }
        Ok(key)
    }

    fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        let slot = self.slots.look(key).filter(|slot| !slot.address_lost);
        let wire = slot.and_then(|slot| slot.wire.as_ref());
        let wire = wire.ok_or_else(|| io::Error::from_raw_os_error(ENOTCONN))?;
        Ok(wire.address())
    }

    fn arm_recv(&mut self, key: Key) {
        let Some(slot) = self.usable(key, "arm_recv") else {
            return;
        };
        match slot.receive {
            Receive::Idle => {
                slot.in_flight.begin(Op::Recv);
                slot.receive = Receive::Armed;
            }
            Receive::Pausing => slot.receive = Receive::Armed,
            Receive::Armed | Receive::Ended => {}
        }
    }

    fn pause_recv(&mut self, key: Key) {
        if let Some(slot) = self.usable(key, "pause_recv")
            && slot.receive == Receive::Armed
        {
            slot.receive = Receive::Pausing;
        }
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.chunks.recycle(chunk);
    }

    fn is_chunk_scarce(&self) -> bool {
        self.chunks.is_scarce()
    }

    fn send(&mut self, key: Key, batch: SendBatch) {
        let verdict = self.verdict.clone();
        let Some(slot) = self.usable(key, "send") else {
            return;
        };
        let free = slot.sending.is_none() && !slot.sent_unreported;
        check!(verdict, free, "a second send of {key:?}");
        check!(verdict, !batch.is_empty(), "an empty send of {key:?}");
        check!(
            verdict,
            !slot.half_closed,
            "a send of {key:?} after its FIN"
        );
        if free {
            slot.in_flight.begin(Op::Send);
            slot.sending = Some(Sending { batch, sent: 0 });
        }
    }

    fn shutdown_write(&mut self, key: Key) {
        let verdict = self.verdict.clone();
        let Some(slot) = self.usable(key, "shutdown_write") else {
            return;
        };
        check!(
            verdict,
            slot.sending.is_none(),
            "FIN inside a send of {key:?}"
        );
        slot.half_closed = true;
        if let Some(wire) = &slot.wire {
            wire.host_finish();
        }
    }

    fn close(&mut self, key: Key, mode: CloseMode) {
        self.verdict.trace(format_args!("  close {key:?} {mode:?}"));
        let late = match self.random.chance(self.faults.late_close) {
            true => self.random.between(1, 6),
            false => 0,
        };
        let Some(slot) = self.usable(key, "close") else {
            return;
        };
        slot.mode = mode;
        slot.late = late;
        let dropped = std::mem::take(&mut slot.events);
        let due = slot.in_flight.close();
        let was_listener = matches!(slot.role, Role::Listener);
        self.pending.retain(|pending| *pending != key);
        for event in dropped {
            if let Event::Received { chunk, .. } = event {
                self.chunks.recycle(chunk);
            }
        }
        if was_listener {
            self.net.listen(false);
        }
        if due {
            self.finish_close(key);
        }
    }

    fn submit(&mut self) -> Result<(), EngineError> {
        if self.random.chance(500) {
            self.step_kernel();
            self.visible = self.pending.len();
        }
        Ok(())
    }

    fn submit_and_wait(&mut self, _: Wait) -> Result<(), EngineError> {
        self.waker.0.store(false, Ordering::SeqCst);
        if self.random.chance(500) {
            self.step_kernel();
        }
        self.now = self.net.now();
        self.visible = match self.random.chance(self.faults.few_events) {
            true => self.random.below(self.pending.len() + 1),
            false => self.pending.len(),
        };
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event<SimSocket>> {
        self.visible = self.visible.min(self.pending.len()).checked_sub(1)?;
        let at = self.random.below(self.pending.len());
        let key = self.pending.swap_remove(at);
        let slot = self.slots.find(key)?;
        let event = slot.events.pop_front()?;
        self.verdict
            .trace(format_args!("  event {}", Described(&event)));
        match event {
            Event::Sent { .. } => slot.sent_unreported = false,
            Event::Closed { .. } => self.slots.free(key),
            _ => {}
        }
        Some(event)
    }

    fn in_flight(&self) -> usize {
        let ops = [Op::Accept, Op::Connect, Op::Recv, Op::Send];
        let count = |slot: &Slot| ops.iter().filter(|op| slot.in_flight.has(**op)).count();
        self.slots.iter().map(|(_, slot)| count(slot)).sum()
    }

    fn open_keys(&self) -> usize {
        self.slots.open()
    }

    fn drain(mut self, _: Instant) -> Drained {
        let keys: Vec<_> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(slot) = self.slots.find(key) else {
                continue;
            };
            if let Some(wire) = slot.wire.take() {
                wire.host_close(true);
            }
            if std::mem::take(&mut slot.descriptor) {
                self.net.give_descriptor();
            }
        }
        Drained::Clean
    }
}

/// An event in one short line, for traces.
struct Described<'a>(&'a Event<SimSocket>);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Event::Accepted { socket, .. } => {
                let id = socket.wire.as_ref().map(Wire::id);
                write!(f, "Accepted {id:?}")
            }
            Event::Received { key, chunk } => write!(f, "Received {key:?}, {} bytes", chunk.len()),
            Event::Sent { key, batch, result } => {
                let sent = result.as_ref().map_err(|failure| failure.sent);
                write!(f, "Sent {key:?}, {} bytes, {sent:?}", batch.bytes())
            }
            other => write!(f, "{other:?}"),
        }
    }
}

const EMFILE: i32 = 24;
const EPIPE: i32 = 32;
const ECONNABORTED: i32 = 103;
const ECONNRESET: i32 = 104;
const ENOTCONN: i32 = 107;
