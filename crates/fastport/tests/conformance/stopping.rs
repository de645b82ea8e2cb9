//! The end of a service.

use super::harness::{End, ID, LIMIT, Peer, Seen, Setup, frame, pattern};
use fastport::{CloseReason, Error, RejectReason};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

pub(crate) fn a_stop_answers_what_was_received(setup: Setup) {
    let host = setup.echo();
    let mut peers: Vec<Peer> = (0..20).map(|_| host.connect()).collect();
    for peer in &mut peers {
        peer.send(&pattern(1, 500));
    }
    // All of it was received; some may not have been answered.
    let mut packets = 0;
    while packets < peers.len() {
        packets += usize::from(matches!(host.next(), Seen::Packet(..)));
    }
    let readers: Vec<_> = peers
        .into_iter()
        .map(|mut peer| std::thread::spawn(move || peer.drain()))
        .collect();
    let report = host.server.stop(LIMIT);
    for reader in readers {
        assert_eq!(
            reader.join().unwrap(),
            (frame(ID, &pattern(1, 500)), End::Fin)
        );
    }
    assert_eq!(report.stats.closed_for(CloseReason::Stopping), 20);
    assert_eq!((report.sessions_at_stop, report.leaked_operations), (20, 0));
    assert!(report.failure.is_none());
    assert!(report.took < LIMIT);
}

/// Whoever was connected before the order to stop is served, also who was not accepted yet.
pub(crate) fn a_stop_serves_who_waits_in_the_backlog(setup: Setup) {
    let (entered, enters) = channel();
    let (let_go, gate) = channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    let host = setup.host(
        |config| config.workers = 2,
        move |session, packet| {
            if packet.payload() == b"block" {
                entered.lock().unwrap().send(()).unwrap();
                // Until the case drops the other end.
                let _ = gate.lock().unwrap().recv();
            }
            let _ = session.forward(&packet);
        },
    );
    // Dropped before the host, which waits for its handlers.
    let let_go = let_go;
    // One on each worker, where an inline handler keeps it from accepting.
    let mut peers: Vec<_> = (0..2).map(|_| host.connect()).collect();
    for _ in &peers {
        host.accepted();
    }
    for peer in &mut peers {
        peer.send(b"block");
    }
    for _ in 0..2 {
        enters.recv_timeout(LIMIT).expect("a handler blocks");
    }
    let mut waiting: Vec<_> = (0..50).map(|_| host.connect()).collect();
    for peer in &mut waiting {
        peer.send(b"waits");
    }
    host.server.service().begin_stop(LIMIT);
    drop(let_go);
    for mut peer in peers {
        assert_eq!(peer.drain(), (frame(ID, b"block"), End::Fin));
    }
    for mut peer in waiting {
        assert_eq!(peer.drain(), (frame(ID, b"waits"), End::Fin));
    }
    let stats = host.server.stop(LIMIT).stats;
    assert_eq!(stats.rejected_for(RejectReason::Stopping), 0);
}

pub(crate) fn a_stop_does_not_wait_for_stalled_peers_past_its_deadline(setup: Setup) {
    let host = setup.host(
        |config| {
            config.session.send_queue_max = 1 << 26;
            config.session.flush_timeout = LIMIT * 2;
            config.session.socket.send_buffer = Some(64 * 1024);
        },
        |session, _| {
            for number in 0..500 {
                let _ = session.send_bytes(ID, &pattern(number, 60_000));
            }
        },
    );
    let mut peer = host.connect();
    peer.send(b"more than you read");
    host.packet();
    let report = host.server.stop(Duration::from_millis(300));
    assert!(report.took < LIMIT, "{:?}", report.took);
    assert_eq!((report.stats.sessions, report.leaked_operations), (0, 0));
}

pub(crate) fn a_stop_may_be_asked_for_twice_and_from_a_handler(setup: Setup) {
    let server: Arc<OnceLock<Arc<fastport::Server>>> = Arc::default();
    let inside = server.clone();
    let host = setup.host(
        |_| {},
        move |session, packet| {
            let _ = session.forward(&packet);
            inside
                .get()
                .unwrap()
                .service()
                .begin_stop(Duration::from_secs(10));
        },
    );
    let address = host.address();
    let running = server.get_or_init(|| Arc::new(host.server)).clone();
    let mut peer = Peer::connect(address);
    peer.send(b"stop");
    assert_eq!(peer.drain(), (frame(ID, b"stop"), End::Fin));
    drop(peer);
    running.wait().unwrap();
    assert!(running.stop(LIMIT).failure.is_none());
    assert!(running.stop(LIMIT).failure.is_none());
}

pub(crate) fn a_stopped_service_takes_nobody(setup: Setup) {
    let host = setup.echo();
    let address = host.address();
    host.server.stop(LIMIT);
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "still listening"
    );
    let any = "127.0.0.1:0".parse().unwrap();
    let handler = Arc::new(fastport::Router::new());
    let listened = host.server.service().listen(any, handler.clone());
    assert!(matches!(listened, Err(Error::Stopped)));
    let connected = host.server.service().connect(address, handler, |_| {});
    assert!(matches!(connected, Err(Error::Stopped)));
}

pub(crate) fn workers_answer_while_they_turn(setup: Setup) {
    let (release, is_released) = std::sync::mpsc::channel::<()>();
    let is_released = Mutex::new(is_released);
    let host = setup.host(
        |_| {},
        move |_, _| {
            let _ = is_released.lock().unwrap().recv();
        },
    );
    let service = host.server.service();
    assert!(service.ping_workers(LIMIT));
    let mut peer = host.connect();
    peer.send(b"stay in the handler");
    host.packet();
    // A handler on the pool keeps no worker from its turns; one on the worker does.
    let is_inline = service.config().dispatch == fastport::Dispatch::Inline;
    let limit = if is_inline {
        Duration::from_millis(50)
    } else {
        LIMIT
    };
    assert_eq!(service.ping_workers(limit), !is_inline);
    drop(release);
    assert!(service.ping_workers(LIMIT));
    host.server.stop(LIMIT);
    assert!(!service.ping_workers(LIMIT));
}
