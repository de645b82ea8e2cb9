//! How sessions with TLS end.

use super::world::{NAME, TlsEnd, World, dial, echo, host, now};
use crate::harness::{ID, LIMIT, Setup, frame, pattern};
use fastport::tls::rustls::ClientConnection;
use fastport::tls::rustls::pki_types::ServerName;
use fastport::{CloseReason, ServiceConfig, TlsFailure};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The server ends it: all that was sent, then TLS' own end.
pub(crate) fn a_session_ends_with_a_word(setup: Setup) {
    let world = World::new();
    let act = |session: &fastport::Session, packet: fastport::Packet<'_>| {
        let _ = session.forward(&packet);
        let _ = session.send_bytes(ID, &pattern(9, 60_000));
        session.disconnect();
    };
    let host = host(setup, &world.server(), |_| {}, act);
    let mut peer = world.peer(host.address());
    peer.send(b"last");
    let expected = [frame(ID, b"last"), frame(ID, &pattern(9, 60_000))].concat();
    let (came, end) = peer.drain();
    assert!(came == expected, "{} bytes", came.len());
    assert_eq!(end, TlsEnd::Closed);
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Requested);
    // This library's client sees it as an end in order.
    let client = dial(setup, host.address(), &world.client());
    client.send(b"last");
    assert_eq!(client.reason(), CloseReason::PeerClosed);
}

/// The peer ends TLS and nothing else: what it sent is answered, and it gets the end back.
pub(crate) fn a_peer_that_ends_in_order_is_answered_first(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    for number in 0..20 {
        peer.send(&pattern(number, 5000));
    }
    peer.end_tls();
    for number in 0..20 {
        assert_eq!(peer.receive(), pattern(number, 5000));
    }
    assert_eq!(peer.drain(), (Vec::new(), TlsEnd::Closed));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::PeerClosed);
    // In the middle of a frame.
    let mut peer = world.peer(host.address());
    peer.stream.write_all(&frame(ID, b"cut")[..5]).unwrap();
    peer.end_tls();
    assert_eq!(peer.drain(), (Vec::new(), TlsEnd::Closed));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::PeerTruncated);
}

/// The connection ends and TLS has not: somebody between may have cut something off.
pub(crate) fn a_stream_that_is_cut_off_is_told(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    peer.send(b"whole");
    assert_eq!(peer.receive(), b"whole");
    peer.stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.drain(), (Vec::new(), TlsEnd::Closed));
    let (reason, packets) = host.ended();
    assert_eq!(reason, CloseReason::TlsTruncated);
    assert_eq!(packets, [b"whole"]);
}

/// Data that does not authenticate never reaches a handler.
pub(crate) fn a_record_that_was_changed_ends_the_session(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut socket = TcpStream::connect(host.address()).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let mut tls = ClientConnection::new(Arc::new(world.client_config()), name).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    let mut cipher = Vec::new();
    tls.writer().write_all(&frame(ID, b"good")).unwrap();
    tls.write_tls(&mut cipher).unwrap();
    tls.writer().write_all(&frame(ID, b"evil")).unwrap();
    tls.write_tls(&mut cipher).unwrap();
    let last = cipher.len() - 1;
    cipher[last] ^= 1;
    socket.write_all(&cipher).unwrap();
    // What was good may be answered; then the server says what is wrong.
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).unwrap();
    let mut from = &rest[..];
    let mut told = Ok(());
    while told.is_ok() && !from.is_empty() {
        tls.read_tls(&mut from).unwrap();
        told = tls.process_new_packets().map(drop);
    }
    assert!(
        matches!(told, Err(fastport::tls::rustls::Error::AlertReceived(_))),
        "{told:?}"
    );
    drop(socket);
    let (reason, packets) = host.ended();
    assert_eq!(reason, CloseReason::Tls(TlsFailure::Protocol));
    assert_eq!(packets, [b"good"]);
}

/// A record has as long as a frame, however busy its sender looks.
pub(crate) fn a_dribbled_record_is_closed_in_time(setup: Setup) {
    const SHORT: Duration = Duration::from_millis(400);
    let world = World::new();
    let change = |config: &mut ServiceConfig| config.session.frame_timeout = SHORT;
    let host = host(setup, &world.server(), change, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut peer = world.peer(host.address());
    peer.send(b"whole");
    assert_eq!(peer.receive(), b"whole");
    let began = now();
    // The head of a record of 1,000 bytes, then a byte now and then.
    let mut socket = peer.stream.sock.try_clone().unwrap();
    socket.write_all(&[23, 3, 3, 3, 232]).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut ended = false;
    for _ in 0..1000 {
        if socket.write_all(&[7]).is_err() || matches!(socket.read(&mut [0; 64]), Ok(0)) {
            ended = true;
            break;
        }
    }
    assert!(ended && began.elapsed() >= SHORT, "{:?}", began.elapsed());
    drop((peer, socket));
    assert_eq!(host.reason(), CloseReason::FrameTimeout);
}

pub(crate) fn a_stop_flushes_what_was_sent(setup: Setup) {
    let world = World::new();
    let host = echo(setup, &world.server());
    let mut peer = world.peer(host.address());
    peer.send(b"begin");
    assert_eq!(peer.receive(), b"begin");
    let session = host.accepted();
    for number in 0..10 {
        let _ = session.send_bytes(ID, &pattern(number, 50_000)).unwrap();
    }
    let server = host.server;
    let stops = std::thread::spawn(move || server.stop(LIMIT));
    for number in 0..10 {
        assert_eq!(peer.receive(), pattern(number, 50_000), "{number}");
    }
    assert_eq!(peer.drain(), (Vec::new(), TlsEnd::Closed));
    drop(peer);
    let report = stops.join().unwrap();
    assert_eq!(report.leaked_operations, 0);
}
