//! What a peer may do before it is a session: little, and not for long.

use super::world::{World, echo, host, now, try_dial, until};
use crate::harness::{End, Host, LIMIT, Peer, Setup, frame};
use fastport::{CloseReason, RejectReason, ServiceConfig, TlsFailure};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(300);

fn short(config: &mut ServiceConfig) {
    config.protection.tls_handshake_timeout = SHORT;
}

fn rejected(host: &Host, reason: RejectReason) -> u64 {
    host.server.stats().rejected_for(reason)
}

pub(crate) fn one_that_stalls_is_closed_in_time(setup: Setup) {
    let world = World::new();
    let host = host(setup, &world.server(), short, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut quick = world.peer(host.address());
    quick.send(b"quick");
    assert_eq!(quick.receive(), b"quick");
    let began = now();
    let mut silent = host.connect();
    let mut slow = host.connect();
    // The beginning of a record that says it is 200 bytes long.
    slow.write(&[22, 3, 1, 0, 200, 1]);
    let (_, _) = (silent.drain(), slow.drain());
    assert!(began.elapsed() >= SHORT, "too early: {:?}", began.elapsed());
    assert_eq!(rejected(&host, RejectReason::TlsTimeout), 2);
    let stats = host.server.stats();
    assert_eq!(stats.tls_failed_for(TlsFailure::Timeout), 2);
    assert_eq!(stats.tls_failed.iter().sum::<u64>(), 2);
    assert_eq!((stats.accepted, stats.tls_in_progress), (1, 0));
    assert_eq!(host.server.service().sessions(), 1);
    quick.send(b"unharmed");
    assert_eq!(quick.receive(), b"unharmed");
}

pub(crate) fn so_many_may_be_in_progress(setup: Setup) {
    let world = World::new();
    let two = |config: &mut ServiceConfig| config.protection.tls_handshakes_max = 2;
    let host = host(setup, &world.server(), two, |session, packet| {
        let _ = session.forward(&packet);
    });
    let waiting = [host.connect(), host.connect()];
    until(|| host.server.stats().tls_in_progress == 2);
    let mut third = host.connect();
    let _ = third.drain();
    assert_eq!(rejected(&host, RejectReason::TlsBusy), 1);
    drop(waiting);
    until(|| host.server.stats().tls_in_progress == 0);
    let mut peer = world.peer(host.address());
    peer.send(b"room again");
    assert_eq!(peer.receive(), b"room again");
}

pub(crate) fn what_is_no_handshake_is_closed(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        &frame(fastport::PacketId::RAW_ECHO, b"no TLS at all"),
        &[0xFF; 4000],
        // A record of a handshake, with nonsense in it.
        &[22, 3, 1, 0, 5, 99, 0, 0, 1, 7],
    ];
    for (index, garbage) in garbage.iter().enumerate() {
        let mut peer = host.connect();
        // It may be closed before all is written.
        let _ = peer.stream.write_all(garbage);
        let (told, _) = peer.drain();
        // An alert, or nothing where the end was a reset.
        assert!(told.is_empty() || told[0] == 21, "{told:?}");
        drop(peer);
        until(|| rejected(&host, RejectReason::TlsHandshake) == index as u64 + 1);
    }
    until(|| host.server.service().sessions() == 0);
    let stats = host.server.stats();
    assert_eq!(stats.accepted, 0);
    // Some say that they end before they have begun.
    let failed = [TlsFailure::Protocol, TlsFailure::Ended].map(|way| stats.tls_failed_for(way));
    assert_eq!(failed.iter().sum::<u64>(), garbage.len() as u64);
}

/// One that is told so and does not go is not waited for.
pub(crate) fn who_fails_and_stays_is_closed_soon(setup: Setup) {
    let world = World::new();
    let patient = |config: &mut ServiceConfig| {
        config.protection.tls_handshake_timeout = Duration::from_secs(3600);
    };
    let host = host(setup, &world.server(), patient, |_, _| {});
    let mut peer = host.connect();
    // A record of a handshake, with nonsense in it.
    peer.write(&[22, 3, 1, 0, 5, 99, 0, 0, 1, 7]);
    until(|| rejected(&host, RejectReason::TlsHandshake) == 1);
    until(|| host.server.service().sessions() == 0);
    drop(peer);
}

pub(crate) fn a_peer_that_goes_away_is_counted(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    drop(host.connect());
    until(|| rejected(&host, RejectReason::TlsHandshake) == 1);
    let peer = host.connect();
    until(|| host.server.stats().tls_in_progress == 1);
    peer.reset();
    until(|| rejected(&host, RejectReason::TlsHandshake) == 2);
    assert_eq!(host.server.stats().tls_failed_for(TlsFailure::Ended), 2);
    until(|| host.server.service().sessions() == 0);
}

/// A server that takes the connection and says nothing.
pub(crate) fn a_server_that_is_silent_is_given_up(setup: Setup) {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let began = now();
    let outcome = try_dial(setup, address, &world.client(), short);
    assert_eq!(outcome.err(), Some(CloseReason::Tls(TlsFailure::Timeout)));
    assert!(began.elapsed() >= SHORT, "too early: {:?}", began.elapsed());
    // One that ends it.
    let ends = std::thread::spawn(move || {
        // The first one is the client that gave up.
        let _ = (listener.accept(), listener.accept());
    });
    let outcome = try_dial(setup, address, &world.client(), |_| {});
    assert_eq!(outcome.err(), Some(CloseReason::Tls(TlsFailure::Ended)));
    ends.join().unwrap();
}

pub(crate) fn a_stop_does_not_wait_for_them(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer: Peer = host.connect();
    until(|| host.server.stats().tls_in_progress == 1);
    let report = host.server.stop(LIMIT);
    assert!(report.took < LIMIT / 2, "{:?}", report.took);
    assert_eq!(report.stats.rejected_for(RejectReason::Stopping), 1);
    assert_eq!(report.stats.sessions, 0);
    assert!(matches!(peer.drain().1, End::Fin | End::Reset));
}
