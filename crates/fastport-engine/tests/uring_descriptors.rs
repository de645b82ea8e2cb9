//! Accepting on io_uring when the process has no descriptor left.
//!
//! Alone in its file, since the limit is the process's.
#![cfg(target_os = "linux")]

use fastport_engine::{
    CloseMode, Drained, Engine, EngineConfig, Event, ListenConfig, SocketOptions, UringEngine, Wait,
};
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const CLIENTS: usize = 20;

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

/// Everything that happens within the time given, or until `enough` sockets were accepted.
fn harvest(
    engine: &mut UringEngine,
    within: Duration,
    enough: usize,
    sockets: &mut Vec<OwnedFd>,
) -> usize {
    let deadline = Instant::now() + within;
    let mut failures = 0;
    while Instant::now() < deadline && sockets.len() < enough {
        engine.submit_and_wait(Wait::Until(deadline)).unwrap();
        while let Some(event) = engine.next_event() {
            match event {
                Event::Accepted { socket, .. } => sockets.push(socket),
                Event::AcceptFailed { error, .. } => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    failures += 1;
                }
                Event::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    failures
}

#[test]
fn accepting_waits_for_descriptors_without_a_fuss_and_goes_on_when_there_are_some() {
    let config = EngineConfig {
        sessions_max: 100,
        chunk_bytes: 4096,
        chunks: 16,
        accept_retry_min: Duration::from_millis(50),
        accept_retry_max: Duration::from_secs(60),
        ..EngineConfig::default()
    };
    let mut engine = UringEngine::open(&config).unwrap();
    // Room for the listener, one client and its session. An accept is held to the limit that it
    // finds when it is armed (`io_accept_prep`).
    let limit = limit_for(3);
    let before = limit_descriptors(limit);
    let on = ListenConfig::new((Ipv4Addr::LOCALHOST, 0).into());
    let (_, address) = engine.listen(&on).unwrap();
    engine.submit().unwrap();
    let mut sockets = Vec::new();
    let first = TcpStream::connect(address).unwrap();
    harvest(&mut engine, Duration::from_secs(5), 1, &mut sockets);
    let options = SocketOptions::default();
    let session = engine.adopt(sockets.pop().unwrap(), &options).unwrap();

    limit_descriptors(before);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    limit_descriptors(limit);
    let enters = engine.enters();
    let failures = harvest(&mut engine, Duration::from_millis(400), 1, &mut sockets);
    assert!(sockets.is_empty());
    // At 0, 50, 150 and 350 ms.
    assert!((2..=5).contains(&failures), "{failures} failures reported");
    let spent = engine.enters() - enters;
    assert!(
        spent < 30,
        "{spent} system calls while no descriptor was left"
    );

    // The pause has grown to 0.8 s, but a closed session gives a descriptor back now.
    let started = Instant::now();
    engine.close(session, CloseMode::Orderly);
    harvest(&mut engine, Duration::from_secs(5), 1, &mut sockets);
    assert_eq!(sockets.len(), 1);
    assert!(started.elapsed() < Duration::from_millis(300));

    // A descriptor that comes back behind the engine's back is found when the pause is over.
    limit_descriptors(before);
    harvest(&mut engine, Duration::from_secs(20), CLIENTS, &mut sockets);
    assert_eq!(sockets.len(), CLIENTS);
    drop((first, clients));
    assert_eq!(
        engine.drain(Instant::now() + Duration::from_secs(5)),
        Drained::Clean
    );
}
