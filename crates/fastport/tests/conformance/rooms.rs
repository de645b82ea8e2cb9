//! One message for many sessions: who hears it, in which order, and what a member that does not
//! read costs the others.

use super::harness::{End, Host, ID, LIMIT, Peer, Setup, frame, pattern};
use fastport::protocol::tests::EchoResponse;
use fastport::{CloseReason, PacketId, Room, SendError, Session, shared_frame};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

/// `count` peers, the sessions that they have, and a room that all of them are in.
fn room_of(host: &Host, count: usize) -> (Room, Vec<Peer>, Vec<Session>) {
    let room = Room::new();
    let (mut peers, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..count {
        peers.push(host.connect());
        let session = host.accepted();
        assert_eq!(room.join(&session), Ok(true));
        sessions.push(session);
    }
    (room, peers, sessions)
}

fn message(number: u32) -> EchoResponse {
    EchoResponse {
        data_str: format!("{number}"),
        ..Default::default()
    }
}

pub(crate) fn a_broadcast_is_encoded_once_for_all_members(setup: Setup) {
    let host = setup.host(|config| config.workers = 2, |_, _| {});
    let (room, mut peers, sessions) = room_of(&host, 30);
    let mut outside = host.connect();
    let outsider = host.accepted();
    assert_eq!(room.len(), 30);
    assert!(room.contains(&sessions[3]) && !room.contains(&outsider));
    for bytes in [3, 200, 60_000] {
        let before = host.server.stats();
        let said = EchoResponse {
            data: pattern(7, bytes).into(),
            ..Default::default()
        };
        assert_eq!(room.broadcast(ID, &said), Ok(30));
        let expected = shared_frame(ID, &said).unwrap();
        for peer in &mut peers {
            assert!(peer.read(expected.len()) == expected[..]);
        }
        let after = host.server.stats();
        assert_eq!(after.broadcasts - before.broadcasts, 1);
        assert_eq!(after.shared_queued - before.shared_queued, 30);
    }
    let too_large = room.broadcast_bytes(ID, &[0; 65_532]);
    assert!(matches!(too_large, Err(SendError::TooLarge { .. })));
    let _ = outsider.send_bytes(ID, b"alone").unwrap();
    assert_eq!(outside.receive(), b"alone");
}

pub(crate) fn who_is_excepted_or_has_left_hears_nothing(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    let (room, mut peers, sessions) = room_of(&host, 3);
    assert_eq!(room.join(&sessions[0]), Ok(false), "twice");
    assert_eq!(room.broadcast_except(&sessions[1], ID, &message(1)), Ok(2));
    assert!(room.leave(&sessions[0]) && !room.leave(&sessions[0]));
    assert_eq!(room.broadcast(ID, &message(2)), Ok(2));
    assert_eq!(room.join(&sessions[0]), Ok(true));
    assert_eq!(room.broadcast(ID, &message(3)), Ok(3));
    for (peer, numbers) in peers.iter_mut().zip([&[1, 3][..], &[2, 3], &[1, 2, 3]]) {
        for number in numbers {
            let expected = shared_frame(ID, &message(*number)).unwrap();
            assert_eq!(peer.read(expected.len()), &expected[..]);
        }
    }
}

/// Broadcasts to two rooms and to everyone, and direct sends, of four threads at once.
pub(crate) fn broadcasts_and_sends_of_a_thread_are_in_its_order(setup: Setup) {
    const THREADS: u8 = 4;
    const ROUNDS: u32 = 150;
    let host = setup.host(
        |config| {
            config.workers = 2;
            config.session.send_queue_max = 1 << 26;
        },
        |_, _| {},
    );
    let (room, mut peers, sessions) = room_of(&host, 6);
    let other = Room::new();
    for session in &sessions {
        other.join(session).unwrap();
    }
    let everyone = host.server.service().everyone();
    let start = Barrier::new(usize::from(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (room, other, everyone) = (&room, &other, &everyone);
            let (sessions, start) = (&sessions, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..ROUNDS {
                    let mut payload = vec![thread];
                    payload.extend(number.to_be_bytes());
                    match number % 5 {
                        0 => drop(room.broadcast_bytes(ID, &payload).unwrap()),
                        2 => drop(other.broadcast_bytes(ID, &payload).unwrap()),
                        4 => everyone.broadcast_bytes(ID, &payload).unwrap(),
                        _ => {
                            for session in sessions {
                                let _ = session.send_bytes(ID, &payload).unwrap();
                            }
                        }
                    }
                }
            });
        }
    });
    for peer in &mut peers {
        let mut next = [0; THREADS as usize];
        for _ in 0..u32::from(THREADS) * ROUNDS {
            let payload = peer.receive();
            let number = u32::from_be_bytes(payload[1..5].try_into().unwrap());
            let next = &mut next[usize::from(payload[0])];
            assert_eq!(number, *next, "thread {} out of order", payload[0]);
            *next += 1;
        }
    }
}

pub(crate) fn members_hear_a_room_in_the_same_order(setup: Setup) {
    let host = setup.host(|config| config.workers = 2, |_, _| {});
    let (room, mut peers, _sessions) = room_of(&host, 4);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let room = &room;
            scope.spawn(move || {
                for number in 0..100u8 {
                    room.broadcast_bytes(ID, &[thread, number]).unwrap();
                }
            });
        }
    });
    let heard: Vec<Vec<u8>> = peers.iter_mut().map(|peer| peer.read(400 * 6)).collect();
    assert!(heard.iter().all(|other| *other == heard[0]));
}

/// A handler broadcasts, sends to a member, and broadcasts again; and a thread outside broadcasts
/// before the handler that waits for it sends.
pub(crate) fn a_handlers_broadcasts_are_in_order_with_all_it_knows_of(setup: Setup) {
    let room = Room::new();
    let (told, tells) = channel::<()>();
    let tells = Mutex::new(tells);
    let joined = room.clone();
    let host = setup.host(
        |_| {},
        move |session, _| {
            tells.lock().unwrap().recv_timeout(LIMIT).unwrap();
            for member in joined.members() {
                let _ = member.send_bytes(ID, b"second").unwrap();
            }
            joined.broadcast_bytes(ID, b"third").unwrap();
            let _ = session.send_bytes(ID, b"fourth").unwrap();
            session.everyone().broadcast_bytes(ID, b"fifth").unwrap();
        },
    );
    let mut peer = host.connect();
    room.join(&host.accepted()).unwrap();
    for _ in 0..100 {
        peer.send(b"go");
        room.broadcast_bytes(ID, b"first").unwrap();
        told.send(()).unwrap();
        for expected in [&b"first"[..], b"second", b"third", b"fourth", b"fifth"] {
            assert_eq!(peer.receive(), expected);
        }
    }
}

pub(crate) fn a_session_that_has_ended_has_left_its_rooms(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    let (room, peers, mut sessions) = room_of(&host, 2);
    let second = Room::new();
    assert_eq!(second.join(&sessions[0]), Ok(true));
    assert_eq!(sessions[0].rooms().len(), 2);
    assert!(sessions[0].rooms().contains(&second));
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    sessions[0].attach(alive).unwrap();
    drop(peers);
    let (first, other) = (host.reason(), host.reason());
    assert_eq!(first, CloseReason::PeerClosed);
    assert_eq!(other, CloseReason::PeerClosed);
    assert!(room.is_empty() && second.is_empty() && sessions[0].rooms().is_empty());
    assert_eq!(room.join(&sessions[0]), Err(SendError::Disconnected));
    assert_eq!(room.broadcast(ID, &message(1)), Ok(0));
    sessions.clear();
    let Host { server, sees } = host;
    server.stop(LIMIT);
    drop((server, sees));
    assert!(watched.upgrade().is_none(), "a room keeps its old members");
}

/// The room outlives the service with members in it: nothing is kept, nothing hangs.
pub(crate) fn a_room_outlives_the_service(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    let (room, mut peers, sessions) = room_of(&host, 2);
    let everyone = host.server.service().everyone();
    host.server.stop(std::time::Duration::ZERO);
    assert!(room.is_empty());
    assert_eq!(room.broadcast(ID, &message(1)), Ok(0));
    assert_eq!(room.join(&sessions[0]), Err(SendError::Disconnected));
    drop(host);
    everyone.broadcast(ID, &message(2)).unwrap();
    assert!(peers[0].drain().0.is_empty());
}

pub(crate) fn what_was_broadcast_before_a_disconnect_is_flushed(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    for _ in 0..50 {
        let (room, mut peers, sessions) = room_of(&host, 2);
        room.broadcast_bytes(ID, b"farewell").unwrap();
        sessions[0].disconnect();
        room.broadcast_bytes(ID, b"too late for one").unwrap();
        assert_eq!(peers[0].drain(), (frame(ID, b"farewell"), End::Fin));
        assert_eq!(peers[1].receive(), b"farewell");
        assert_eq!(peers[1].receive(), b"too late for one");
    }
}

pub(crate) fn a_member_that_does_not_read_is_the_only_one_to_suffer(setup: Setup) {
    const FRAMES: usize = 400;
    let host = setup.host(
        |config| {
            config.session.send_queue_max = 256 * 1024;
            config.session.send_high_watermark = 128 * 1024;
            config.session.send_low_watermark = 64 * 1024;
            config.session.socket.send_buffer = Some(64 * 1024);
        },
        |_, _| {},
    );
    let (room, mut peers, sessions) = room_of(&host, 3);
    let _stalled = peers.pop();
    for number in 0..FRAMES {
        let payload = pattern(number, 20_000);
        room.broadcast_bytes(ID, &payload).unwrap();
        // The others keep pace.
        for peer in &mut peers {
            assert!(peer.receive() == payload, "frame {number}");
        }
    }
    assert_eq!(host.reason(), CloseReason::SendOverflow);
    assert!(!sessions[2].is_connected() && sessions[0].is_connected());
    assert!(!room.contains(&sessions[2]));
    assert_eq!(room.len(), 2);
}

pub(crate) fn everyone_hears_what_is_for_everyone(setup: Setup) {
    let host = setup.host(
        |config| config.workers = 2,
        |session, packet| {
            let frame = frame(PacketId::new(5), packet.payload());
            let everyone = session.everyone();
            everyone
                .broadcast_shared(&frame.into(), Some(session))
                .unwrap();
        },
    );
    let mut peers: Vec<Peer> = (0..10).map(|_| host.connect()).collect();
    let sessions: Vec<Session> = peers.iter().map(|_| host.accepted()).collect();
    let everyone = host.server.service().everyone();
    everyone.broadcast(ID, &message(1)).unwrap();
    let expected = shared_frame(ID, &message(1)).unwrap();
    for peer in &mut peers {
        assert_eq!(peer.read(expected.len()), &expected[..]);
    }
    // What one says, all others hear.
    peers[0].send(b"hello");
    for peer in &mut peers[1..] {
        assert_eq!(peer.receive(), b"hello");
    }
    everyone.broadcast(ID, &message(2)).unwrap();
    let expected = shared_frame(ID, &message(2)).unwrap();
    for peer in &mut peers {
        assert_eq!(peer.read(expected.len()), &expected[..]);
    }
    drop(sessions);
}
