//! What needs the process's descriptors for itself: none is lost, and none left is survived.
//!
//! A program of its own, since the limit is the process's; its tests run one after the other.
#![cfg(target_os = "linux")]

#[path = "conformance/variants.rs"]
mod variants;

use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, Event, Key, ListenConfig, SocketOptions, UringEngine,
    Wait,
};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const CLIENTS: usize = 20;

static ALONE: Mutex<()> = Mutex::new(());

/// Real sockets take real time, and this is the one place that it comes from.
fn now() -> Instant {
    Instant::now()
}

fn small() -> EngineConfig {
    EngineConfig {
        sessions_max: 100,
        chunk_bytes: 4096,
        chunks: 16,
        ..EngineConfig::default()
    }
}

fn local() -> ListenConfig {
    ListenConfig::new((Ipv4Addr::LOCALHOST, 0).into())
}

/// Sets the number below which descriptors are given out, and returns the one before.
fn limit_descriptors(limit: u64) -> u64 {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call fills the structure that it is given.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) };
    assert_eq!(outcome, 0);
    let before = std::mem::replace(&mut limits.rlim_cur, limit);
    // SAFETY: the call only reads the structure.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) };
    assert_eq!(outcome, 0);
    before
}

/// The limit that leaves room for so many more: numbers below it may be taken, with holes between.
fn limit_for(more: usize) -> u64 {
    let open = || File::open("/dev/null").unwrap();
    let files: Vec<_> = (0..more).map(|_| open()).collect();
    let highest = files.iter().map(AsRawFd::as_raw_fd).max();
    u64::try_from(highest.unwrap() + 1).unwrap()
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What a listener came to.
struct Harvest<A> {
    sockets: Vec<A>,
    failures: u32,
    turns: u32,
}

/// Collects accepted sockets, and failures, until there are `enough`.
fn harvest<E: Engine>(
    engine: &mut E,
    enough: impl Fn(&Harvest<E::Accepted>) -> bool,
) -> Harvest<E::Accepted> {
    let deadline = now() + PATIENCE;
    let mut harvest = Harvest {
        sockets: Vec::new(),
        failures: 0,
        turns: 0,
    };
    while !enough(&harvest) {
        assert!(now() < deadline, "what is awaited comes within a minute");
        engine.submit_and_wait(Wait::Until(deadline)).unwrap();
        harvest.turns += 1;
        while let Some(event) = engine.next_event() {
            match event {
                Event::Accepted { socket, .. } => harvest.sockets.push(socket),
                Event::AcceptFailed { error, .. } => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    harvest.failures += 1;
                }
                Event::Closed { .. } => {}
                _ => panic!("neither accepted nor failed nor closed"),
            }
        }
    }
    harvest
}

/// So many accepted sockets.
fn accepted<E: Engine>(engine: &mut E, count: usize) -> Vec<E::Accepted> {
    harvest(engine, |so_far| so_far.sockets.len() >= count).sockets
}

/// An engine that has no descriptor left for the clients that wait to be accepted.
struct Starved<E> {
    engine: E,
    session: Key,
    clients: Vec<TcpStream>,
    /// When it was made, and the failures since: the poll engine looks for another client as soon
    /// as it has one.
    since: Instant,
    failures: u32,
    /// The limit that gives the process its descriptors back.
    before: u64,
}

fn starved<E: Engine>(accept_retry_min: Duration) -> Starved<E> {
    let config = EngineConfig {
        accept_retry_min,
        accept_retry_max: accept_retry_min.max(Duration::from_secs(60)),
        ..small()
    };
    let mut engine = E::open(&config).unwrap();
    // Room for the listener, one client and its session. io_uring holds an accept to the limit that
    // it finds when it is armed (`io_accept_prep`), so it is set before the listener is made.
    let limit = limit_for(3);
    let before = limit_descriptors(limit);
    let (_, address) = engine.listen(&local()).unwrap();
    engine.submit().unwrap();
    let mut clients = vec![TcpStream::connect(address).unwrap()];
    let since = now();
    let mut first = harvest(&mut engine, |so_far| !so_far.sockets.is_empty());
    let socket = first.sockets.pop().unwrap();
    let session = engine.adopt(socket, &SocketOptions::default()).unwrap();
    limit_descriptors(before);
    clients.extend((0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()));
    limit_descriptors(limit);
    Starved {
        engine,
        session,
        clients,
        since,
        failures: first.failures,
        before,
    }
}

fn accepting_waits_for_descriptors_without_a_fuss<E: Engine>() {
    let _alone = ALONE.lock();
    let pause = Duration::from_millis(50);
    let mut starved = starved::<E>(pause);
    let failures = 4 - starved.failures;
    let waited = harvest(&mut starved.engine, |so_far| so_far.failures == failures);
    assert!(waited.sockets.is_empty());
    // At 0, 50, 150 and 350 ms.
    assert!(starved.since.elapsed() >= 7 * pause, "the pause grows");
    let turns = waited.turns;
    assert!(turns < 30, "{turns} turns while no descriptor was left");

    // Descriptors that come back behind the engine's back are found when the pause is over.
    limit_descriptors(starved.before);
    accepted(&mut starved.engine, CLIENTS);
    drop(starved.clients);
    assert_eq!(starved.engine.drain(now() + PATIENCE), Drained::Clean);
}

fn a_closed_session_ends_the_wait_for_a_descriptor<E: Engine>() {
    let _alone = ALONE.lock();
    // A pause that no test would see the end of.
    let mut starved = starved::<E>(10 * PATIENCE);
    let failures = 1 - starved.failures;
    harvest(&mut starved.engine, |so_far| so_far.failures == failures);
    starved.engine.close(starved.session, CloseMode::Orderly);
    let socket = accepted(&mut starved.engine, 1);
    drop((socket, starved.clients));
    limit_descriptors(starved.before);
    assert_eq!(starved.engine.drain(now() + PATIENCE), Drained::Clean);
}

/// Brings about most of what a socket can come to, and drains in the middle of it.
fn use_many_sockets<E: Engine>() {
    let mut engine = E::open(&small()).unwrap();
    let (listener, address) = engine.listen(&local()).unwrap();
    let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = far.local_addr().unwrap();
    let options = SocketOptions::default();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let sockets = accepted(&mut engine, CLIENTS);
    let mut keys: Vec<Key> = sockets
        .into_iter()
        .take(CLIENTS / 2)
        .map(|socket| engine.adopt(socket, &options).unwrap())
        .collect();
    keys.extend((0..CLIENTS).map(|_| engine.connect(to, &options).unwrap()));
    for (index, key) in keys.iter().enumerate() {
        engine.arm_recv(*key);
        match index % 3 {
            0 => engine.close(*key, CloseMode::Abort),
            1 => engine.close(*key, CloseMode::Orderly),
            _ => {}
        }
    }
    engine.submit_and_wait(Wait::Poll).unwrap();
    // In the queue of a listener that is closed, accepted by none, or by nobody who looks.
    clients.extend((0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()));
    engine.submit_and_wait(Wait::Poll).unwrap();
    engine.close(listener, CloseMode::Orderly);
    let (_, address) = engine.listen(&local()).unwrap();
    engine.submit().unwrap();
    clients.extend((0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()));
    assert_eq!(engine.drain(now() + PATIENCE), Drained::Clean);
}

fn no_descriptor_is_lost<E: Engine>() {
    let _alone = ALONE.lock();
    let before = open_descriptors();
    for _ in 0..5 {
        use_many_sockets::<E>();
    }
    assert_eq!(open_descriptors(), before);
}

/// Of `sessions` connections, `places` of which have a place with the listener's, the others take a
/// descriptor each; all of them receive, and places are used again.
fn places_take_no_descriptor(config: &EngineConfig, sessions: usize, places: usize) {
    let mut engine = UringEngine::open(config).unwrap();
    let (_, address) = engine.listen(&local()).unwrap();
    for _ in 0..3 {
        let before = open_descriptors();
        let mut clients: Vec<_> = (0..sessions)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let options = SocketOptions::default();
        for socket in accepted(&mut engine, sessions) {
            let key = engine.adopt(socket, &options).unwrap();
            engine.arm_recv(key);
        }
        engine.submit().unwrap();
        let taken = open_descriptors() - before;
        assert_eq!(taken, sessions + sessions.saturating_sub(places - 1));
        for client in &mut clients {
            client.write_all(b"alive").unwrap();
        }
        let mut received = 0;
        let mut closed = 0;
        while closed < sessions {
            engine
                .submit_and_wait(Wait::Until(now() + PATIENCE))
                .unwrap();
            while let Some(event) = engine.next_event() {
                match event {
                    Event::Received { key, chunk } => {
                        received += chunk.as_slice().len();
                        engine.close(key, CloseMode::Orderly);
                    }
                    Event::Closed { .. } => closed += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(received, sessions * b"alive".len());
        for client in &mut clients {
            assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        }
        drop(clients);
        assert_eq!(open_descriptors(), before);
    }
    assert_eq!(engine.drain(now() + PATIENCE), Drained::Clean);
}

#[test]
fn direct_connections_take_no_descriptor() {
    let _alone = ALONE.lock();
    let config = |places| EngineConfig {
        direct_descriptors: places,
        ..small()
    };
    places_take_no_descriptor(&config(100), CLIENTS, 100);
    // A full table, and none.
    places_take_no_descriptor(&config(8), CLIENTS, 8);
    places_take_no_descriptor(&config(1), CLIENTS, 1);
    // As large as the process's limit, which the kernel asks for.
    let limit = 100;
    let before = limit_descriptors(limit);
    places_take_no_descriptor(&config(1 << 20), CLIENTS, 100);
    limit_descriptors(before);
}

macro_rules! descriptors {
    ($engine:ident: $type:ty) => {
        mod $engine {
            #[test]
            fn accepting_waits_for_descriptors_without_a_fuss() {
                super::accepting_waits_for_descriptors_without_a_fuss::<$type>();
            }

            #[test]
            fn a_closed_session_ends_the_wait_for_a_descriptor() {
                super::a_closed_session_ends_the_wait_for_a_descriptor::<$type>();
            }

            #[test]
            fn no_descriptor_is_lost() {
                super::no_descriptor_is_lost::<$type>();
            }
        }
    };
}

descriptors!(poll: fastport_engine::PollEngine);
descriptors!(uring: fastport_engine::UringEngine);
descriptors!(uring_direct: crate::variants::DirectDescriptors);
