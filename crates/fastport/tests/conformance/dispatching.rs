//! Handlers: order, one at a time, panics.

use super::harness::{Host, ID, LIMIT, Peer, Seen, Setup, frame};
use fastport::{CloseReason, Dispatch, Handler, Packet, Session};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Notes per session whether a handler is inside, and which packet comes next.
#[derive(Default)]
struct Inside {
    entered: AtomicBool,
    next: AtomicU32,
}

pub(crate) fn packets_of_a_session_come_one_at_a_time_in_order(setup: Setup) {
    const PACKETS: u32 = 300;
    let host = setup.host(
        |_| {},
        |session, packet| {
            let _ = session.attach(Inside::default());
            let inside = session.attached::<Inside>().unwrap();
            assert!(!inside.entered.swap(true, Ordering::SeqCst), "two at once");
            let number = u32::from_be_bytes(packet.payload().try_into().unwrap());
            assert_eq!(
                inside.next.fetch_add(1, Ordering::SeqCst),
                number,
                "out of order"
            );
            // Now and then somebody else runs here; each time would take long on a busy machine.
            if number.is_multiple_of(16) {
                std::thread::yield_now();
            }
            inside.entered.store(false, Ordering::SeqCst);
            let _ = session.forward(&packet);
        },
    );
    let mut peers: Vec<Peer> = (0..20).map(|_| host.connect()).collect();
    let all: Vec<u8> = (0..PACKETS)
        .flat_map(|n| frame(ID, &n.to_be_bytes()))
        .collect();
    for part in all.chunks(701) {
        for peer in &mut peers {
            peer.write(part);
        }
    }
    for peer in &mut peers {
        for number in 0..PACKETS {
            assert_eq!(peer.receive(), number.to_be_bytes());
        }
    }
}

pub(crate) fn each_turn_has_a_time_of_its_own(setup: Setup) {
    let last = Mutex::new(None);
    let host = setup.host(
        |_| {},
        move |session, packet| {
            let turn = session.turn_time();
            let before = last.lock().unwrap().replace(turn);
            assert!(before.is_none_or(|before| before < turn), "the same turn");
            let _ = session.forward(&packet);
        },
    );
    let mut peer = host.connect();
    for _ in 0..10 {
        // Not before the last answer, so in a later turn.
        peer.send(b"next");
        assert_eq!(peer.receive(), b"next");
    }
}

/// The peer whose handler panicked is closed; another, connected all the time, is served.
fn panics_close_one(host: &Host, bad: impl FnOnce(&mut Peer)) {
    let mut good = host.connect();
    good.send(b"good");
    assert_eq!(good.receive(), b"good");
    let mut peer = host.connect();
    bad(&mut peer);
    peer.drain();
    drop(peer);
    assert_eq!(host.reason(), CloseReason::HandlerPanic);
    for _ in 0..10 {
        good.send(b"still good");
        assert_eq!(good.receive(), b"still good");
    }
    drop(good);
    assert_eq!(host.reason(), CloseReason::PeerClosed);
}

pub(crate) fn a_panic_in_on_packet_ends_its_own_session(setup: Setup) {
    let host = setup.host(
        |_| {},
        |session, packet| {
            assert!(packet.payload() != b"bad", "a panic of the test");
            let _ = session.forward(&packet);
        },
    );
    for _ in 0..3 {
        panics_close_one(&host, |peer| peer.send(b"bad"));
    }
}

/// A panic's payload whose destructor panics with another such payload.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Bomb(self.0 - 1));
        }
    }
}

pub(crate) fn a_panic_whose_payload_panics_ends_its_own_session(setup: Setup) {
    let host = setup.host(
        |_| {},
        |session, packet| {
            if packet.payload() == b"bad" {
                std::panic::panic_any(Bomb(3));
            }
            let _ = session.forward(&packet);
        },
    );
    panics_close_one(&host, |peer| peer.send(b"bad"));
    assert!(host.server.stop(LIMIT).failure.is_none());
}

/// Two sessions with much to do share one event worker whose handler takes longer than a run may:
/// each has its turn after every packet. Inline there are no turns.
pub(crate) fn slow_handlers_take_turns(setup: Setup) {
    const PACKETS: usize = 40;
    const SLOW: Duration = Duration::from_millis(1);
    if setup.dispatch == Dispatch::Inline {
        return;
    }
    let (open, gate) = channel::<()>();
    let (_never, nothing) = channel::<()>();
    let gates = Mutex::new((gate, nothing));
    let host = setup.host(
        |config| config.dispatch = Dispatch::Pool { workers: 1 },
        move |_, _| {
            let (gate, nothing) = &*gates.lock().unwrap();
            // Until both sessions' packets are there, then the time of a handler that blocks.
            let _ = gate.recv();
            let _ = nothing.recv_timeout(SLOW);
        },
    );
    let mut peers = [host.connect(), host.connect()];
    for peer in &mut peers {
        peer.write(&frame(ID, b"work").repeat(PACKETS));
    }
    while host.server.stats().packets_in < 2 * PACKETS as u64 {
        std::thread::yield_now();
    }
    drop(open);
    let mut order = Vec::new();
    while order.len() < 2 * PACKETS {
        if let Seen::Packet(session, ..) = host.next() {
            order.push(session);
        }
    }
    // The very first run may find the other session not begun yet.
    let turns = order.chunk_by(|a, b| a == b).map(<[_]>::len);
    let longest = turns.skip(1).max();
    assert_eq!(longest, Some(1), "{order:?}");
}

/// Waits in its handler, and tells that it was freed.
struct Held {
    entered: Mutex<Sender<()>>,
    gate: Mutex<Receiver<()>>,
    _freed: Sender<()>,
}

impl Handler for Held {
    fn on_packet(&self, _session: &Session, _packet: Packet<'_>) {
        let _ = self.entered.lock().unwrap().send(());
        let _ = self.gate.lock().unwrap().recv();
    }
}

pub(crate) fn a_handler_that_outlives_the_workers_leaks_nothing(setup: Setup) {
    if setup.dispatch == Dispatch::Inline {
        return;
    }
    let (entered, enters) = channel();
    let (open, gate) = channel();
    let (freed, is_freed) = channel();
    let handler = Held {
        entered: Mutex::new(entered),
        gate: Mutex::new(gate),
        _freed: freed,
    };
    let server = setup.serve(|c| c.session.receive_high_watermark = 4096, handler);
    let mut peer = Peer::connect(server.local_address());
    // So much that the strand asks its worker to read on when it is done with it.
    peer.write(&frame(ID, &[1; 4000]).repeat(3));
    enters.recv_timeout(LIMIT).expect("the handler is entered");
    std::thread::scope(|scope| {
        scope.spawn(|| server.stop(Duration::ZERO));
        assert!(server.service().wait_for(LIMIT), "the workers end");
        drop(open);
    });
    drop(server);
    let ended = is_freed.recv_timeout(LIMIT);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "leaked");
}

/// Panics where it is told to.
struct Touchy {
    in_accepted: bool,
    count: AtomicU32,
    ended: Mutex<Sender<CloseReason>>,
}

impl Handler for Touchy {
    fn on_accepted(&self, _session: &Session) {
        let first = self.count.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(!(self.in_accepted && first), "a panic of the test");
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let _ = session.forward(&packet);
    }

    fn on_disconnected(&self, _session: &Session, reason: CloseReason) {
        self.ended.lock().unwrap().send(reason).unwrap();
        assert!(self.in_accepted, "a panic of the test");
    }
}

fn touchy(in_accepted: bool) -> (Touchy, std::sync::mpsc::Receiver<CloseReason>) {
    let (ended, ends) = channel();
    (
        Touchy {
            in_accepted,
            count: AtomicU32::new(0),
            ended: Mutex::new(ended),
        },
        ends,
    )
}

pub(crate) fn a_panic_in_on_accepted_ends_its_own_session(setup: Setup) {
    let (handler, ends) = touchy(true);
    let server = setup.serve(|_| {}, handler);
    let mut bad = Peer::connect(server.local_address());
    bad.drain();
    drop(bad);
    assert_eq!(ends.recv_timeout(LIMIT), Ok(CloseReason::HandlerPanic));
    let mut good = Peer::connect(server.local_address());
    good.send(b"served");
    assert_eq!(good.receive(), b"served");
}

pub(crate) fn a_panic_in_on_disconnected_harms_nobody(setup: Setup) {
    let (handler, ends) = touchy(false);
    let server = Arc::new(setup.serve(|_| {}, handler));
    for _ in 0..5 {
        drop(Peer::connect(server.local_address()));
        assert_eq!(ends.recv_timeout(LIMIT), Ok(CloseReason::PeerClosed));
    }
    let mut good = Peer::connect(server.local_address());
    good.send(b"served");
    assert_eq!(good.receive(), b"served");
    let report = server.stop(LIMIT);
    assert!(report.failure.is_none());
    assert_eq!(report.stats.sessions, 0);
}
