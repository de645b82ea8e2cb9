//! Sessions that the application has not accepted yet: how large their frames, how long their time
//! and how many of them may be, and that nothing of it holds behind the authentication.

use super::harness::{End, Host, ID, LIMIT, Setup, frame, pattern};
use fastport::{CloseReason, RejectReason, ServiceConfig};
use std::time::Duration;

/// Who says so is let in.
const PASSWORD: &[u8] = b"let me in";

/// A server that echoes everything, and lets in who knows the word.
fn guarded(setup: Setup, change: impl FnOnce(&mut ServiceConfig)) -> Host {
    setup.host(
        |config| {
            config.protection.authentication = true;
            config.protection.authentication_timeout = LIMIT;
            change(config);
        },
        |session, packet| {
            if packet.payload() == PASSWORD {
                session.set_authenticated();
            }
            let _ = session.forward(&packet);
        },
    )
}

pub(crate) fn who_does_not_authenticate_in_time_is_closed(setup: Setup) {
    let host = guarded(setup, |config| {
        config.protection.authentication_timeout = Duration::from_secs(1);
    });
    let mut known = host.connect();
    known.send(PASSWORD);
    assert_eq!(known.receive(), PASSWORD);
    // It began after the other, and is busy until it is closed.
    let mut stranger = host.connect();
    let asked = frame(ID, b"something");
    let monitor = host.server.service().monitor();
    let until = monitor.uptime() + LIMIT;
    while stranger.echoes(&asked) {
        assert!(monitor.uptime() < until, "it is served for ever");
    }
    assert_eq!(host.reason(), CloseReason::AuthenticationTimeout);
    known.send(b"still here");
    assert_eq!(known.receive(), b"still here");
}

pub(crate) fn a_large_frame_before_the_authentication_ends_the_session(setup: Setup) {
    let host = guarded(setup, |config| {
        config.protection.unauthenticated_frame_bytes_max = 1024;
    });
    let mut peer = host.connect();
    peer.send(&pattern(1, 1020));
    assert_eq!(peer.receive(), pattern(1, 1020));
    // The size alone says enough.
    peer.write(&1025_u16.to_be_bytes());
    let (reason, packets) = host.ended();
    assert_eq!(
        reason,
        CloseReason::FrameBeforeAuthentication { bytes: 1025 }
    );
    assert_eq!(packets.len(), 1);
    assert_eq!(host.server.stats().closed_for(reason), 1);
}

pub(crate) fn frames_are_as_large_as_ever_behind_the_authentication(setup: Setup) {
    let host = guarded(setup, |_| {});
    let mut peer = host.connect();
    let session = host.accepted();
    assert!(!session.is_authenticated());
    peer.send(PASSWORD);
    assert_eq!(peer.receive(), PASSWORD);
    assert!(session.is_authenticated());
    peer.send(&pattern(2, 60_000));
    assert!(peer.receive() == pattern(2, 60_000));
    if setup.dispatch == fastport::Dispatch::Inline {
        // Handled before what is behind it is looked at.
        let mut peer = host.connect();
        let both = [frame(ID, PASSWORD), frame(ID, &pattern(3, 60_000))].concat();
        peer.write(&both);
        assert!(peer.read(both.len()) == both);
    }
}

pub(crate) fn so_many_sessions_may_be_unauthenticated(setup: Setup) {
    let host = guarded(setup, |config| {
        config.protection.unauthenticated_sessions_max = 2;
    });
    let refused = |so_far| {
        let (bytes, _) = host.connect().drain();
        assert!(bytes.is_empty());
        let stats = host.server.stats();
        assert_eq!(stats.rejected_for(RejectReason::Unauthenticated), so_far);
        assert_eq!(stats.unauthenticated, 2);
    };
    let first = host.connect();
    let known = host.accepted();
    let second = host.connect();
    let _ = host.accepted();
    refused(1);
    // One is let in: that makes room, once.
    known.set_authenticated();
    known.set_authenticated();
    let third = host.connect();
    let stranger = host.accepted();
    refused(2);
    // One ends as a stranger: that makes room as well, once.
    drop(third);
    assert_eq!(host.reason(), CloseReason::PeerClosed);
    assert!(!stranger.is_authenticated());
    let fourth = host.connect();
    let _ = host.accepted();
    stranger.set_authenticated();
    refused(3);
    // The end of one that was let in makes none.
    known.disconnect();
    drop(first);
    assert_eq!(host.reason(), CloseReason::Requested);
    refused(4);
    drop((second, fourth));
}

pub(crate) fn everyone_is_who_is_authenticated(setup: Setup) {
    let host = guarded(setup, |_| {});
    let mut stranger = host.connect();
    let session = host.accepted();
    let mut known = host.connect();
    known.send(PASSWORD);
    assert_eq!(known.receive(), PASSWORD);
    let everyone = host.server.service().everyone();
    everyone.broadcast_bytes(ID, b"among us").unwrap();
    assert_eq!(known.receive(), b"among us");
    session.disconnect();
    assert_eq!(stranger.drain(), (Vec::new(), End::Fin));
}

pub(crate) fn nobody_has_to_authenticate_unless_so_set(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let session = host.accepted();
    assert!(session.is_authenticated());
    assert_eq!(host.server.stats().unauthenticated, 0);
    peer.send(&pattern(4, 60_000));
    assert!(peer.receive() == pattern(4, 60_000));
}
