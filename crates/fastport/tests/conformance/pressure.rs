//! Peers that do not read, or not fast enough.

use super::harness::{ID, Peer, Seen, Setup, frame, pattern};
use fastport::{CloseReason, SendStatus, ServiceConfig};
use std::io::{ErrorKind, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

const HIGH: usize = 64 * 1024;

fn small_queues(config: &mut ServiceConfig) {
    config.session.send_high_watermark = HIGH;
    config.session.send_low_watermark = HIGH / 2;
    config.session.send_queue_max = 1 << 20;
    config.session.receive_high_watermark = HIGH;
    config.session.socket.send_buffer = Some(64 * 1024);
}

/// Writes until the server's back-pressure stops it for a moment. Returns how many bytes that were.
fn flood(peer: &mut Peer, payload: &[u8]) -> usize {
    let frame = frame(ID, payload);
    peer.stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut sent = 0;
    while sent < 256 << 20 {
        let from = sent % frame.len();
        match peer.stream.write(&frame[from..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{sent} bytes went in and nothing stopped them");
}

pub(crate) fn a_flood_without_reading_is_bounded(setup: Setup) {
    let host = setup.host(small_queues, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut peer = host.connect();
    let session = host.accepted();
    flood(&mut peer, &pattern(1, 2000));
    let bound = HIGH + 2004;
    assert!(
        session.queued_bytes() <= bound,
        "{} bytes queued",
        session.queued_bytes()
    );
    assert!(session.is_connected());
    assert!(host.server.stats().pauses >= 1);
}

/// What waits for a handler is bounded as well: no more is received than fits.
pub(crate) fn a_flood_for_a_handler_that_blocks_is_bounded(setup: Setup) {
    let (let_go, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let change = |config: &mut ServiceConfig| {
        small_queues(config);
        // However late the engine hears of the pause, no more comes than these hold, and a burst.
        config.engine_config.chunks = 64;
    };
    let host = setup.host(change, move |_, _| {
        // Until the case drops the other end.
        let _ = gate.lock().unwrap().recv();
    });
    // Dropped before the host, which waits for its handlers.
    let let_go = let_go;
    let mut peer = host.connect();
    host.accepted();
    flood(&mut peer, &pattern(1, 2000));
    let received = host.server.stats().bytes_in;
    assert!(received < 3 << 20, "{received} bytes wait for a handler");
    drop(let_go);
}

pub(crate) fn reading_goes_on_when_the_peer_reads(setup: Setup) {
    let host = setup.host(small_queues, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut peer = host.connect();
    let payload = pattern(1, 2000);
    let sent = flood(&mut peer, &payload);
    // Finish the frame that the flood broke off, while what was held comes back.
    let rest = frame(ID, &payload)[sent % 2004..].to_vec();
    let frames = sent.div_ceil(2004);
    let mut writer = Peer {
        stream: peer.stream.try_clone().unwrap(),
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if rest.len() < 2004 {
                writer
                    .stream
                    .set_write_timeout(Some(super::harness::LIMIT))
                    .unwrap();
                writer.write(&rest);
            }
        });
        for number in 0..frames {
            assert!(peer.receive() == payload, "frame {number} of {frames}");
        }
    });
}

pub(crate) fn writable_comes_once_per_episode(setup: Setup) {
    let host = setup.host(small_queues, |session, _| {
        while session.send_bytes(ID, &[1; 1000]).unwrap() == SendStatus::Queued {}
    });
    let mut peer = host.connect();
    let mut reader = Peer {
        stream: peer.stream.try_clone().unwrap(),
    };
    let reader = std::thread::spawn(move || reader.drain().0.len());
    for _ in 0..3 {
        peer.send(b"fill up");
        loop {
            match host.next() {
                Seen::Writable(_) => break,
                Seen::Disconnected(_, reason) => panic!("{reason}"),
                _ => {}
            }
        }
    }
    peer.finish();
    let reason = loop {
        match host.next() {
            Seen::Writable(_) => panic!("once more"),
            Seen::Disconnected(_, reason) => break reason,
            _ => {}
        }
    };
    assert_eq!(reason, CloseReason::PeerClosed);
    assert!(reader.join().unwrap() > 3 * HIGH);
}

pub(crate) fn the_hard_limit_ends_the_session(setup: Setup) {
    let host = setup.host(small_queues, |_, _| {});
    let peer = host.connect();
    let session = host.accepted();
    // Twice as much as the limit, beside what the system takes.
    let mut sends = (0..100).map(|_| session.send_bytes(ID, &pattern(1, 60_000)));
    let error = sends.find_map(Result::err).expect("a limit");
    assert!(
        matches!(
            error,
            fastport::SendError::Overflow {
                limit: 1_048_576,
                ..
            }
        ),
        "{error:?}, {:?}",
        session.close_reason()
    );
    assert_eq!(host.reason(), CloseReason::SendOverflow);
    drop(peer);
}

pub(crate) fn a_peer_that_never_reads_is_given_up(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        small_queues(config);
        config.session.write_stall_timeout = Duration::from_millis(300);
    };
    let host = setup.host(change, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut peer = host.connect();
    let payload = frame(ID, &pattern(1, 2000));
    while peer.stream.write_all(&payload).is_ok() {}
    assert_eq!(host.reason(), CloseReason::WriteStalled);
}

pub(crate) fn neighbours_of_stalled_peers_are_served(setup: Setup) {
    let host = setup.host(small_queues, |session, packet| {
        let _ = session.forward(&packet);
    });
    let mut stalled: Vec<Peer> = (0..10).map(|_| host.connect()).collect();
    for peer in &mut stalled {
        flood(peer, &pattern(1, 2000));
    }
    let mut peer = host.connect();
    for round in 0..100 {
        let payload = pattern(round, 3000);
        peer.send(&payload);
        assert!(peer.receive() == payload, "round {round}");
    }
}
