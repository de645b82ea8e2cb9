//! The plain course of things: bytes, pauses, connects, wake-ups.

use super::*;

#[test]
fn the_self_test_passes_where_the_engine_runs() {
    assert_eq!(fastport_engine::uring::probe::refusal(), None);
}

#[test]
fn bytes_come_and_go_until_the_peer_finishes() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    for message in [&b"hello"[..], b"again", b"and again"] {
        client.write_all(message).unwrap();
        let chunk = rig.received(key);
        assert_eq!(chunk.as_slice(), message);
        let mut batch = SendBatch::default();
        batch.push(Piece::Forward(chunk));
        rig.engine.send(key, batch);
        assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
        let mut echo = vec![0; message.len()];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, message);
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(rig.event(), Event::PeerFinished { .. }));
    rig.close(key);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!((rig.engine.in_flight(), rig.engine.open_keys()), (1, 1));
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_pause_holds_bytes_back_and_loses_none() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    for round in 0..20u8 {
        client.write_all(&[round]).unwrap();
        assert_eq!(rig.received(key).as_slice(), [round]);
        rig.engine.pause_recv(key);
        assert!(matches!(rig.event(), Event::RecvPaused { .. }));
        client.write_all(&[round, 1]).unwrap();
        assert!(rig.poll(Duration::from_millis(5)).is_none());
        rig.engine.arm_recv(key);
        assert_eq!(rig.received(key).as_slice(), [round, 1]);
    }
    // Arming before the pause took effect cancels it.
    rig.engine.pause_recv(key);
    rig.engine.arm_recv(key);
    client.write_all(b"on").unwrap();
    assert_eq!(rig.received(key).as_slice(), b"on");
    // A second pause, or one of what is not armed, does nothing.
    rig.engine.pause_recv(key);
    rig.engine.pause_recv(key);
    assert!(matches!(rig.event(), Event::RecvPaused { .. }));
    rig.engine.pause_recv(key);
    assert!(rig.poll(Duration::from_millis(20)).is_none());
}

#[test]
fn a_batch_of_more_pieces_than_a_message_takes_arrives_in_order() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    let whole: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let frame: SharedFrame = whole.clone().into();
    let mut batch = SendBatch::default();
    for from in (0..whole.len()).step_by(97) {
        let range = from..(from + 97).min(whole.len());
        batch.push(Piece::Shared(frame.clone(), range));
    }
    assert!(batch.pieces().len() > 3000);
    rig.engine.send(key, batch);
    let reader = std::thread::spawn(move || {
        let mut seen = vec![0; 300_000];
        client.read_exact(&mut seen).unwrap();
        seen
    });
    assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
    assert!(reader.join().unwrap() == whole);
}

#[test]
fn another_thread_wakes_a_waiting_worker() {
    let mut engine = UringEngine::open(&small()).unwrap();
    let waker = engine.waker();
    for _ in 0..50 {
        let there = waker.clone();
        let deadline = Instant::now() + PATIENCE;
        let thread = std::thread::spawn(move || there.wake());
        engine.submit_and_wait(Wait::Until(deadline)).unwrap();
        assert!(Instant::now() < deadline);
        assert!(engine.next_event().is_none());
        thread.join().unwrap();
    }
    // Woken before the wait counts too.
    waker.wake();
    engine.submit_and_wait(Wait::Forever).unwrap();
    drop(engine);
    waker.wake();
}

#[test]
fn connects_stand_fail_or_are_given_up() {
    let mut rig = Rig::new(&small());
    let options = SocketOptions::default();
    let key = rig.engine.connect(rig.address, &options).unwrap();
    // Armed before it stands: received when it does.
    rig.engine.arm_recv(key);
    let mut server = None;
    let mut connected = false;
    while server.is_none() || !connected {
        match rig.event() {
            Event::Accepted { socket, .. } => server = Some(TcpStream::from(socket)),
            Event::Connected { key: of } => connected = of == key,
            other => panic!("{other:?}"),
        }
    }
    server.unwrap().write_all(b"hi").unwrap();
    assert_eq!(rig.received(key).as_slice(), b"hi");
    assert_eq!(rig.engine.peer_address(key).unwrap(), rig.address);

    let listener = rig.listener;
    rig.engine.close(key, CloseMode::Abort);
    rig.engine.close(listener, CloseMode::Orderly);
    for _ in 0..2 {
        assert!(matches!(rig.event(), Event::Closed { .. }));
    }
    let refused = rig.engine.connect(rig.address, &options).unwrap();
    let Event::Failed { key, error } = rig.event() else {
        panic!("a connection to a closed listener")
    };
    assert_eq!((key, error.kind()), (refused, ErrorKind::ConnectionRefused));
    rig.close(refused);

    // Closed before the kernel has even heard of it.
    let given_up = rig.engine.connect(rig.address, &options).unwrap();
    rig.engine.close(given_up, CloseMode::Abort);
    assert!(matches!(rig.event(), Event::Closed { key } if key == given_up));
    assert_eq!(rig.engine.open_keys(), 0);
}

#[test]
fn a_stale_key_does_nothing() {
    let mut rig = Rig::new(&small());
    let (key, _client) = rig.session();
    rig.close(key);
    let (successor, mut client) = rig.session();
    assert_eq!(successor.index(), key.index());
    rig.engine.arm_recv(successor);
    rig.engine.close(key, CloseMode::Abort);
    rig.engine.pause_recv(key);
    rig.engine.shutdown_write(key);
    rig.engine.send(key, batch(b"nobody"));
    assert!(rig.engine.peer_address(key).is_err());
    client.write_all(b"alive").unwrap();
    assert_eq!(rig.received(successor).as_slice(), b"alive");
}
