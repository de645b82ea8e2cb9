//! The life of sessions: first and last callbacks, handles, lookups, spreading.

use super::harness::{Host, ID, Peer, Random, Seen, Setup, pattern};
use fastport::{CloseReason, SendError, ServiceConfig, WaitStrategy};
use std::collections::HashMap;
use std::sync::{Arc, mpsc::channel};
use std::time::Duration;

pub(crate) fn a_session_is_accepted_first_and_disconnected_last(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    peer.send(b"hello");
    assert_eq!(peer.receive(), b"hello");
    drop(peer);
    let Seen::Accepted(session) = host.next() else {
        panic!("not accepted first")
    };
    assert!(session.is_inbound());
    assert!(matches!(host.next(), Seen::Packet(id, _, _) if id == session.id()));
    assert_eq!(
        host.next(),
        Seen::Disconnected(session.id(), CloseReason::PeerClosed)
    );
    assert!(!session.is_connected());
}

/// Workers that look again before they sleep: packets from the peer and from another thread, time
/// limits, and the end come through as ever.
pub(crate) fn every_way_of_waiting_serves(setup: Setup) {
    for wait in [WaitStrategy::Spin, WaitStrategy::Adaptive] {
        let change = |config: &mut ServiceConfig| {
            config.wait = wait;
            config.spin_limit = Duration::from_micros(200);
            config.session.idle_timeout = Duration::from_secs(1);
            config.session.linger_timeout = Duration::from_millis(10);
        };
        let host = setup.host(change, |session, packet| {
            let _ = session.forward(&packet);
        });
        let mut peer = host.connect();
        let session = host.accepted();
        for round in 0..50 {
            let bytes = pattern(round, 100);
            peer.send(&bytes);
            assert_eq!(peer.receive(), bytes);
            let _ = session.send_bytes(ID, b"from outside").unwrap();
            assert_eq!(peer.receive(), b"from outside");
        }
        assert_eq!(host.reason(), CloseReason::Idle);
    }
}

/// Sessions end in every way at random; each is told exactly once, after everything else.
pub(crate) fn many_sessions_each_end_once(setup: Setup) {
    const SESSIONS: u64 = 300;
    let host = setup.host(
        |_| {},
        |session, packet| match packet.payload() {
            b"close" => session.disconnect(),
            _ => {
                let _ = session.forward(&packet);
            }
        },
    );
    let mut random = Random(7);
    for _ in 0..SESSIONS {
        let mut peer = host.connect();
        match random.below(6) {
            0 => drop(peer),
            1 => peer.reset(),
            2 => peer.send(b"close"),
            3 => {
                peer.send(&pattern(1, 3000));
                peer.reset();
            }
            4 => {
                peer.write(&[0, 50, 0]);
                drop(peer);
            }
            _ => {
                peer.send(b"once");
                assert_eq!(peer.receive(), b"once");
                peer.finish();
            }
        }
    }
    let mut open = HashMap::new();
    let (mut ended, mut accepted) = (0, 0);
    loop {
        let stats = host.server.stats();
        // One that reset at once may be gone before it becomes a session.
        let arrived = stats.accepted + stats.adopt_failures + stats.accept_failures;
        if arrived >= SESSIONS && ended == stats.accepted {
            break;
        }
        match host.next() {
            Seen::Accepted(session) => {
                accepted += 1;
                assert!(open.insert(session.id(), true).is_none(), "accepted twice");
            }
            Seen::Disconnected(id, _) => {
                assert_eq!(
                    open.insert(id, false),
                    Some(true),
                    "ended twice or never begun"
                );
                ended += 1;
            }
            Seen::Packet(id, ..) => assert_eq!(open.get(&id), Some(&true), "out of its life"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, ended);
    let report = host.server.stop(Duration::from_secs(5));
    assert_eq!(report.stats.closed_total(), report.stats.accepted);
    assert_eq!((report.stats.sessions, report.leaked_operations), (0, 0));
}

pub(crate) fn handles_outlive_the_session_and_the_service(setup: Setup) {
    let host = setup.echo();
    let peer = host.connect();
    let session = host.accepted();
    drop(peer);
    host.reason();
    let refused = Err(SendError::Disconnected);
    assert_eq!(session.send_bytes(super::harness::ID, b"late"), refused);
    let Host { server, sees } = host;
    drop(server);
    drop(sees);
    assert_eq!(session.send_bytes(super::harness::ID, b"later"), refused);
    session.disconnect();
    assert_eq!(session.close_reason(), Some(CloseReason::PeerClosed));
}

pub(crate) fn a_session_carries_a_value_of_the_application(setup: Setup) {
    let host = setup.host(
        |_| {},
        |session, packet| {
            let first = session.attach(packet.payload().to_vec()).is_ok();
            let value = session.attached::<Vec<u8>>().unwrap();
            let _ = session.send_bytes(packet.id(), &[value, &[u8::from(first)][..]].concat());
            assert!(session.attached::<String>().is_none());
        },
    );
    let mut peer = host.connect();
    peer.send(b"a");
    assert_eq!(peer.receive(), b"a\x01");
    peer.send(b"b");
    assert_eq!(peer.receive(), b"a\x00");
}

pub(crate) fn sessions_are_found_by_their_id(setup: Setup) {
    let host = setup.echo();
    let peers: Vec<Peer> = (0..5).map(|_| host.connect()).collect();
    let sessions: Vec<_> = peers.iter().map(|_| host.accepted()).collect();
    let service = host.server.service();
    for session in &sessions {
        assert_eq!(service.session(session.id()).as_ref(), Some(session));
    }
    let mut count = 0;
    service.for_each_session(|_| count += 1);
    assert_eq!((count, service.sessions()), (5, 5));
    drop(peers);
    for _ in 0..5 {
        host.reason();
    }
    host.server.stop(Duration::from_secs(5));
    assert!(host.server.service().session(sessions[0].id()).is_none());
}

pub(crate) fn a_service_has_several_listeners(setup: Setup) {
    let host = setup.echo();
    let (seen, sees) = channel();
    let second = super::harness::Recorder {
        seen: std::sync::Mutex::new(seen),
        act: Box::new(|session, packet| {
            let _ = session.send_bytes(packet.id(), b"second");
        }),
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let address = host.server.service().listen(any, Arc::new(second)).unwrap();
    let (mut one, mut two) = (host.connect(), Peer::connect(address));
    one.send(b"x");
    two.send(b"x");
    assert_eq!(
        (one.receive(), two.receive()),
        (b"x".to_vec(), b"second".to_vec())
    );
    assert!(matches!(sees.recv(), Ok(Seen::Accepted(_))));
}

/// Long-lived sessions must not pile up on one worker.
pub(crate) fn sessions_spread_evenly_over_workers(setup: Setup) {
    let mut config = ServiceConfig::default();
    setup.config(&mut config);
    config.workers = 4;
    let service = setup.start_service(config);
    let (seen, sees) = channel();
    let recorder = super::harness::Recorder {
        seen: std::sync::Mutex::new(seen),
        act: Box::new(|_, _| {}),
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let address = service.listen(any, Arc::new(recorder)).unwrap();
    let peers: Vec<_> = (0..40).map(|_| Peer::connect(address)).collect();
    for _ in &peers {
        sees.recv_timeout(super::harness::LIMIT).unwrap();
    }
    assert_eq!(service.sessions_per_worker(), [10; 4]);
}
