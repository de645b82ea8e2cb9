//! Drives an engine until something is so, or the patience is at its end.

use fastport_buffer::{Chunk, Piece, SendBatch, SharedFrame};
use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, Event, Key, ListenConfig, SocketOptions, Wait,
};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long anything may take. Never waited for when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long is listened for what must not come.
pub(crate) const QUIET: Duration = Duration::from_millis(20);

/// Real sockets take real time, and this is the one place that it comes from.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Small enough that queues fill and buffers run out in a test.
pub(crate) fn small() -> EngineConfig {
    EngineConfig {
        sessions_max: 200,
        chunk_bytes: 4096,
        chunks: 16,
        receive_budget: 16 * 1024,
        ..EngineConfig::default()
    }
}

/// An engine that listens on a port of its own.
pub(crate) struct Driver<E: Engine> {
    pub(crate) engine: E,
    pub(crate) listener: Key,
    pub(crate) address: SocketAddr,
    /// Events that came while another was waited for.
    early: VecDeque<Event<E::Accepted>>,
}

impl<E: Engine> Driver<E> {
    pub(crate) fn new() -> Self {
        Self::with(&small())
    }

    pub(crate) fn with(config: &EngineConfig) -> Self {
        let mut engine = E::open(config).unwrap();
        let on = ListenConfig::new((Ipv4Addr::LOCALHOST, 0).into());
        let (listener, address) = engine.listen(&on).unwrap();
        Self {
            engine,
            listener,
            address,
            early: VecDeque::new(),
        }
    }

    /// The next event within the time given.
    pub(crate) fn poll(&mut self, within: Duration) -> Option<Event<E::Accepted>> {
        if let Some(event) = self.early.pop_front() {
            return Some(event);
        }
        let deadline = now() + within;
        loop {
            if let Some(event) = self.engine.next_event() {
                return Some(event);
            }
            if now() >= deadline {
                return None;
            }
            self.engine.submit_and_wait(Wait::Until(deadline)).unwrap();
        }
    }

    pub(crate) fn event(&mut self) -> Event<E::Accepted> {
        self.poll(PATIENCE).expect("an event in time")
    }

    /// Hands events to `step` until it is satisfied.
    pub(crate) fn until(&mut self, mut step: impl FnMut(&mut E, Event<E::Accepted>) -> bool) {
        let deadline = now() + PATIENCE;
        loop {
            let event = self.event();
            if step(&mut self.engine, event) {
                return;
            }
            assert!(now() < deadline, "not satisfied in time");
        }
    }

    /// Nothing comes for a while.
    pub(crate) fn quiet(&mut self) {
        if let Some(event) = self.poll(QUIET) {
            panic!("{} where nothing was due", name(&event));
        }
    }

    pub(crate) fn accepted(&mut self) -> E::Accepted {
        let mut before = VecDeque::new();
        loop {
            match self.event() {
                Event::Accepted { listener, socket } => {
                    assert_eq!(listener, self.listener);
                    before.append(&mut self.early);
                    self.early = before;
                    return socket;
                }
                other => before.push_back(other),
            }
        }
    }

    /// A client, and its session, which is not armed.
    pub(crate) fn session(&mut self) -> (Key, TcpStream) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        let socket = self.accepted();
        let key = self.engine.adopt(socket, &SocketOptions::default());
        (key.unwrap(), client)
    }

    /// A connection that stands and that nobody accepts: it is reset when the listener is dropped.
    /// Other resets of a peer are not to be had everywhere (Wine's sockets send a FIN first).
    pub(crate) fn unaccepted(&mut self) -> (Key, TcpListener) {
        let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = far.local_addr().unwrap();
        let key = self.engine.connect(to, &SocketOptions::default()).unwrap();
        match self.event() {
            Event::Connected { key: of } if of == key => (key, far),
            other => panic!("{} instead of a connection", name(&other)),
        }
    }

    pub(crate) fn sessions(&mut self, count: usize) -> Vec<(Key, TcpStream)> {
        (0..count).map(|_| self.session()).collect()
    }

    pub(crate) fn received(&mut self, key: Key) -> Chunk {
        match self.event() {
            Event::Received { key: of, chunk } if of == key => chunk,
            other => panic!("{} instead of bytes", name(&other)),
        }
    }

    /// Receives so many bytes of the key, and no more.
    pub(crate) fn receive_exactly(&mut self, key: Key, bytes: usize) -> Vec<u8> {
        let mut all = Vec::with_capacity(bytes);
        while all.len() < bytes {
            let chunk = self.received(key);
            all.extend_from_slice(chunk.as_slice());
            self.engine.recycle(chunk);
        }
        assert_eq!(all.len(), bytes);
        all
    }

    pub(crate) fn sent(&mut self, key: Key) -> SendBatch {
        match self.event() {
            Event::Sent {
                key: of,
                batch,
                result: Ok(()),
            } if of == key => batch,
            other => panic!("{} instead of a good send", name(&other)),
        }
    }

    pub(crate) fn peer_finished(&mut self, key: Key) {
        match self.event() {
            Event::PeerFinished { key: of } if of == key => {}
            other => panic!("{} instead of the peer's end", name(&other)),
        }
    }

    pub(crate) fn paused(&mut self, key: Key) {
        match self.event() {
            Event::RecvPaused { key: of } if of == key => {}
            other => panic!("{} instead of the pause", name(&other)),
        }
    }

    pub(crate) fn closed(&mut self, key: Key) {
        match self.event() {
            Event::Closed { key: of } if of == key => {}
            other => panic!("{} instead of the close", name(&other)),
        }
    }

    pub(crate) fn close(&mut self, key: Key) {
        self.engine.close(key, CloseMode::Orderly);
        self.closed(key);
    }

    /// Nothing may be left behind.
    pub(crate) fn finish(self) {
        drop(self.early);
        let drained = self.engine.drain(now() + PATIENCE);
        assert_eq!(drained, Drained::Clean);
    }
}

/// The event and what it says, without its socket.
pub(crate) fn name<S>(event: &Event<S>) -> String {
    match event {
        Event::Accepted { listener, .. } => format!("Accepted by {listener:?}"),
        Event::AcceptFailed { error, .. } => format!("AcceptFailed: {error}"),
        Event::Connected { key } => format!("Connected {key:?}"),
        Event::Received { key, chunk } => format!("Received {key:?}: {chunk:?}"),
        Event::PeerFinished { key } => format!("PeerFinished {key:?}"),
        Event::RecvPaused { key } => format!("RecvPaused {key:?}"),
        Event::Sent { key, result, .. } => format!("Sent {key:?}: {result:?}"),
        Event::Failed { key, error } => format!("Failed {key:?}: {error}"),
        Event::Closed { key } => format!("Closed {key:?}"),
    }
}

/// The connection that an event is of.
pub(crate) fn key_of<S>(event: &Event<S>) -> Option<Key> {
    match event {
        Event::Accepted { .. } | Event::AcceptFailed { .. } => None,
        Event::Connected { key }
        | Event::Received { key, .. }
        | Event::PeerFinished { key }
        | Event::RecvPaused { key }
        | Event::Sent { key, .. }
        | Event::Failed { key, .. }
        | Event::Closed { key } => Some(*key),
    }
}

/// A batch of one piece.
pub(crate) fn batch(bytes: &[u8]) -> SendBatch {
    shared(&bytes.into())
}

/// A batch of a frame whose references can be counted.
pub(crate) fn shared(frame: &SharedFrame) -> SendBatch {
    let mut batch = SendBatch::default();
    batch.push(Piece::Shared(frame.clone(), 0..frame.len()));
    batch
}

/// Bytes of which each tells where it belongs, with a period that is no power of two.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

/// Makes the peer's close a reset.
pub(crate) fn reset(client: TcpStream) {
    let socket = socket2::Socket::from(client);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}
