//! A worker dies: who is told, and what goes on.

use super::harness::{Host, LIMIT, Peer, Seen, Setup};
use fastport::{CloseReason, Dispatch, Error, Server, Session, WorkerFailure};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};

fn two_workers(setup: Setup, policy: WorkerFailure) -> Host {
    setup.host(
        |config| {
            config.workers = 2;
            config.worker_failure = policy;
        },
        |session, packet| {
            let _ = session.forward(&packet);
        },
    )
}

/// Sessions on both workers, and their peers.
fn eight(host: &Host) -> Vec<(Peer, Session)> {
    let both = (0..8).map(|_| {
        let peer = host.connect();
        (peer, host.accepted())
    });
    both.collect()
}

/// Waits for the end of half of the eight; the sessions that are told are those of one worker.
fn half_are_told(host: &Host, mut sessions: Vec<(Peer, Session)>) -> Vec<(Peer, Session)> {
    for _ in 0..4 {
        let id = loop {
            if let Seen::Disconnected(id, reason) = host.next() {
                assert_eq!(reason, CloseReason::WorkerFailed);
                break id;
            }
        };
        let at = sessions.iter().position(|(_, session)| session.id() == id);
        let (mut peer, _) = sessions.remove(at.expect("told twice"));
        peer.drain();
    }
    for (peer, _) in &mut sessions {
        peer.send(b"unharmed");
        assert_eq!(peer.receive(), b"unharmed");
    }
    sessions
}

fn worker_died(failure: Option<Error>) {
    let Some(Error::WorkerDied { message, .. }) = failure else {
        panic!("{failure:?}")
    };
    assert!(message.contains("asked to fail"), "{message}");
}

/// The worker's sessions are told, whoever waits is told, and the rest is served until it stops.
pub(crate) fn a_worker_that_dies_is_told_of(setup: Setup) {
    let host = two_workers(setup, WorkerFailure::Stop);
    let sessions = eight(&host);
    host.server.service().fail_worker(1);
    worker_died(host.server.wait().err());
    let mut left = half_are_told(&host, sessions);
    // Connections do not go to the dead, though it has the fewest sessions.
    for _ in 0..4 {
        let mut peer = host.connect();
        peer.send(b"new");
        assert_eq!(peer.receive(), b"new");
        left.push((peer, host.accepted()));
    }
    assert!(!host.server.service().ping_workers(LIMIT));
    drop(left);
    assert_eq!(host.server.stop(LIMIT).leaked_operations, 0);
    assert_eq!(host.server.service().sessions(), 0);
}

/// The others go on, and one of them listens in its place.
pub(crate) fn the_others_go_on_if_so_set(setup: Setup) {
    let host = two_workers(setup, WorkerFailure::GoOn);
    let sessions = eight(&host);
    // The one that listens.
    host.server.service().fail_worker(0);
    let left = half_are_told(&host, sessions);
    let mut late = connect_again(host.address());
    late.send(b"new");
    assert_eq!(late.receive(), b"new");
    assert!(host.server.service().ping_workers(LIMIT));
    drop((left, late));
    let report = host.server.stop(LIMIT);
    worker_died(report.failure);
    assert_eq!(host.server.service().sessions(), 0);
}

/// Connects as soon as somebody listens again.
fn connect_again(to: SocketAddr) -> Peer {
    for _ in 0..100_000 {
        if TcpStream::connect(to).is_ok() {
            return Peer::connect(to);
        }
        std::thread::yield_now();
    }
    panic!("nobody listens at {to}")
}

/// Connects that a worker did not come to before it died are told of, and no place is lost.
pub(crate) fn connects_of_a_worker_that_dies_give_their_places_back(setup: Setup) {
    let server: Arc<OnceLock<(Server, SocketAddr)>> = Arc::default();
    let inside = server.clone();
    let (told, tells) = channel();
    let told = Mutex::new(told);
    let host = setup.host(
        |_| {},
        move |_, _| {
            let (server, address) = inside.get().expect("the server");
            let service = server.service();
            // The worker looks at these in their order.
            service.fail_worker(0);
            for _ in 0..3 {
                let told = told.lock().unwrap().clone();
                let done = move |outcome: Result<_, _>| told.send(outcome.map(drop)).unwrap();
                let handler = Arc::new(fastport::Router::new());
                // On a pool this may come when the service has ended already.
                let _ = service.connect(*address, handler, done);
            }
        },
    );
    let address = host.address();
    let (server, _) = server.get_or_init(|| (host.server, address));
    let mut peer = Peer::connect(address);
    peer.send(b"die");
    peer.drain();
    worker_died(server.wait().err());
    server.stop(LIMIT);
    assert_eq!(server.service().sessions(), 0);
    let outcomes: Vec<_> = tells.try_iter().collect();
    let as_stopping = |outcome: &Result<(), _>| *outcome == Err(CloseReason::Stopping);
    assert!(outcomes.iter().all(as_stopping), "{outcomes:?}");
    let is_inline = setup.dispatch == Dispatch::Inline;
    assert!(!is_inline || outcomes.len() == 3, "{outcomes:?}");
}
