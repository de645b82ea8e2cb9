//! Every way in which a session ends.

use super::harness::{End, ID, Setup, frame, pattern};
use fastport::{CloseReason, SendError, ServiceConfig};
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

fn is_reset(reason: CloseReason) -> bool {
    // A reset that meets no operation may first be seen as the end of the stream.
    matches!(
        reason,
        CloseReason::PeerReset { .. } | CloseReason::PeerClosed
    )
}

pub(crate) fn what_came_before_fin_is_answered(setup: Setup) {
    let host = setup.echo();
    for round in 0..20 {
        let mut peer = host.connect();
        let sent: Vec<u8> = (0..50)
            .flat_map(|n| frame(ID, &pattern(n, round * 50)))
            .collect();
        peer.write(&sent);
        peer.finish();
        let (read, end) = peer.drain();
        assert!(read == sent, "{} of {} bytes", read.len(), sent.len());
        assert_eq!(end, End::Fin);
        assert_eq!(host.reason(), CloseReason::PeerClosed);
    }
}

pub(crate) fn fin_inside_a_frame_is_told(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    peer.write(&frame(ID, b"whole"));
    peer.write(&[0, 100, 0, 2, 1, 2, 3]);
    peer.finish();
    assert_eq!(peer.drain(), (frame(ID, b"whole"), End::Fin));
    assert_eq!(
        host.ended(),
        (CloseReason::PeerTruncated, vec![b"whole".to_vec()])
    );
}

/// Back-pressure holds the last bytes when FIN comes: whether they are a whole frame shows later.
pub(crate) fn fin_inside_a_held_frame_is_told(setup: Setup) {
    let (go, may_go) = channel();
    let may_go = Mutex::new(may_go);
    let host = setup.host(
        |config| config.session.send_queue_max = 1 << 26,
        move |session, packet| match packet.payload() {
            b"wait" => may_go.lock().unwrap().recv().unwrap(),
            // More than the sockets take: what follows is held.
            b"fill" => {
                for number in 0..200 {
                    let _ = session.send_bytes(ID, &pattern(number, 60_000));
                }
            }
            _ => {}
        },
    );
    let mut peer = host.connect();
    peer.send(b"wait");
    assert_eq!(host.packet(), b"wait");
    let mut rest = frame(ID, b"fill");
    rest.extend(frame(ID, b"last"));
    rest.extend([0, 100, 0]);
    peer.write(&rest);
    peer.finish();
    go.send(()).unwrap();
    assert_eq!(host.packet(), b"fill");
    assert_eq!(peer.drain().1, End::Fin);
    assert_eq!(
        host.ended(),
        (CloseReason::PeerTruncated, vec![b"last".to_vec()])
    );
}

/// A message whose encoding outlives its session must not go out behind FIN, nor be lost silently.
pub(crate) fn a_message_that_is_encoded_too_long_is_refused(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let session = host.accepted();
    let mut seen = None;
    let outcome = session.send_with(ID, 60_000, |memory| {
        session.disconnect();
        seen = Some(peer.drain());
        memory.fill(7);
    });
    assert_eq!(seen, Some((Vec::new(), End::Fin)));
    assert_eq!(outcome, Err(SendError::Disconnected));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Requested);
}

pub(crate) fn a_reset_inside_a_frame_ends_the_session(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    peer.send(b"first");
    assert_eq!(peer.receive(), b"first");
    peer.write(&[0, 100, 0]);
    peer.reset();
    assert!(matches!(host.reason(), CloseReason::PeerReset { .. }));
}

pub(crate) fn a_reset_while_sending_ends_the_session(setup: Setup) {
    let host = setup.host(
        |config| config.session.send_queue_max = 1 << 26,
        |session, _| {
            for number in 0..100 {
                let _ = session.send_bytes(ID, &pattern(number, 60_000));
            }
        },
    );
    for _ in 0..10 {
        let mut peer = host.connect();
        peer.send(b"flood me");
        assert_eq!(peer.read(4).len(), 4);
        peer.reset();
        assert!(is_reset(host.reason()));
    }
}

pub(crate) fn a_disconnect_flushes_what_was_sent(setup: Setup) {
    let host = setup.host(
        |_| {},
        |session, _| {
            for number in 0..10 {
                let _ = session.send_bytes(ID, &pattern(number, 20_000)).unwrap();
            }
            session.disconnect();
            let refused = session.send_bytes(ID, b"too late");
            assert_eq!(refused, Err(SendError::Disconnected));
        },
    );
    let mut peer = host.connect();
    peer.send(b"bye");
    for number in 0..10 {
        assert!(peer.receive() == pattern(number, 20_000), "frame {number}");
    }
    assert_eq!(peer.drain(), (Vec::new(), End::Fin));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Requested);
}

/// A peer that is told of the end and leaves its own side open is not waited for without end.
pub(crate) fn a_peer_that_never_closes_its_side_is_given_up(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        config.session.linger_timeout = Duration::from_millis(300);
    };
    let host = setup.host(change, |session, _| session.disconnect());
    let mut peer = host.connect();
    peer.send(b"bye");
    assert_eq!(peer.drain(), (Vec::new(), End::Fin));
    assert_eq!(host.reason(), CloseReason::Requested);
    drop(peer);
}

pub(crate) fn a_disconnect_from_another_thread_ends_the_session(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let session = host.accepted();
    session.disconnect();
    session.disconnect_with(CloseReason::Idle);
    assert_eq!(peer.drain(), (Vec::new(), End::Fin));
    drop(peer);
    assert_eq!(
        host.reason(),
        CloseReason::Requested,
        "the first reason stays"
    );
}

pub(crate) fn a_disconnect_in_the_third_of_ten_frames_delivers_three(setup: Setup) {
    let host = setup.host(
        |_| {},
        |session, packet| {
            if packet.payload() == [2] {
                session.disconnect();
            }
        },
    );
    let mut peer = host.connect();
    let all: Vec<u8> = (0..10).flat_map(|number| frame(ID, &[number])).collect();
    peer.write(&all);
    peer.finish();
    let (reason, packets) = host.ended();
    assert_eq!(
        (reason, packets),
        (CloseReason::Requested, vec![vec![0], vec![1], vec![2]])
    );
}

/// Closing with unread input would reset the connection and truncate what the peer has not read.
pub(crate) fn a_peer_that_goes_on_sending_still_gets_the_last_bytes(setup: Setup) {
    let host = setup.host(
        |_| {},
        |session, packet| {
            if packet.payload() == b"end" {
                let _ = session.send_bytes(ID, &pattern(1, 60_000)).unwrap();
                session.disconnect();
            }
        },
    );
    for _ in 0..10 {
        let mut peer = host.connect();
        peer.send(b"end");
        for _ in 0..20 {
            // The server may have half-closed, but it reads on.
            peer.stream
                .write_all(&frame(ID, &pattern(9, 5000)))
                .unwrap();
        }
        assert!(peer.receive() == pattern(1, 60_000));
        assert_eq!(peer.drain(), (Vec::new(), End::Fin));
        drop(peer);
        assert_eq!(host.reason(), CloseReason::Requested);
    }
}

pub(crate) fn a_disconnect_while_threads_send_ends_once(setup: Setup) {
    let host = setup.host(|config| config.session.send_queue_max = 1 << 26, |_, _| {});
    for _ in 0..10 {
        let mut peer = host.connect();
        let session = host.accepted();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // Below the hard limit, however late the peer gets to read.
                    while session.queued_bytes() > 1 << 24
                        || session.send_bytes(ID, &[7; 500]).is_ok()
                    {}
                });
            }
            scope.spawn(|| {
                // Some of it arrives, then the end comes in the middle of the rest.
                peer.receive();
                session.disconnect();
                let (rest, _) = peer.drain();
                assert_eq!(rest.len() % 504, 0, "a torn frame");
            });
        });
        drop(peer);
        assert_eq!(host.reason(), CloseReason::Requested);
    }
}

pub(crate) fn sending_after_the_end_is_an_error(setup: Setup) {
    let host = setup.echo();
    let peer = host.connect();
    let session = host.accepted();
    drop(peer);
    assert_eq!(host.reason(), CloseReason::PeerClosed);
    assert_eq!(session.send_bytes(ID, b"x"), Err(SendError::Disconnected));
    assert_eq!(session.queued_bytes(), 0);
}
