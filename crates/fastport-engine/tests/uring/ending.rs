//! Closes, aborts, resets, drains: nothing comes afterwards, nothing is left.

use super::*;

#[test]
fn a_close_ends_the_armed_receive() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    rig.engine.submit().unwrap();
    client.write_all(b"too late").unwrap();
    rig.close(key);
    let outcome = client.read(&mut [0; 8]);
    assert!(!matches!(outcome, Ok(1..)), "{outcome:?}");
    assert!(rig.poll(Duration::from_millis(20)).is_none());
}

#[test]
fn an_abort_resets_and_frees_a_blocked_send() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    let frame: SharedFrame = vec![7; 32 << 20].into();
    let mut batch = SendBatch::default();
    batch.push(Piece::Shared(frame.clone(), 0..frame.len()));
    rig.engine.send(key, batch);
    assert!(rig.poll(Duration::from_millis(20)).is_none());
    rig.engine.close(key, CloseMode::Abort);
    assert!(matches!(rig.event(), Event::Closed { .. }));
    assert_eq!(std::sync::Arc::strong_count(&frame), 1);
    let mut sink = vec![0; 1 << 20];
    let error = loop {
        match client.read(&mut sink) {
            Ok(0) => panic!("a clean end"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_during_a_blocked_send_is_a_failure_with_the_batch() {
    let mut rig = Rig::new(&small());
    let (key, client) = rig.session();
    rig.engine.send(key, batch(&vec![7; 32 << 20]));
    assert!(rig.poll(Duration::from_millis(20)).is_none());
    let client = socket2::Socket::from(client);
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let Event::Sent {
        batch,
        result: Err(failure),
        ..
    } = rig.event()
    else {
        panic!("a send that can not have succeeded")
    };
    assert_eq!(batch.bytes(), 32 << 20);
    assert!(failure.sent < batch.bytes());
    rig.close(key);
}

/// Slots are reused at once and in the middle of everything; each connection's bytes name it.
#[test]
fn churn_never_mixes_connections_up() {
    let mut rig = Rig::new(&small());
    let options = SocketOptions::default();
    let elsewhere = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let elsewhere = (elsewhere.local_addr().unwrap(), elsewhere);
    for round in 0..300u32 {
        let (key, mut client) = rig.session();
        rig.engine.arm_recv(key);
        client.write_all(&round.to_le_bytes()).unwrap();
        let mut closing = vec![key];
        if round % 3 > 0 {
            assert_eq!(rig.received(key).as_slice(), round.to_le_bytes());
        }
        match round % 3 {
            // Closed with data on the way.
            0 => rig.engine.close(key, CloseMode::Abort),
            // With a send that nobody waited for.
            1 => {
                rig.engine.send(key, batch(&round.to_le_bytes()));
                rig.engine.close(key, CloseMode::Orderly);
            }
            // With a pause, and a connect that is given up in the same moment.
            _ => {
                rig.engine.shutdown_write(key);
                assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
                rig.engine.pause_recv(key);
                let other = rig.engine.connect(elsewhere.0, &options).unwrap();
                rig.engine.close(key, CloseMode::Orderly);
                rig.engine.close(other, CloseMode::Abort);
                closing.push(other);
            }
        }
        while !closing.is_empty() {
            let Event::Closed { key } = rig.event() else {
                panic!("round {round}: not a close")
            };
            let at = closing
                .iter()
                .position(|of| *of == key)
                .expect("closed once");
            closing.swap_remove(at);
        }
    }
    assert_eq!(rig.engine.open_keys(), 1);
    assert_eq!(kernel_workers(), 0);
}

#[test]
fn a_drain_in_the_middle_of_everything_is_clean() {
    let mut rig = Rig::new(&small());
    let sessions = rig.sessions(50);
    for (index, (key, _)) in sessions.iter().enumerate() {
        if index % 2 == 0 {
            rig.engine.arm_recv(*key);
        }
        if index % 3 == 0 {
            rig.engine.send(*key, batch(&vec![1; 16 << 20]));
        }
        if index % 5 == 0 {
            rig.engine.pause_recv(*key);
        }
    }
    let unaccepted = TcpStream::connect(rig.address).unwrap();
    rig.engine.submit().unwrap();
    assert!(rig.engine.in_flight() > 20);
    assert_eq!(rig.drain(), Drained::Clean);
    drop(unaccepted);
}

#[test]
fn an_engine_dropped_without_a_drain_lets_go_of_its_sockets() {
    let mut rig = Rig::new(&small());
    let (key, mut client) = rig.session();
    rig.engine.arm_recv(key);
    client.write_all(b"kept").unwrap();
    let chunk = rig.received(key);
    let address = rig.address;
    drop(rig);
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(chunk.as_slice(), b"kept");
}

/// A receive that waits before it reads is never told of a reset that was there when it was armed.
#[test]
fn a_reset_behind_data_during_a_pause_is_told() {
    for size in [1, 100, 4096, 6000] {
        let mut rig = Rig::new(&small());
        let (key, mut client) = rig.session();
        rig.engine.arm_recv(key);
        rig.engine.pause_recv(key);
        assert!(matches!(rig.event(), Event::RecvPaused { .. }));
        client.write_all(&vec![1; size]).unwrap();
        let client = socket2::Socket::from(client);
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        rig.engine.arm_recv(key);
        let mut bytes = 0;
        let error = loop {
            match rig.event() {
                Event::Received { chunk, .. } => bytes += chunk.len(),
                Event::Failed { error, .. } => break error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((bytes, error.kind()), (size, ErrorKind::ConnectionReset));
        rig.close(key);
    }
}
