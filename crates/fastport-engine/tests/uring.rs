//! What is particular to io_uring: full queues, buffers that run out, cuts of multishot operations.
//!
//! What every engine must do is in the conformance suite.
#![cfg(target_os = "linux")]

#[path = "uring/direct.rs"]
mod direct;
#[path = "uring/ending.rs"]
mod ending;
#[path = "uring/flow.rs"]
mod flow;
#[path = "uring/pressure.rs"]
mod pressure;

use fastport_buffer::{Chunk, Piece, SendBatch, SharedFrame};
use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, Event, Key, ListenConfig, SocketOptions, UringEngine,
    Wait, Wake,
};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn small() -> EngineConfig {
    EngineConfig {
        sessions_max: 100,
        chunk_bytes: 4096,
        chunks: 16,
        ..EngineConfig::default()
    }
}

/// An engine that listens, and the means to wait for what it reports.
struct Rig {
    engine: UringEngine,
    address: SocketAddr,
    listener: Key,
}

impl Rig {
    fn new(config: &EngineConfig) -> Self {
        let mut engine = UringEngine::open(config).unwrap();
        let on = ListenConfig::new((Ipv4Addr::LOCALHOST, 0).into());
        let (listener, address) = engine.listen(&on).unwrap();
        Self {
            engine,
            address,
            listener,
        }
    }

    /// The next event within the time given.
    fn poll(&mut self, within: Duration) -> Option<Event<OwnedFd>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(event) = self.engine.next_event() {
                return Some(event);
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.engine.submit_and_wait(Wait::Until(deadline)).unwrap();
        }
    }

    fn event(&mut self) -> Event<OwnedFd> {
        self.poll(PATIENCE).expect("an event in time")
    }

    /// Connects a client whose session is adopted and not armed.
    fn session(&mut self) -> (Key, TcpStream) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            if let Event::Accepted { socket, .. } = self.event() {
                let options = SocketOptions::default();
                return (self.engine.adopt(socket, &options).unwrap(), client);
            }
        }
    }

    fn sessions(&mut self, count: usize) -> Vec<(Key, TcpStream)> {
        (0..count).map(|_| self.session()).collect()
    }

    fn received(&mut self, key: Key) -> Chunk {
        match self.event() {
            Event::Received { key: of, chunk } if of == key => chunk,
            other => panic!("{other:?} instead of bytes"),
        }
    }

    fn close(&mut self, key: Key) {
        self.engine.close(key, CloseMode::Orderly);
        match self.event() {
            Event::Closed { key: of } if of == key => {}
            other => panic!("{other:?} instead of the close"),
        }
    }

    fn drain(self) -> Drained {
        self.engine.drain(Instant::now() + PATIENCE)
    }
}

fn batch(bytes: &[u8]) -> SendBatch {
    let frame: SharedFrame = bytes.into();
    let mut batch = SendBatch::default();
    batch.push(Piece::Shared(frame, 0..bytes.len()));
    batch
}

/// The threads that the kernel made to do what could not be done at once, for rings of the calling
/// thread; other tests have their own. All of it should be.
fn kernel_workers() -> usize {
    let own = std::fs::read_link("/proc/thread-self").unwrap();
    let own = format!("iou-wrk-{}", own.file_name().unwrap().to_str().unwrap());
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim_end() == own)
        .count()
}
