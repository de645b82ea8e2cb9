//! What a peer is told before it is closed, and whether it lives at all.

use super::connecting::{connect, service};
use super::harness::{End, ID, LIMIT, Seen, Setup, frame};
use fastport::protocol::prost::Message;
use fastport::protocol::session::Close;
use fastport::{CloseReason, Farewell, PacketId, Room, ServiceConfig};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(200);
const DEAD_AFTER: Duration = Duration::from_secs(1);

fn goodbye(code: u32, text: &str) -> Vec<u8> {
    let text = text.to_owned();
    frame(
        PacketId::SESSION_CLOSE,
        &Close { code, text }.encode_to_vec(),
    )
}

pub(crate) fn a_kick_is_told_behind_everything_that_was_sent(setup: Setup) {
    let host = setup.host(|_| {}, |session, _| session.kick(1002, "from a handler"));
    let room = Room::new();
    let mut peer = host.connect();
    let session = host.accepted();
    room.join(&session).unwrap();
    let _ = session.send_bytes(ID, &[1; 50_000]).unwrap();
    room.broadcast_bytes(ID, b"all").unwrap();
    session.kick(1001, "you were kicked");
    // The first counts.
    session.kick(1002, "again");
    session.disconnect();
    assert!(session.send_bytes(ID, b"late").is_err());
    let expected = [
        frame(ID, &[1; 50_000]),
        frame(ID, b"all"),
        goodbye(1001, "you were kicked"),
    ]
    .concat();
    assert!(peer.drain() == (expected, End::Fin));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Kicked { code: 1001 });
    assert_eq!(session.farewell(), None, "the peer said nothing");
    let mut second = host.connect();
    second.send(b"x");
    assert_eq!(second.drain(), (goodbye(1002, "from a handler"), End::Fin));
    drop(second);
    assert_eq!(host.reason(), CloseReason::Kicked { code: 1002 });
}

/// Both ways: a server kicks its client, and a client says why it goes.
pub(crate) fn a_peer_on_fastport_knows_why_it_was_closed(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    let service = service(setup, |_| {});
    for server_ends in [true, false] {
        let (outcome, sees) = connect(&service, host.address());
        let (client, server) = (outcome.unwrap(), host.accepted());
        assert!(matches!(sees.recv_timeout(LIMIT), Ok(Seen::Connected(_))));
        let said = Farewell {
            code: 4711,
            text: "the round is over".into(),
        };
        let (ends, told) = if server_ends {
            (&server, &client)
        } else {
            (&client, &server)
        };
        ends.kick(said.code, &said.text);
        let (at_client, at_server) = match sees.recv_timeout(LIMIT) {
            Ok(Seen::Disconnected(_, reason)) => (reason, host.reason()),
            other => panic!("{other:?}"),
        };
        let (kicked, closed) = if server_ends {
            (at_server, at_client)
        } else {
            (at_client, at_server)
        };
        assert_eq!(kicked, CloseReason::Kicked { code: 4711 });
        assert_eq!(closed, CloseReason::ClosedByPeer { code: 4711 });
        assert_eq!(told.farewell(), Some(said));
    }
}

pub(crate) fn a_kick_does_not_wait_for_a_peer_that_does_not_read(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        config.session.flush_timeout = Duration::from_millis(300);
        config.session.send_queue_max = 1 << 26;
    };
    let host = setup.host(change, |_, _| {});
    let _peer = host.connect();
    let session = host.accepted();
    for _ in 0..400 {
        let _ = session.send_bytes(ID, &[0; 60_000]).unwrap();
    }
    session.kick(1000, "too slow");
    assert_eq!(host.reason(), CloseReason::Kicked { code: 1000 });
}

pub(crate) fn other_ends_are_announced_if_that_is_wanted(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        config.session.idle_timeout = INTERVAL;
        config.session.announce_close = true;
    };
    let host = setup.host(change, |_, _| {});
    let mut peer = host.connect();
    let text = CloseReason::Idle.to_string();
    let code = CloseReason::Idle.code();
    assert_eq!(peer.drain(), (goodbye(code.into(), &text), End::Fin));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Idle);
}

/// A broken goodbye is a payload that does not decode; others than the layer's ids are dropped.
pub(crate) fn a_peer_may_say_anything_to_the_session_layer(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    let mut peer = host.connect();
    peer.write(&frame(PacketId::SESSION_PONG, b"not asked for"));
    peer.write(&frame(PacketId::SESSION_PONG, &[0xFF; 8]));
    peer.write(&frame(PacketId::new(0x8F0F), b"unknown"));
    peer.write(&frame(PacketId::SESSION_PING, &[7; 300]));
    assert_eq!(peer.receive(), [7; 64], "an answer is no amplifier");
    peer.write(&frame(PacketId::SESSION_CLOSE, &[0x08]));
    drop(peer.drain());
    drop(peer);
    let (reason, packets) = host.ended();
    assert_eq!(
        reason,
        CloseReason::Undecodable {
            id: PacketId::SESSION_CLOSE
        }
    );
    assert!(packets.is_empty(), "handlers see nothing of it");
}

fn heartbeats(config: &mut ServiceConfig) {
    config.session.heartbeat_interval = INTERVAL;
    config.session.heartbeat_timeout = DEAD_AFTER;
}

pub(crate) fn a_peer_that_answers_no_heartbeat_is_closed(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        heartbeats(config);
        // It would end in the end, for another reason.
        config.session.idle_timeout = DEAD_AFTER * 5;
    };
    let host = setup.host(change, |_, _| {});
    let mut peer = host.connect();
    let session = host.accepted();
    let (asked, _) = peer.drain();
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Unresponsive);
    assert!(asked.len() >= 2 * 12, "asked more than once: {asked:?}");
    for ping in asked.chunks(12) {
        assert_eq!(ping[..4], [0, 12, 0x8F, 0x02]);
    }
    assert_eq!(session.round_trip(), None);
}

pub(crate) fn a_peer_that_answers_heartbeats_lives_and_is_measured(setup: Setup) {
    let host = setup.host(heartbeats, |_, _| {});
    let service = service(setup, |_| {});
    let (outcome, _sees) = connect(&service, host.address());
    let client = outcome.unwrap();
    let server = host.accepted();
    let mut peer = host.connect();
    let by_hand = host.accepted();
    // Longer than a silent peer lives.
    for _ in 0..8 {
        let ping = peer.read(12);
        peer.write(&frame(PacketId::SESSION_PONG, &ping[4..]));
    }
    assert!(server.is_connected() && client.is_connected() && by_hand.is_connected());
    for session in [&server, &by_hand] {
        let round_trip = session.round_trip().expect("a heartbeat was answered");
        assert!(round_trip < LIMIT, "{round_trip:?}");
    }
    assert_eq!(client.round_trip(), None, "its own service sends none");
}
