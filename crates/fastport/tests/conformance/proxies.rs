//! Clients behind a proxy, which says whom each connection is from.

use super::harness::{Host, Peer, Setup, frame};
use fastport::{AddressBlock, AddressSet, CloseReason, ProtectionConfig, RejectReason};
use std::net::SocketAddr;
use std::time::Duration;

/// The proxy's last number: it is 127.0.0.9.
const PROXY: u8 = 9;

fn block(text: &str) -> AddressSet {
    let block: AddressBlock = text.parse().unwrap();
    [block].into_iter().collect()
}

/// An echo behind a proxy.
fn proxied(setup: Setup, change: impl FnOnce(&mut ProtectionConfig)) -> Host {
    setup.host(
        |config| {
            config.protection.proxies = block("127.0.0.9");
            change(&mut config.protection);
        },
        |session, packet| {
            let _ = session.forward(&packet);
        },
    )
}

fn line(client: SocketAddr) -> Vec<u8> {
    let (ip, port) = (client.ip(), client.port());
    format!("PROXY TCP4 {ip} 127.0.0.1 {port} 6628\r\n").into_bytes()
}

fn binary(client: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(client) = client else {
        panic!("an IPv4 address")
    };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&client.ip().octets());
    header.extend_from_slice(&[127, 0, 0, 1]);
    header.extend_from_slice(&client.port().to_be_bytes());
    header.extend_from_slice(&[0x19, 0xe4]);
    header
}

fn client(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 4000).into()
}

pub(crate) fn a_session_has_the_address_that_its_proxy_names(setup: Setup) {
    let host = proxied(setup, |_| {});
    for header in [line, binary] {
        let mut peer = Peer::connect_from(PROXY, host.address());
        let mut bytes = header(client(1));
        // The client's first frame may come with it.
        bytes.extend_from_slice(&frame(super::harness::ID, b"first"));
        peer.write(&bytes);
        assert_eq!(host.accepted().peer_address(), client(1));
        assert_eq!(peer.receive(), b"first");
        peer.send(b"second");
        assert_eq!(peer.receive(), b"second");
        drop(peer);
        assert_eq!(host.reason(), CloseReason::PeerClosed);
    }
}

pub(crate) fn a_header_may_be_cut_at_every_byte(setup: Setup) {
    let host = proxied(setup, |_| {});
    for header in [line, binary] {
        let mut peer = Peer::connect_from(PROXY, host.address());
        let mut bytes = header(client(2));
        bytes.extend_from_slice(&frame(super::harness::ID, b"whole"));
        for byte in bytes {
            peer.write(&[byte]);
        }
        assert_eq!(peer.receive(), b"whole");
        assert_eq!(host.accepted().peer_address(), client(2));
    }
}

pub(crate) fn limits_hold_for_the_client_behind_a_proxy(setup: Setup) {
    let host = proxied(setup, |limits| {
        limits.address_sessions_max = 1;
        limits.deny = block("192.0.2.7");
    });
    let open = |of| {
        let mut peer = Peer::connect_from(PROXY, host.address());
        let mut bytes = line(client(of));
        bytes.extend_from_slice(&frame(super::harness::ID, b"in"));
        peer.write(&bytes);
        peer
    };
    let mut first = open(1);
    assert_eq!(first.receive(), b"in");
    assert_eq!(open(1).drain().0, b"");
    let mut other = open(2);
    assert_eq!(other.receive(), b"in");
    assert_eq!(open(7).drain().0, b"");
    let stats = host.server.stats();
    assert_eq!(stats.rejected_for(RejectReason::AddressFull), 1);
    assert_eq!(stats.rejected_for(RejectReason::Denied), 1);
}

pub(crate) fn a_proxy_without_a_header_is_turned_away(setup: Setup) {
    let host = proxied(setup, |_| {});
    let mut plain = Peer::connect_from(PROXY, host.address());
    plain.send(b"no header");
    assert_eq!(plain.drain().0, b"");
    let mut cut = Peer::connect_from(PROXY, host.address());
    cut.write(b"PROXY TCP4 ");
    cut.finish();
    assert_eq!(cut.drain().0, b"");
    assert_eq!(
        host.server.stats().rejected_for(RejectReason::ProxyHeader),
        2
    );
    assert_eq!(host.server.stats().accepted, 0);
}

/// Nor does one that sends its header a byte at a time stay for longer.
pub(crate) fn a_proxy_that_is_silent_is_turned_away(setup: Setup) {
    let host = proxied(setup, |limits| {
        limits.proxy_timeout = Duration::from_millis(300);
    });
    let mut silent = Peer::connect_from(PROXY, host.address());
    assert_eq!(silent.drain().0, b"");
    assert_eq!(
        host.server.stats().rejected_for(RejectReason::ProxyHeader),
        1
    );
    assert_eq!(host.server.service().sessions(), 0);
}

/// A client that could name its own address would dodge every limit.
pub(crate) fn a_header_from_anyone_else_is_no_header(setup: Setup) {
    let host = proxied(setup, |_| {});
    let mut liar = Peer::connect_from(10, host.address());
    liar.write(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    let session = host.accepted();
    assert_eq!(session.peer_address().ip().to_string(), "127.0.0.10");
    // Its first two bytes are a size: the rest of such a frame never comes.
    liar.finish();
    liar.drain();
    drop(liar);
    assert_eq!(host.reason(), CloseReason::PeerTruncated);
}

pub(crate) fn a_stop_does_not_wait_for_a_header(setup: Setup) {
    let host = proxied(setup, |limits| {
        limits.proxy_timeout = Duration::from_secs(3600);
    });
    let mut begun = Peer::connect_from(PROXY, host.address());
    begun.write(b"PROXY ");
    let mut whole = Peer::connect_from(PROXY, host.address());
    whole.write(&line(client(1)));
    // Both have been taken over when the later one is a session.
    host.accepted();
    let report = host.server.stop(super::harness::LIMIT);
    assert_eq!(begun.drain().0, b"");
    assert_eq!(report.stats.rejected_for(RejectReason::Stopping), 1);
}
