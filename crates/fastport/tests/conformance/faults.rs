//! What goes wrong outside: peers that go in every way, bursts of them, and a machine that stalls.

use super::harness::{End, Host, ID, LIMIT, Peer, Seen, Setup, frame, pattern};
use fastport::{
    CloseReason, Dispatch, Handler, Packet, SendStatus, ServiceConfig, Session, SessionId,
};
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A server that echoes, answers `big` with more than a socket takes, and ends the session on
/// `bye`.
fn talkative(setup: Setup, change: impl FnOnce(&mut ServiceConfig)) -> Host {
    setup.host(change, |session, packet| match packet.payload() {
        b"big" => {
            for seed in 0..12 {
                let _ = session.send_bytes(ID, &pattern(seed, 60_000));
            }
        }
        b"bye" => session.disconnect(),
        _ => {
            let _ = session.forward(&packet);
        }
    })
}

impl Host {
    /// Serves one honest peer, then waits until every session that there was has ended, each once
    /// and with nothing after it. Returns how they ended.
    fn settle(&self) -> HashMap<SessionId, CloseReason> {
        let mut honest = self.connect();
        honest.send(b"unharmed");
        assert_eq!(honest.receive(), b"unharmed");
        drop(honest);
        let mut ended = HashMap::new();
        // No connection comes any more, so this is how many there will have been.
        let all = self.server.stats().accepted;
        while (ended.len() as u64) < all {
            match self.next() {
                Seen::Disconnected(id, reason) => {
                    assert_eq!(ended.insert(id, reason), None, "ended twice");
                }
                Seen::Accepted(session) => assert!(!ended.contains_key(&session.id())),
                Seen::Connected(id) | Seen::Packet(id, ..) | Seen::Writable(id) => {
                    assert!(!ended.contains_key(&id), "something after the end");
                }
            }
        }
        assert_eq!(self.server.stats().closed_total(), all);
        ended
    }
}

/// Writes frames until the server takes no more; whole ones that went.
fn flood(peer: &mut Peer, bytes: &[u8]) -> usize {
    peer.stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    let mut blocked = 0;
    // It may read on after a first pause; what counts is that it stops.
    while blocked < 1000 {
        match peer.stream.write(&bytes[written % bytes.len()..]) {
            Ok(more) => (written, blocked) = (written + more, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked += 1;
                std::thread::yield_now();
            }
            Err(error) => panic!("a write: {error}"),
        }
    }
    peer.stream.set_nonblocking(false).unwrap();
    written
}

/// Wherever a session is, its peer's reset ends it, once, and harms nobody else.
pub(crate) fn a_reset_in_every_state_ends_the_session_once(setup: Setup) {
    let host = talkative(setup, |_| {});
    let whole = frame(ID, &pattern(1, 20));
    for bytes in 0..whole.len() {
        let mut peer = host.connect();
        peer.write(&whole[..bytes]);
        peer.reset();
    }
    let states: [fn(&mut Peer); 7] = [
        // Its answer is on the way, or was never read.
        |peer| peer.send(b"small"),
        |peer| peer.send(b"big"),
        // Its answer was read in part.
        |peer| {
            peer.send(b"big");
            peer.read(100_000);
        },
        // It is not read from.
        |peer| {
            flood(peer, &frame(ID, &pattern(2, 5000)));
        },
        // It has finished, and its answer waits.
        |peer| {
            peer.send(b"big");
            peer.finish();
        },
        // The server flushes.
        |peer| {
            peer.send(b"big");
            peer.send(b"bye");
        },
        // The server has half-closed, and waits for this side.
        |peer| {
            peer.send(b"bye");
            assert_eq!(peer.drain(), (Vec::new(), End::Fin));
        },
    ];
    for _ in 0..3 {
        for reach in states {
            let mut peer = host.connect();
            reach(&mut peer);
            peer.reset();
        }
    }
    for reason in host.settle().into_values() {
        let expected = match reason {
            CloseReason::PeerReset { .. } => true,
            // What was asked for first stays the reason.
            CloseReason::PeerClosed | CloseReason::Requested => true,
            _ => false,
        };
        assert!(expected, "{reason}");
    }
}

/// The end of a peer's stream waits behind what it sent and was not read: all of it is answered.
pub(crate) fn the_end_behind_unread_bytes_comes_after_their_answers(setup: Setup) {
    let host = talkative(setup, |_| {});
    let mut peer = host.connect();
    let unit = frame(ID, &pattern(3, 9_996));
    let written = flood(&mut peer, &unit);
    peer.finish();
    let (came, end) = peer.drain();
    assert_eq!(end, End::Fin);
    assert_eq!(came.len(), written / unit.len() * unit.len());
    assert!(came.chunks(unit.len()).all(|answer| answer == unit));
    assert!(host.server.stats().pauses > 0, "it was read to the end");
}

/// A burst of connections that are closed at once, in every way, leaves nothing behind.
pub(crate) fn a_storm_of_connections_leaves_nothing(setup: Setup) {
    let host = talkative(setup, |_| {});
    let to = host.address();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..100 {
                    let mut peer = Peer::connect(to);
                    match round % 5 {
                        0 => drop(peer),
                        1 => peer.reset(),
                        2 => peer.write(&[0, 9]),
                        3 => peer.send(b"never read"),
                        _ => peer.finish(),
                    }
                }
            });
        }
    });
    host.settle();
    assert_eq!(host.server.service().sessions(), 0);
}

/// Two receive buffers of 1 KiB, and the smallest queues to the kernel that can be asked for.
pub(crate) fn the_smallest_engine_serves_everyone(setup: Setup) {
    let host = talkative(setup, |config| {
        let engine = &mut config.engine_config;
        (engine.chunks, engine.chunk_bytes) = (2, 1024);
        engine.receive_budget = 1024;
        (engine.submission_entries, engine.completion_entries) = (1, Some(2));
    });
    let mut peers: Vec<_> = (0..50).map(|_| host.connect()).collect();
    for round in 0..10 {
        for (seed, peer) in peers.iter_mut().enumerate() {
            peer.send(&pattern(seed + round, 3000));
        }
        for (seed, peer) in peers.iter_mut().enumerate() {
            assert!(peer.receive() == pattern(seed + round, 3000));
        }
    }
    drop(peers);
    host.settle();
}

/// While every event worker is in a handler that blocks, connections are taken and the I/O goes on.
pub(crate) fn a_blocked_event_pool_does_not_stop_the_io(setup: Setup) {
    let Dispatch::Pool { workers } = setup.dispatch else {
        eprintln!("skipped: inline, whoever blocks is the I/O worker");
        return;
    };
    let (entered, enters) = channel();
    let (let_go, gate) = channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    let host = setup.host(
        |_| {},
        move |session, packet| {
            if packet.payload() == b"block" {
                entered.lock().unwrap().send(()).unwrap();
                // Until the case drops the other end.
                let _ = gate.lock().unwrap().recv();
            }
            let _ = session.forward(&packet);
        },
    );
    let mut blocked: Vec<_> = (0..workers).map(|_| host.connect()).collect();
    for peer in &mut blocked {
        peer.send(b"block");
    }
    for _ in 0..workers {
        enters.recv_timeout(LIMIT).expect("a handler blocks");
    }
    let mut late = host.connect();
    late.send(b"late");
    let before = workers as u64;
    while host.server.stats().packets_in <= before {
        assert!(host.server.service().ping_workers(LIMIT), "the I/O stands");
    }
    assert_eq!(host.server.stats().accepted, before + 1);
    drop(let_go);
    assert_eq!(late.receive(), b"late");
    for peer in &mut blocked {
        assert_eq!(peer.receive(), b"block");
    }
}

/// Nobody is blamed for what could not happen while a worker was kept from running: a handler that
/// blocks here, a stopped process or a suspended machine elsewhere.
pub(crate) fn a_worker_that_could_not_run_blames_nobody(setup: Setup) {
    let Dispatch::Inline = setup.dispatch else {
        eprintln!("skipped: on a pool, no handler keeps the worker from running");
        return;
    };
    let host = setup.host(
        |config| config.session.idle_timeout = Duration::from_secs(1),
        |session, packet| {
            if packet.payload() == b"stall" {
                // Nobody sends: it ends with its time.
                let (_nobody, never) = channel::<()>();
                let _ = never.recv_timeout(Duration::from_secs(3));
            }
            let _ = session.forward(&packet);
        },
    );
    let mut silent: Vec<_> = (0..20).map(|_| host.connect()).collect();
    let mut stalling = host.connect();
    for peer in silent.iter_mut().chain([&mut stalling]) {
        peer.send(b"here");
        assert_eq!(peer.receive(), b"here");
    }
    stalling.send(b"stall");
    assert_eq!(stalling.receive(), b"stall");
    for peer in &mut silent {
        peer.send(b"still here");
        assert_eq!(peer.receive(), b"still here");
    }
    // The limit holds again.
    assert_eq!(host.reason(), CloseReason::Idle);
}

/// A handler that panics where it is told to.
struct Panicking {
    place: &'static str,
    ended: Mutex<Sender<CloseReason>>,
}

impl Panicking {
    fn at(place: &'static str) -> (Self, Receiver<CloseReason>) {
        let (ended, ends) = channel();
        let ended = Mutex::new(ended);
        (Self { place, ended }, ends)
    }

    fn pass(&self, place: &str) {
        assert_ne!(self.place, place, "as it was told");
    }
}

impl Handler for Panicking {
    fn on_connected(&self, _session: &Session) {
        self.pass("on_connected");
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if packet.payload() == b"big" {
            // As much as makes the session owe an `on_writable`.
            let part = pattern(1, 60_000);
            while session.send_bytes(ID, &part) == Ok(SendStatus::Queued) {}
        } else {
            let _ = session.forward(&packet);
        }
    }

    fn on_writable(&self, _session: &Session) {
        self.pass("on_writable");
    }

    fn on_disconnected(&self, _session: &Session, reason: CloseReason) {
        let _ = self.ended.lock().unwrap().send(reason);
    }
}

pub(crate) fn a_panic_in_on_writable_ends_its_own_session(setup: Setup) {
    let (handler, ends) = Panicking::at("on_writable");
    let server = setup.serve(|_| {}, handler);
    let mut other = Peer::connect(server.local_address());
    let mut peer = Peer::connect(server.local_address());
    peer.send(b"big");
    peer.drain();
    drop(peer);
    assert_eq!(ends.recv_timeout(LIMIT), Ok(CloseReason::HandlerPanic));
    other.send(b"unharmed");
    assert_eq!(other.receive(), b"unharmed");
}

pub(crate) fn a_panic_of_whoever_connects_ends_its_own_session(setup: Setup) {
    let host = setup.echo();
    let service = host.server.service();
    for place in ["on_connected", "done"] {
        let (handler, ends) = Panicking::at(place);
        let handler = std::sync::Arc::new(handler);
        let done = move |_| assert_ne!(place, "done", "as it was told");
        service.connect(host.address(), handler, done).unwrap();
        assert_eq!(ends.recv_timeout(LIMIT), Ok(CloseReason::HandlerPanic));
    }
    assert!(service.ping_workers(LIMIT), "the worker died");
}

/// A peer that is gone without a word is noticed by its silence, or when it is talked to.
#[cfg(target_os = "linux")]
pub(crate) fn a_peer_that_vanishes_is_noticed(setup: Setup) {
    let host = talkative(setup, |config| {
        config.session.idle_timeout = Duration::from_millis(500);
    });
    let silent = host.connect();
    host.accepted();
    if let Err(error) = fastport_testkit::vanish::vanish(silent.stream) {
        eprintln!("skipped: peers can not be made to vanish here: {error}");
        return;
    }
    assert_eq!(host.reason(), CloseReason::Idle);
    let talked_to = host.connect();
    let session = host.accepted();
    fastport_testkit::vanish::vanish(talked_to.stream).unwrap();
    let _ = session.send_bytes(ID, b"are you there?").unwrap();
    assert!(matches!(host.reason(), CloseReason::PeerReset { .. }));
}
