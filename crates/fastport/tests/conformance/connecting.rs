//! Outgoing connections.

use super::harness::{LIMIT, Recorder, Seen, Setup};
use fastport::{CloseReason, IoService, ServiceConfig, Session};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) fn service(setup: Setup, change: impl FnOnce(&mut ServiceConfig)) -> IoService {
    let mut config = ServiceConfig::default();
    setup.config(&mut config);
    change(&mut config);
    setup.start_service(config)
}

pub(crate) fn connect(
    service: &IoService,
    to: SocketAddr,
) -> (Result<Session, CloseReason>, Receiver<Seen>) {
    let (seen, sees) = channel();
    let act = Box::new(|session: &Session, packet: fastport::Packet<'_>| {
        let _ = session.forward(&packet);
    });
    let recorder = Recorder {
        seen: Mutex::new(seen),
        act,
    };
    let (done, is_done) = channel();
    service
        .connect(to, Arc::new(recorder), move |outcome| {
            done.send(outcome).unwrap();
        })
        .unwrap();
    (is_done.recv_timeout(LIMIT).expect("an outcome"), sees)
}

pub(crate) fn a_connection_is_made(setup: Setup) {
    let host = setup.echo();
    let service = service(setup, |_| {});
    let (outcome, sees) = connect(&service, host.address());
    let session = outcome.unwrap();
    assert!(!session.is_inbound());
    assert_eq!(session.peer_address(), host.address());
    assert_eq!(sees.recv_timeout(LIMIT), Ok(Seen::Connected(session.id())));
    host.accepted().disconnect();
    let ended = Seen::Disconnected(session.id(), CloseReason::PeerClosed);
    assert_eq!(sees.recv_timeout(LIMIT), Ok(ended));
    let report = service.stop(LIMIT);
    assert_eq!((report.stats.connected, report.stats.sessions), (1, 0));
}

/// A listener that goes resets what it did not accept, on every system.
pub(crate) fn a_reset_ends_the_session(setup: Setup) {
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = service(setup, |_| {});
    let (outcome, sees) = connect(&service, far.local_addr().unwrap());
    let session = outcome.unwrap();
    assert_eq!(sees.recv_timeout(LIMIT), Ok(Seen::Connected(session.id())));
    drop(far);
    match sees.recv_timeout(LIMIT) {
        Ok(Seen::Disconnected(id, CloseReason::PeerReset { .. })) => assert_eq!(id, session.id()),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_refused_connection_is_told(setup: Setup) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let service = service(setup, |_| {});
    let (outcome, sees) = connect(&service, nobody);
    let Err(CloseReason::ConnectFailed {
        os_code: Some(code),
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    let kind = std::io::Error::from_raw_os_error(code).kind();
    assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
    let report = service.stop(LIMIT);
    assert_eq!(
        (report.stats.connect_failures, report.stats.sessions),
        (1, 0)
    );
    assert!(
        sees.try_iter().next().is_none(),
        "a handler was called for nothing"
    );
}

/// A listener whose queue is full does not answer.
pub(crate) fn a_connection_that_takes_too_long_is_given_up(setup: Setup) {
    let domain = socket2::Domain::IPV4;
    let silent = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    silent
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let short = Duration::from_millis(300);
    let service = service(setup, |config| config.session.connect_timeout = short);
    // The first ones fill the queue; they stand, though nobody accepts them.
    let mut held = Vec::new();
    for _ in 0..8 {
        match connect(&service, address) {
            (Ok(session), _) => held.push(session),
            (Err(reason), sees) => {
                assert_eq!(reason, CloseReason::ConnectTimeout);
                assert!(sees.try_iter().next().is_none());
                return;
            }
        }
    }
    panic!("{} connections to a queue of none", held.len());
}
