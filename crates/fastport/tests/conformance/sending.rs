//! Sending: order, size, encoders, sharing.

use super::harness::{ID, LIMIT, Peer, Random, Setup, frame, pattern};
use fastport::protocol::tests::EchoResponse;
use fastport::{PacketId, SendError, Session, shared_frame};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::mpsc::channel;

/// Whole frames, each thread's in its order, whatever the others do.
pub(crate) fn eight_threads_keep_their_order(setup: Setup) {
    const THREADS: u8 = 8;
    const FRAMES: u32 = 400;
    let host = setup.host(|config| config.session.send_queue_max = 1 << 26, |_, _| {});
    let mut peer = host.connect();
    let session = host.accepted();
    let start = Barrier::new(usize::from(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (session, start) = (&session, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..FRAMES {
                    let mut payload = vec![thread];
                    payload.extend(number.to_be_bytes());
                    payload.resize(5 + (number as usize * 37) % 3000, thread);
                    let _ = session.send_bytes(ID, &payload).unwrap();
                }
            });
        }
        let mut next = [0u32; THREADS as usize];
        for _ in 0..u32::from(THREADS) * FRAMES {
            let payload = peer.receive();
            let thread = payload[0];
            let number = u32::from_be_bytes(payload[1..5].try_into().unwrap());
            assert_eq!(
                number,
                next[usize::from(thread)],
                "thread {thread} out of order"
            );
            assert_eq!(payload.len(), 5 + (number as usize * 37) % 3000);
            assert!(
                payload[5..].iter().all(|byte| *byte == thread),
                "torn frame"
            );
            next[usize::from(thread)] += 1;
        }
    });
}

pub(crate) fn a_large_answer_reaches_a_slow_reader(setup: Setup) {
    const FRAMES: usize = 200;
    let host = setup.host(
        |config| config.session.send_queue_max = 1 << 26,
        |session, _| {
            for number in 0..FRAMES {
                let _ = session.send_bytes(ID, &pattern(number, 40_000)).unwrap();
            }
        },
    );
    let mut peer = host.connect();
    socket2::SockRef::from(&peer.stream)
        .set_recv_buffer_size(16 * 1024)
        .unwrap();
    peer.send(b"all");
    for number in 0..FRAMES {
        assert!(peer.receive() == pattern(number, 40_000), "frame {number}");
    }
}

pub(crate) fn sends_of_random_sizes_arrive_whole(setup: Setup) {
    let host = setup.host(
        |config| config.session.send_queue_max = 1 << 26,
        |session, _| {
            let mut random = Random(99);
            for number in 0..500 {
                let bytes = random.below(9000);
                let _ = session.send_bytes(ID, &pattern(number, bytes)).unwrap();
            }
        },
    );
    let mut peer = host.connect();
    peer.send(b"go");
    let mut random = Random(99);
    for number in 0..500 {
        let bytes = random.below(9000);
        assert!(peer.receive() == pattern(number, bytes), "frame {number}");
    }
}

pub(crate) fn a_frame_too_large_is_an_error(setup: Setup) {
    let host = setup.echo();
    let mut peer = host.connect();
    let session = host.accepted();
    let error = SendError::TooLarge {
        id: ID,
        bytes: 65_536,
    };
    assert_eq!(session.send_bytes(ID, &[0; 65_532]), Err(error));
    let large = EchoResponse {
        data_str: "x".repeat(70_000),
        ..Default::default()
    };
    assert!(matches!(
        session.send(ID, &large),
        Err(SendError::TooLarge { .. })
    ));
    let _ = session.send_bytes(ID, b"fits").unwrap();
    assert_eq!(peer.receive(), b"fits");
}

/// On the owner's thread and on another: nothing of the broken frame goes out.
pub(crate) fn an_encoder_that_panics_leaves_the_queue_whole(setup: Setup) {
    fn send_around_a_panic(session: &Session) {
        for bytes in [100, 5000] {
            let _ = session.send_bytes(ID, b"before").unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                session.send_with(ID, bytes, |payload| {
                    payload[0] = 0xEE;
                    panic!("an encoder of the test");
                })
            }));
            assert!(outcome.is_err());
            let _ = session.send_bytes(ID, b"after").unwrap();
        }
    }
    let host = setup.host(|_| {}, |session, _| send_around_a_panic(session));
    let mut peer = host.connect();
    let session = host.accepted();
    send_around_a_panic(&session);
    for _ in 0..2 {
        assert_eq!(
            (peer.receive(), peer.receive()),
            (b"before".to_vec(), b"after".to_vec())
        );
    }
    peer.send(b"now on its own thread");
    for _ in 0..2 {
        assert_eq!(
            (peer.receive(), peer.receive()),
            (b"before".to_vec(), b"after".to_vec())
        );
    }
}

/// An encoder may not send: it is told so or served, and nothing hangs or tears.
pub(crate) fn an_encoder_that_sends_is_refused_or_served(setup: Setup) {
    fn nested(session: &Session) -> bool {
        let mut served = false;
        let outcome = session.send_with(ID, 1, |payload| {
            served = session.send_bytes(ID, b"inner").is_ok();
            payload[0] = b'o';
        });
        let _ = outcome.unwrap();
        served
    }
    let host = setup.host(|_| {}, |_, _| {});
    let mut peer = host.connect();
    let session = host.accepted();
    let served = nested(&session);
    let _ = session.send_bytes(ID, b"end").unwrap();
    let mut got = Vec::new();
    while got.last().is_none_or(|payload| payload != b"end") {
        got.push(peer.receive());
    }
    assert_eq!(
        got.iter().filter(|payload| *payload == b"inner").count(),
        usize::from(served)
    );
    assert!(got.contains(&b"o".to_vec()));
}

pub(crate) fn a_shared_frame_reaches_everyone(setup: Setup) {
    let host = setup.echo();
    let mut peers: Vec<Peer> = (0..10).map(|_| host.connect()).collect();
    let sessions: Vec<Session> = peers.iter().map(|_| host.accepted()).collect();
    for bytes in [10, 20_000] {
        let message = EchoResponse {
            data: pattern(5, bytes).into(),
            ..Default::default()
        };
        let shared = shared_frame(ID, &message).unwrap();
        for session in &sessions {
            let _ = session.send_shared(&shared).unwrap();
        }
        for peer in &mut peers {
            assert!(peer.read(shared.len()) == shared[..]);
        }
    }
}

/// A thread sends, then tells the handler through the peer: the handler's own send comes after.
pub(crate) fn what_was_sent_before_being_told_of_it_arrives_before(setup: Setup) {
    let (told, tells) = channel::<()>();
    let tells = std::sync::Mutex::new(tells);
    let host = setup.host(
        |_| {},
        move |session, _| {
            // Returns only after the other thread has sent.
            tells.lock().unwrap().recv_timeout(LIMIT).unwrap();
            let _ = session.send_bytes(PacketId::new(4), b"second");
        },
    );
    let mut peer = host.connect();
    let session = host.accepted();
    for _ in 0..200 {
        peer.send(b"x");
        let _ = session.send_bytes(PacketId::new(3), b"first").unwrap();
        told.send(()).unwrap();
        let both = [
            frame(PacketId::new(3), b"first"),
            frame(PacketId::new(4), b"second"),
        ]
        .concat();
        assert_eq!(peer.read(both.len()), both);
    }
}
