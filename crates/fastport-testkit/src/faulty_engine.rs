//! A real engine with faults between it and the session layer, decided by a seed.
//!
//! What no test can make a kernel do (a completion that comes late, a wait that ends with nothing,
//! a send that fails half way) is done to what the engine says. Either way the contract of
//! [`Engine`] is kept, for each key, and both sides are held to it: a breach panics. A connection
//! that a fault ends is reset in truth, so its peer sees the same.
//!
//! What befalls a connection is drawn from a source of its own, so that a seed means nearly the
//! same run each time; the kernel's part in it is not the seed's.
//!
//! | module | owns |
//! |---|---|
//! | [`faults`] | how likely each fault is, and which have happened |
//! | `lives` | the keys, and what is not told yet |
//! | `account` | the contract, kept for one key |
//! | `inject` | what becomes of an event and of a connection |

mod account;
pub mod faults;
mod inject;
mod lives;

use crate::random::Random;
use account::Role;
use fastport_buffer::{Chunk, Piece, SendBatch, SharedFrame};
use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, EngineError, Event, Key, ListenConfig, SendFailure,
    SocketOptions, Wait,
};
use faults::{Faults, Injected, Record};
use lives::{Life, Lives, Sending, Stage};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An engine `E` that is late and unreliable. As [`Engine::open`] makes it, with the faults of
/// [`Faults::late`] and the seed `SEED`; [`FaultyEngine::new`] takes others.
pub struct FaultyEngine<E: Engine, const SEED: u64 = 1> {
    inner: E,
    faults: Faults,
    record: Record,
    /// Decides what befalls turns.
    turns: Random,
    /// Decides what befalls connections, in the order in which they are made.
    births: Random,
    lives: Lives<E::Accepted>,
    turn: u64,
    /// Keys with something to tell in this turn.
    ready: VecDeque<Key>,
    /// Keys with something to tell in a later one.
    waiting: Vec<Key>,
    /// Keys to be closed in a later turn.
    closes: Vec<(u64, Key)>,
    /// Events that the turn may still bring.
    visible: usize,
    /// Whether it would have brought more.
    is_cut: bool,
    /// Turns without patience since the last one with.
    hurried: u32,
    is_scarce: bool,
}

impl<E: Engine, const SEED: u64> FaultyEngine<E, SEED> {
    /// The engine `inner`, on which nothing was asked for yet, with these faults.
    #[must_use]
    pub fn new(inner: E, faults: Faults, seed: u64, record: Record) -> Self {
        let mut random = Random::new(seed);
        Self {
            inner,
            faults,
            record,
            turns: random.fork(),
            births: random.fork(),
            lives: Lives::default(),
            turn: 0,
            ready: VecDeque::new(),
            waiting: Vec::new(),
            closes: Vec::new(),
            visible: 0,
            is_cut: false,
            hurried: 0,
            is_scarce: false,
        }
    }

    fn is_lost(&self) -> bool {
        self.faults
            .lost_after
            .is_some_and(|turns| self.turn >= turns)
    }

    fn lose(&self) -> EngineError {
        self.record.note(Injected::Lost);
        EngineError::Queue {
            source: io::Error::from_raw_os_error(EIO),
        }
    }

    /// Decides what the turn brings, and how long it may wait.
    fn begin_turn(&mut self, wait: Wait) -> Wait {
        self.turn += 1;
        let turn = self.turn;
        self.is_scarce = self.turns.chance(self.faults.scarce);
        for (_, key) in self.closes.extract_if(.., |(at, _)| *at <= turn) {
            if let Some(life) = self.lives.find(key) {
                life.stage = Stage::Closing;
                self.inner.close(life.inner, life.mode);
            }
        }
        let lives = &self.lives;
        let due = |key: &mut Key| lives.look(*key).is_none_or(|life| life.until <= turn);
        self.ready.extend(self.waiting.extract_if(.., due));
        let hurries = self.hurried < HURRIED_MAX && self.turns.chance(self.faults.early_return);
        let is_empty = self.hurried < HURRIED_MAX && self.turns.chance(self.faults.empty_turn);
        self.hurried = match hurries || is_empty {
            true => self.hurried + 1,
            false => 0,
        };
        self.visible = match self.turns.chance(self.faults.few_events) {
            _ if is_empty => 0,
            true => self.turns.between(1, 8),
            false => usize::MAX,
        };
        if hurries || is_empty || self.is_cut || !self.ready.is_empty() {
            Wait::Poll
        } else if self.waiting.is_empty() && self.closes.is_empty() {
            wait
        } else {
            self.short_wait(wait)
        }
    }

    /// A wait of no more than a millisecond: something is held back.
    fn short_wait(&mut self, wait: Wait) -> Wait {
        let soon = self.inner.now() + Duration::from_millis(1);
        match wait {
            _ if self.turns.chance(500) => Wait::Poll,
            Wait::Poll => Wait::Poll,
            Wait::Until(deadline) => Wait::Until(deadline.min(soon)),
            Wait::Forever => Wait::Until(soon),
        }
    }

    /// The next event of those that are due.
    fn tell(&mut self) -> Option<Event<E::Accepted>> {
        while let Some(key) = self.ready.pop_front() {
            let Some(life) = self.lives.find(key) else {
                continue;
            };
            let Some(event) = life.queue.pop_front() else {
                life.listed = false;
                continue;
            };
            life.account.tell(&event);
            if life.queue.is_empty() {
                life.listed = false;
            } else {
                // Accepting pauses after an error.
                self.list(key, matches!(event, Event::AcceptFailed { .. }));
            }
            if matches!(event, Event::Closed { .. }) {
                self.lives.free(key);
            }
            return Some(event);
        }
        None
    }
}

impl<E: Engine, const SEED: u64> Engine for FaultyEngine<E, SEED> {
    type Accepted = E::Accepted;
    type Waker = E::Waker;
    const NAME: &'static str = E::NAME;
    const EVENTS_PER_SUBMIT: usize = E::EVENTS_PER_SUBMIT;

    fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let inner = E::open(config)?;
        Ok(Self::new(inner, Faults::late(), SEED, Record::default()))
    }

    fn waker(&self) -> Self::Waker {
        self.inner.waker()
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn listen(&mut self, on: &ListenConfig) -> Result<(Key, SocketAddr), EngineError> {
        let (inner, address) = self.inner.listen(on)?;
        let life = Life::new(inner, Role::Listener, self.births.fork());
        Ok((self.lives.insert(life), address))
    }

    fn connect(&mut self, to: SocketAddr, options: &SocketOptions) -> Result<Key, EngineError> {
        let mut random = self.births.fork();
        if random.chance(self.faults.connect_error) {
            self.record.note(Injected::ConnectError);
            let source = io::Error::from_raw_os_error(EMFILE);
            let address = to;
            return Err(EngineError::Connect { address, source });
        }
        let inner = self.inner.connect(to, options)?;
        Ok(self
            .lives
            .insert(Life::new(inner, Role::Connecting, random)))
    }

    fn adopt(&mut self, socket: E::Accepted, options: &SocketOptions) -> Result<Key, EngineError> {
        let mut random = self.births.fork();
        if random.chance(self.faults.adopt_error) {
            self.record.note(Injected::AdoptError);
            let source = io::Error::from_raw_os_error(EMFILE);
            return Err(EngineError::Adopt { source });
        }
        let address_lost = random.chance(self.faults.address_error);
        let inner = self.inner.adopt(socket, options)?;
        let mut life = Life::new(inner, Role::Connected, random);
        life.address_lost = address_lost;
        Ok(self.lives.insert(life))
    }

    fn peer_address(&self, key: Key) -> io::Result<SocketAddr> {
        let life = self.lives.look(key);
        match life.filter(|life| !life.account.closing && life.stage == Stage::Open) {
            Some(life) if !life.address_lost => self.inner.peer_address(life.inner),
            Some(_) => {
                self.record.note(Injected::AddressError);
                Err(io::Error::from_raw_os_error(ENOTCONN))
            }
            None => Err(io::Error::from_raw_os_error(ENOTCONN)),
        }
    }

    fn arm_recv(&mut self, key: Key) {
        self.fail_by_chance(key);
        let Some(life) = self.lives.find(key).filter(|life| !life.account.closing) else {
            return;
        };
        // It was not told yet, so this cancels it.
        let is_pause = |event: &Event<_>| matches!(event, Event::RecvPaused { .. });
        life.queue.retain(|event| !is_pause(event));
        life.account.arm();
        if life.stage == Stage::Open {
            self.inner.arm_recv(life.inner);
        }
    }

    fn pause_recv(&mut self, key: Key) {
        self.fail_by_chance(key);
        let Some(life) = self.lives.find(key).filter(|life| !life.account.closing) else {
            return;
        };
        life.account.pause();
        if life.stage == Stage::Open {
            self.inner.pause_recv(life.inner);
        }
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.inner.recycle(chunk);
    }

    fn is_chunk_scarce(&self) -> bool {
        self.is_scarce || self.inner.is_chunk_scarce()
    }

    fn send(&mut self, key: Key, batch: SendBatch) {
        self.fail_by_chance(key);
        let Some(life) = self.lives.find(key).filter(|life| !life.account.closing) else {
            return;
        };
        life.account.send(&batch);
        if life.stage != Stage::Open {
            let error = io::Error::from_raw_os_error(EPIPE);
            let result = Err(SendFailure { sent: 0, error });
            return self.push(key, Event::Sent { key, batch, result });
        }
        if life.random.chance(self.faults.send_broken) && batch.bytes() > 1 {
            let bytes = life.random.between(1, batch.bytes() - 1);
            self.inner.send(life.inner, first(&batch, bytes));
            life.sending = Sending::Half(batch);
        } else {
            life.sending = Sending::All;
            self.inner.send(life.inner, batch);
        }
    }

    fn shutdown_write(&mut self, key: Key) {
        let life = self.lives.look(key).filter(|life| !life.account.closing);
        if let Some(life) = life.filter(|life| life.stage == Stage::Open) {
            self.inner.shutdown_write(life.inner);
        }
    }

    fn close(&mut self, key: Key, mode: CloseMode) {
        let Some(life) = self.lives.find(key).filter(|life| !life.account.closing) else {
            return;
        };
        life.account.closing = true;
        life.mode = mode;
        life.sending = Sending::Nothing;
        for event in life.queue.drain(..) {
            if let Event::Received { chunk, .. } = event {
                self.inner.recycle(chunk);
            }
        }
        match life.stage {
            Stage::Open if life.random.chance(self.faults.late_close) => {
                let late = life.random.between(1, self.faults.held_turns.max(1));
                self.closes.push((self.turn + late as u64, key));
            }
            Stage::Open => {
                life.stage = Stage::Closing;
                self.inner.close(life.inner, mode);
            }
            Stage::Closing => {}
            Stage::Gone => self.push(key, Event::Closed { key }),
        }
    }

    fn submit(&mut self) -> Result<(), EngineError> {
        if self.is_lost() {
            return Err(self.lose());
        }
        self.inner.submit()
    }

    fn submit_and_wait(&mut self, wait: Wait) -> Result<(), EngineError> {
        let wait = self.begin_turn(wait);
        // Every other time it is a submit in the middle of the turn that finds it lost.
        if self.is_lost() && self.turn.is_multiple_of(2) {
            return Err(self.lose());
        }
        self.is_cut = self.visible == 0;
        self.inner.submit_and_wait(wait)
    }

    fn next_event(&mut self) -> Option<Event<E::Accepted>> {
        while self.visible > 0 {
            if let Some(event) = self.tell() {
                self.visible -= 1;
                self.is_cut = self.visible == 0;
                return Some(event);
            }
            let event = self.inner.next_event()?;
            self.take_in(event);
        }
        None
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn open_keys(&self) -> usize {
        self.lives.open()
    }

    fn drain(mut self, deadline: Instant) -> Drained {
        for (_, key) in std::mem::take(&mut self.closes) {
            if let Some(life) = self.lives.find(key) {
                self.inner.close(life.inner, life.mode);
            }
        }
        for life in self.lives.iter_mut() {
            life.queue.clear();
        }
        self.inner.drain(deadline)
    }
}

/// A batch with a copy of the first bytes of another.
fn first(batch: &SendBatch, bytes: usize) -> SendBatch {
    let all = batch.pieces().iter().flat_map(|piece| piece.as_slice());
    let part: Vec<u8> = all.take(bytes).copied().collect();
    let frame = SharedFrame::from(&part[..]);
    let mut half = SendBatch::default();
    half.push(Piece::Shared(frame, 0..bytes));
    half
}

/// Turns without patience in a row, at most.
const HURRIED_MAX: u32 = 2;

const EIO: i32 = 5;
const EMFILE: i32 = if cfg!(windows) { 10024 } else { 24 };
const EPIPE: i32 = if cfg!(windows) { 10058 } else { 32 };
const ENOTCONN: i32 = if cfg!(windows) { 10057 } else { 107 };
const ECONNRESET: i32 = if cfg!(windows) { 10054 } else { 104 };
const ECONNREFUSED: i32 = if cfg!(windows) { 10061 } else { 111 };
