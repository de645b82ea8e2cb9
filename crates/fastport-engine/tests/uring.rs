//! What is particular to io_uring: full queues, buffers that run out, cuts of multishot operations.
//!
//! What every engine must do is in the conformance suite.
#![cfg(target_os = "linux")]

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

const PATIENCE: Duration = Duration::from_secs(10);

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

#[test]
fn the_self_test_passes_where_the_engine_runs() {
    assert_eq!(fastport_engine::uring::probe::refusal(), None);
}

#[test]
fn bytes_come_and_go_until_the_peer_finishes() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    for message in [&b"hello"[..], b"again", b"and again"] {
        client.write_all(message).unwrap();
        let chunk = rig.received(key);
        assert_eq!(chunk.as_slice(), message);
        let mut batch = SendBatch::default();
        batch.push(Piece::Forward(chunk));
        rig.engine.send(key, batch);
        assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
        let mut echo = vec![0; message.len()];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, message);
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(rig.event(), Event::PeerFinished { .. }));
    rig.close(key);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!((rig.engine.in_flight(), rig.engine.open_keys()), (1, 1));
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_pause_holds_bytes_back_and_loses_none() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    for round in 0..20u8 {
        client.write_all(&[round]).unwrap();
        assert_eq!(rig.received(key).as_slice(), [round]);
        rig.engine.pause_recv(key);
        assert!(matches!(rig.event(), Event::RecvPaused { .. }));
        client.write_all(&[round, 1]).unwrap();
        assert!(rig.poll(Duration::from_millis(5)).is_none());
        rig.engine.arm_recv(key);
        assert_eq!(rig.received(key).as_slice(), [round, 1]);
    }
    // Arming before the pause took effect cancels it.
    rig.engine.pause_recv(key);
    rig.engine.arm_recv(key);
    client.write_all(b"on").unwrap();
    assert_eq!(rig.received(key).as_slice(), b"on");
    // A second pause, or one of what is not armed, does nothing.
    rig.engine.pause_recv(key);
    rig.engine.pause_recv(key);
    assert!(matches!(rig.event(), Event::RecvPaused { .. }));
    rig.engine.pause_recv(key);
    assert!(rig.poll(Duration::from_millis(20)).is_none());
}

#[test]
fn a_close_ends_the_armed_receive() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    rig.engine.submit().unwrap();
    client.write_all(b"too late").unwrap();
    rig.close(key);
    let outcome = client.read(&mut [0; 8]);
    assert!(!matches!(outcome, Ok(1..)), "{outcome:?}");
    assert!(rig.poll(Duration::from_millis(20)).is_none());
}

#[test]
fn an_abort_resets_and_frees_a_blocked_send() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    let frame: SharedFrame = vec![7; 32 << 20].into();
    let mut batch = SendBatch::default();
    batch.push(Piece::Shared(frame.clone(), 0..frame.len()));
    rig.engine.send(key, batch);
    assert!(rig.poll(Duration::from_millis(20)).is_none());
    rig.engine.close(key, CloseMode::Abort);
    assert!(matches!(rig.event(), Event::Closed { .. }));
    assert_eq!(std::sync::Arc::strong_count(&frame), 1);
    let mut sink = vec![0; 1 << 20];
    let error = loop {
        match client.read(&mut sink) {
            Ok(0) => panic!("a clean end"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_during_a_blocked_send_is_a_failure_with_the_batch() {
    let mut rig = Rig::new(&small());
    let (key, client) = rig.session();
    rig.engine.send(key, batch(&vec![7; 32 << 20]));
    assert!(rig.poll(Duration::from_millis(20)).is_none());
    let client = socket2::Socket::from(client);
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let Event::Sent {
        batch,
        result: Err(failure),
        ..
    } = rig.event()
    else {
        panic!("a send that can not have succeeded")
    };
    assert_eq!(batch.bytes(), 32 << 20);
    assert!(failure.sent < batch.bytes());
    rig.close(key);
}

#[test]
fn a_batch_of_more_pieces_than_a_message_takes_arrives_in_order() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    let whole: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let frame: SharedFrame = whole.clone().into();
    let mut batch = SendBatch::default();
    for from in (0..whole.len()).step_by(97) {
        let range = from..(from + 97).min(whole.len());
        batch.push(Piece::Shared(frame.clone(), range));
    }
    assert!(batch.pieces().len() > 3000);
    rig.engine.send(key, batch);
    let reader = std::thread::spawn(move || {
        let mut seen = vec![0; 300_000];
        client.read_exact(&mut seen).unwrap();
        seen
    });
    assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
    assert!(reader.join().unwrap() == whole);
}

/// Two buffers, a hundred connections, and a holder that keeps what it got: nobody's bytes are lost, and
/// the worker does not spin while it starves.
#[test]
fn connections_starve_quietly_and_recover() {
    let mut rig = Rig::new(&EngineConfig {
        chunks: 2,
        ..small()
    });
    let mut sessions = rig.sessions(100);
    for (index, (key, client)) in sessions.iter_mut().enumerate() {
        rig.engine.arm_recv(*key);
        client.write_all(&[index as u8; 3]).unwrap();
    }
    let mut seen: HashMap<Key, Vec<u8>> = HashMap::new();
    let mut held = Vec::new();
    let enters = rig.engine.enters();
    while let Some(event) = rig.poll(Duration::from_millis(100)) {
        let Event::Received { key, chunk } = event else {
            panic!("{event:?}")
        };
        seen.entry(key).or_default().extend(chunk.as_slice());
        held.push(chunk);
    }
    assert_eq!(held.len(), 2);
    assert!(rig.engine.is_chunk_scarce());
    let spent = rig.engine.enters() - enters;
    assert!(spent < 50, "{spent} system calls while starving");
    // Given back on another thread, without a wake-up.
    std::thread::spawn(move || drop(held)).join().unwrap();
    while seen.values().map(Vec::len).sum::<usize>() < 300 {
        let Event::Received { key, chunk } = rig.event() else {
            panic!("not bytes")
        };
        seen.entry(key).or_default().extend(chunk.as_slice());
        rig.engine.recycle(chunk);
    }
    for (index, (key, _)) in sessions.iter().enumerate() {
        assert_eq!(seen[key], [index as u8; 3]);
    }
    rig.engine.close(sessions[0].0, CloseMode::Orderly);
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_starved_connection_can_be_paused_and_closed() {
    let mut rig = Rig::new(&EngineConfig {
        chunks: 2,
        ..small()
    });
    let mut sessions = rig.sessions(4);
    for (key, client) in &mut sessions {
        rig.engine.arm_recv(*key);
        client.write_all(b"x").unwrap();
    }
    let mut held = Vec::new();
    while let Some(Event::Received { key, chunk }) = rig.poll(Duration::from_millis(30)) {
        held.push((key, chunk));
    }
    assert_eq!(held.len(), 2);
    let starved: Vec<Key> = (sessions.iter().map(|(key, _)| *key))
        .filter(|key| held.iter().all(|(of, _)| of != key))
        .collect();
    rig.engine.pause_recv(starved[0]);
    assert!(matches!(rig.event(), Event::RecvPaused { key } if key == starved[0]));
    rig.close(starved[1]);
    for (_, chunk) in held {
        rig.engine.recycle(chunk);
    }
    assert!(rig.poll(Duration::from_millis(30)).is_none());
    rig.engine.arm_recv(starved[0]);
    assert_eq!(rig.received(starved[0]).as_slice(), b"x");
}

/// A completion queue of 8 entries overflows and cuts every multishot; no byte and no end is lost, and
/// the end comes last.
#[test]
fn a_tiny_completion_queue_loses_nothing() {
    const BYTES: usize = 64 * 1024;
    let mut rig = Rig::new(&EngineConfig {
        completion_entries: Some(8),
        submission_entries: 8,
        chunk_bytes: 256,
        chunks: 64,
        ..small()
    });
    let mut clients = Vec::new();
    let mut seen: HashMap<Key, usize> = HashMap::new();
    for (key, client) in rig.sessions(64) {
        rig.engine.arm_recv(key);
        seen.insert(key, 0);
        clients.push(client);
    }
    let writer = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
        for client in &mut clients {
            client.write_all(&bytes).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        clients
    });
    let mut finished = 0;
    while finished < 64 {
        match rig.event() {
            Event::Received { key, chunk } => {
                let at = seen.get_mut(&key).unwrap();
                for byte in chunk.as_slice() {
                    assert_eq!(usize::from(*byte), *at % 253);
                    *at += 1;
                }
                rig.engine.recycle(chunk);
            }
            Event::PeerFinished { key } => {
                assert_eq!(seen[&key], BYTES);
                finished += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let overflows = rig.engine.overflows();
    assert!(overflows > 0, "the test did not overflow the queue");
    drop(writer.join().unwrap());
    assert_eq!(rig.drain(), Drained::Clean);
}

/// The threads that the kernel made to do what could not be done at once. All of it should be.
fn kernel_workers() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("iou-wrk"))
        .count()
}

/// Pauses and resumes at random while more comes in than the queues and buffers hold.
#[test]
fn random_pauses_under_pressure_lose_and_reorder_nothing() {
    const BYTES: usize = 128 * 1024;
    const SESSIONS: usize = 16;
    let mut rig = Rig::new(&EngineConfig {
        completion_entries: Some(8),
        submission_entries: 4,
        chunk_bytes: 512,
        chunks: 8,
        ..small()
    });
    let (keys, clients): (Vec<_>, Vec<_>) = rig.sessions(SESSIONS).into_iter().unzip();
    for key in &keys {
        rig.engine.arm_recv(*key);
    }
    let writers = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            let bytes: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
            client.write_all(&bytes).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            client
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut seen: HashMap<Key, usize> = keys.iter().map(|key| (*key, 0)).collect();
    let (mut random, mut pauses, mut finished) = (12_345u32, 0, 0);
    while finished < SESSIONS {
        match rig.event() {
            Event::Received { key, chunk } => {
                let at = seen.get_mut(&key).unwrap();
                for byte in chunk.as_slice() {
                    assert_eq!(usize::from(*byte), *at % 253);
                    *at += 1;
                }
                rig.engine.recycle(chunk);
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match random >> 29 {
                    0 | 1 => rig.engine.pause_recv(key),
                    2 => {
                        rig.engine.pause_recv(key);
                        rig.engine.arm_recv(key);
                    }
                    3 => {
                        rig.engine.pause_recv(key);
                        rig.engine.arm_recv(key);
                        rig.engine.pause_recv(key);
                    }
                    _ => {}
                }
            }
            Event::RecvPaused { key } => {
                pauses += 1;
                rig.engine.arm_recv(key);
            }
            Event::PeerFinished { key } => {
                assert_eq!(seen[&key], BYTES);
                finished += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pauses > SESSIONS, "only {pauses} pauses took effect");
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(kernel_workers(), 0);
    assert_eq!(rig.drain(), Drained::Clean);
}

/// Slots are reused at once and in the middle of everything; each connection's bytes name it.
#[test]
fn churn_never_mixes_connections_up() {
    let mut rig = Rig::new(&small());
    let options = SocketOptions::default();
    let elsewhere = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let elsewhere = (elsewhere.local_addr().unwrap(), elsewhere);
    for round in 0..300u32 {
        let (key, mut client) = rig.session();
        rig.engine.arm_recv(key);
        client.write_all(&round.to_le_bytes()).unwrap();
        let mut closing = vec![key];
        if round % 3 > 0 {
            assert_eq!(rig.received(key).as_slice(), round.to_le_bytes());
        }
        match round % 3 {
            // Closed with data on the way.
            0 => rig.engine.close(key, CloseMode::Abort),
            // With a send that nobody waited for.
            1 => {
                rig.engine.send(key, batch(&round.to_le_bytes()));
                rig.engine.close(key, CloseMode::Orderly);
            }
            // With a pause, and a connect that is given up in the same moment.
            _ => {
                rig.engine.shutdown_write(key);
                assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
                rig.engine.pause_recv(key);
                let other = rig.engine.connect(elsewhere.0, &options).unwrap();
                rig.engine.close(key, CloseMode::Orderly);
                rig.engine.close(other, CloseMode::Abort);
                closing.push(other);
            }
        }
        while !closing.is_empty() {
            let Event::Closed { key } = rig.event() else {
                panic!("round {round}: not a close")
            };
            let at = closing
                .iter()
                .position(|of| *of == key)
                .expect("closed once");
            closing.swap_remove(at);
        }
    }
    assert_eq!(rig.engine.open_keys(), 1);
    assert_eq!(kernel_workers(), 0);
}

#[test]
fn a_submission_queue_of_four_takes_any_number_of_operations() {
    let mut rig = Rig::new(&EngineConfig {
        submission_entries: 4,
        completion_entries: Some(16),
        ..small()
    });
    let mut sessions = rig.sessions(200);
    for (index, (key, _)) in sessions.iter().enumerate() {
        rig.engine.arm_recv(*key);
        let mut batch = batch(&[index as u8; 10]);
        batch.push(Piece::Shared(vec![1, 2, 3].into(), 0..3));
        rig.engine.send(*key, batch);
    }
    for _ in 0..200 {
        assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
    }
    for (index, (_, client)) in sessions.iter_mut().enumerate() {
        let mut bytes = [0; 13];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..10], [index as u8; 10]);
        assert_eq!(bytes[10..], [1, 2, 3]);
    }
    for (key, _) in &sessions {
        rig.engine.close(*key, CloseMode::Orderly);
    }
    for _ in 0..200 {
        assert!(matches!(rig.event(), Event::Closed { .. }));
    }
    assert_eq!(rig.engine.open_keys(), 1);
}

#[test]
fn another_thread_wakes_a_waiting_worker() {
    let mut engine = UringEngine::open(&small()).unwrap();
    let waker = engine.waker();
    for _ in 0..50 {
        let there = waker.clone();
        let deadline = Instant::now() + PATIENCE;
        let thread = std::thread::spawn(move || there.wake());
        engine.submit_and_wait(Wait::Until(deadline)).unwrap();
        assert!(Instant::now() < deadline);
        assert!(engine.next_event().is_none());
        thread.join().unwrap();
    }
    // Woken before the wait counts too.
    waker.wake();
    engine.submit_and_wait(Wait::Forever).unwrap();
    drop(engine);
    waker.wake();
}

#[test]
fn connects_stand_fail_or_are_given_up() {
    let mut rig = Rig::new(&small());
    let options = SocketOptions::default();
    let key = rig.engine.connect(rig.address, &options).unwrap();
    // Armed before it stands: received when it does.
    rig.engine.arm_recv(key);
    let mut server = None;
    let mut connected = false;
    while server.is_none() || !connected {
        match rig.event() {
            Event::Accepted { socket, .. } => server = Some(TcpStream::from(socket)),
            Event::Connected { key: of } => connected = of == key,
            other => panic!("{other:?}"),
        }
    }
    server.unwrap().write_all(b"hi").unwrap();
    assert_eq!(rig.received(key).as_slice(), b"hi");
    assert_eq!(rig.engine.peer_address(key).unwrap(), rig.address);

    let listener = rig.listener;
    rig.engine.close(key, CloseMode::Abort);
    rig.engine.close(listener, CloseMode::Orderly);
    for _ in 0..2 {
        assert!(matches!(rig.event(), Event::Closed { .. }));
    }
    let refused = rig.engine.connect(rig.address, &options).unwrap();
    let Event::Failed { key, error } = rig.event() else {
        panic!("a connection to a closed listener")
    };
    assert_eq!((key, error.kind()), (refused, ErrorKind::ConnectionRefused));
    rig.close(refused);

    // Closed before the kernel has even heard of it.
    let given_up = rig.engine.connect(rig.address, &options).unwrap();
    rig.engine.close(given_up, CloseMode::Abort);
    assert!(matches!(rig.event(), Event::Closed { key } if key == given_up));
    assert_eq!(rig.engine.open_keys(), 0);
}

#[test]
fn a_drain_in_the_middle_of_everything_is_clean() {
    let mut rig = Rig::new(&small());
    let sessions = rig.sessions(50);
    for (index, (key, _)) in sessions.iter().enumerate() {
        if index % 2 == 0 {
            rig.engine.arm_recv(*key);
        }
        if index % 3 == 0 {
            rig.engine.send(*key, batch(&vec![1; 16 << 20]));
        }
        if index % 5 == 0 {
            rig.engine.pause_recv(*key);
        }
    }
    let unaccepted = TcpStream::connect(rig.address).unwrap();
    rig.engine.submit().unwrap();
    assert!(rig.engine.in_flight() > 20);
    assert_eq!(rig.drain(), Drained::Clean);
    drop(unaccepted);
}

#[test]
fn an_engine_dropped_without_a_drain_lets_go_of_its_sockets() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    client.write_all(b"kept").unwrap();
    let chunk = rig.received(key);
    let address = rig.address;
    drop(rig);
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(chunk.as_slice(), b"kept");
}

#[test]
fn a_stale_key_does_nothing() {
    let mut rig = Rig::new(&small());
    let (key, _client) = rig.session();
    rig.close(key);
    let (successor, mut client) = rig.session();
    assert_eq!(successor.index(), key.index());
    rig.engine.arm_recv(successor);
    rig.engine.close(key, CloseMode::Abort);
    rig.engine.pause_recv(key);
    rig.engine.shutdown_write(key);
    rig.engine.send(key, batch(b"nobody"));
    assert!(rig.engine.peer_address(key).is_err());
    client.write_all(b"alive").unwrap();
    assert_eq!(rig.received(successor).as_slice(), b"alive");
}
