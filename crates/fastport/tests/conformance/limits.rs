//! Time limits and counts.

use super::harness::{End, ID, Peer, Setup, frame};
use fastport::{AddressSet, CloseReason, Error, RejectReason, ServiceConfig};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(500);
/// Long enough that a machine which stalls does not end a busy session.
const PATIENT: Duration = Duration::from_secs(2);

pub(crate) fn a_silent_session_is_idle(setup: Setup) {
    let host = setup.host(|config| config.session.idle_timeout = SHORT, |_, _| {});
    let began = Instant::now();
    let mut peer = host.connect();
    assert_eq!(peer.drain(), (Vec::new(), End::Fin));
    assert!(began.elapsed() >= SHORT, "too early: {:?}", began.elapsed());
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Idle);
}

pub(crate) fn a_session_without_a_first_packet_is_closed(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        config.session.first_packet_timeout = SHORT;
        config.protection.trusted = AddressSet::default();
    };
    let host = setup.host(change, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut quick = host.connect();
    quick.send(b"here");
    assert_eq!(quick.receive(), b"here");
    let mut slow = host.connect();
    // Part of a frame is no packet.
    slow.write(&[0, 10, 0]);
    assert_eq!(slow.drain(), (Vec::new(), End::Fin));
    drop(slow);
    assert_eq!(host.reason(), CloseReason::FirstPacketTimeout);
    quick.send(b"unharmed");
    assert_eq!(quick.receive(), b"unharmed");
}

/// A peer that sends a byte now and then is never silent, but its frame must be finished.
pub(crate) fn a_dribbled_frame_is_closed_in_time(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        config.session.frame_timeout = SHORT;
        config.session.idle_timeout = Duration::from_secs(60);
    };
    let host = setup.host(change, |_, _| {});
    let mut peer = host.connect();
    peer.stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let whole = frame(ID, &[1; 500]);
    let mut ended = false;
    for byte in &whole {
        use std::io::{Read, Write};
        if peer.stream.write_all(&[*byte]).is_err() || matches!(peer.stream.read(&mut [0]), Ok(0)) {
            ended = true;
            break;
        }
    }
    assert!(ended, "the whole frame was taken, byte by byte");
    drop(peer);
    assert_eq!(host.reason(), CloseReason::FrameTimeout);
}

pub(crate) fn traffic_keeps_a_session_from_being_idle(setup: Setup) {
    let change = |config: &mut ServiceConfig| config.session.idle_timeout = PATIENT;
    let host = setup.host(change, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut peer = host.connect();
    let began = Instant::now();
    while began.elapsed() < PATIENT * 2 {
        peer.send(b"tick");
        assert_eq!(peer.receive(), b"tick");
    }
}

pub(crate) fn connections_above_the_maximum_are_refused_until_one_ends(setup: Setup) {
    let host = setup.host(
        |config| config.sessions_max = 2,
        |session, packet| {
            let _ = session.forward(&packet);
        },
    );
    let first = host.connect();
    let second = host.connect();
    host.accepted();
    host.accepted();
    let mut third = host.connect();
    assert_eq!(third.drain().0, b"");
    let rejected = host.server.stats().rejected_for(RejectReason::Full);
    assert_eq!(rejected, 1);
    drop((first, third));
    host.reason();
    let mut fourth = host.connect();
    fourth.send(b"room again");
    assert_eq!(fourth.receive(), b"room again");
    drop(second);
}

pub(crate) fn a_deferred_connection_begins_with_its_first_bytes(setup: Setup) {
    let host = setup.host(
        |config| config.defer_accept = Duration::from_secs(60),
        |session, packet| {
            let _ = session.forward(&packet);
        },
    );
    let mut silent = host.connect();
    let mut talkative = host.connect();
    talkative.send(b"first");
    assert_eq!(talkative.receive(), b"first");
    let first = host.accepted().peer_address();
    // Other systems accept in the order in which clients connect.
    if cfg!(target_os = "linux") {
        assert_eq!(first, talkative.stream.local_addr().unwrap());
    }
    silent.send(b"second");
    assert_eq!(silent.receive(), b"second");
}

pub(crate) fn a_port_in_use_is_an_error_that_names_it(setup: Setup) {
    let host = setup.echo();
    let mut config = ServiceConfig::default();
    setup.config(&mut config);
    let builder = fastport::Server::builder()
        .listen(host.address().to_string())
        .config(|other| *other = config);
    let result = setup.start_server(builder);
    let Err(error @ Error::Engine(_)) = result else {
        panic!("two servers on one port")
    };
    let text = error.to_string();
    assert!(
        text.contains(&host.address().to_string()) && text.contains("another"),
        "{text}"
    );
    let mut peer = Peer::connect(host.address());
    peer.send(b"unharmed");
    assert_eq!(peer.receive(), b"unharmed");
}

/// Sessions that there are keep their limits; those that begin after a reload have the new ones.
pub(crate) fn a_reload_counts_for_sessions_that_begin_after_it(setup: Setup) {
    let host = setup.host(
        |config| config.sessions_max = 2,
        |session, packet| {
            let _ = session.forward(&packet);
        },
    );
    let mut old = host.connect();
    old.send(b"here");
    assert_eq!(old.receive(), b"here");
    let mut changed = host.server.service().config().clone();
    changed.session.idle_timeout = SHORT;
    changed.sessions_max = 0;
    let error = host.server.service().reload(&changed);
    assert!(matches!(error, Err(Error::Config(error)) if error.key == "max_sessions"));
    changed.sessions_max = 3;
    host.server.service().reload(&changed).unwrap();
    let mut new = host.connect();
    assert_eq!(new.drain(), (Vec::new(), End::Fin));
    drop(new);
    assert_eq!(host.reason(), CloseReason::Idle);
    old.send(b"still");
    assert_eq!(old.receive(), b"still");
    // Up to the new maximum are let in, and one more is not.
    let mut peers: Vec<Peer> = (0..2).map(|_| host.connect()).collect();
    for peer in &mut peers {
        peer.send(b"in");
        assert_eq!(peer.receive(), b"in");
    }
    let mut refused = host.connect();
    assert_eq!(refused.drain().0, b"");
}
