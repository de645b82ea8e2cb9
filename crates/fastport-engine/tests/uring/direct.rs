//! Direct descriptors: a place is nobody else's until everything of its connection is over.

use super::*;

fn config() -> EngineConfig {
    EngineConfig {
        direct_descriptors: 100,
        ..small()
    }
}

/// Connects clients, and gets their sockets without adopting them.
fn accept(rig: &mut Rig, count: usize) -> (Vec<OwnedFd>, Vec<TcpStream>) {
    let clients: Vec<_> = (0..count)
        .map(|_| TcpStream::connect(rig.address).unwrap())
        .collect();
    let mut sockets = Vec::new();
    while sockets.len() < count {
        if let Event::Accepted { socket, .. } = rig.event() {
            sockets.push(socket);
        }
    }
    (sockets, clients)
}

#[test]
fn a_half_close_does_not_reach_the_next_connection_of_its_place() {
    const COUNT: usize = 90;
    let mut rig = Rig::new(&config());
    let options = SocketOptions::default();
    let mut keys = Vec::new();
    let mut held = Vec::new();
    for _ in 0..20 {
        let (mut sockets, mut clients) = accept(&mut rig, COUNT);
        // A thread of the kernel's carries half-closes out, one after the other, when it comes to
        // them; meanwhile the places are to be had.
        for key in keys.drain(..) {
            rig.engine.shutdown_write(key);
            rig.engine.close(key, CloseMode::Orderly);
        }
        while let Some(socket) = sockets.pop() {
            let key = rig.engine.adopt(socket, &options).unwrap();
            rig.engine.arm_recv(key);
            keys.push(key);
            // The listener is one of them.
            while rig.engine.open_keys() > COUNT + 1 {
                assert!(matches!(rig.event(), Event::Closed { .. }));
            }
        }
        for key in &keys {
            rig.engine.send(*key, batch(b"alive"));
        }
        for _ in 0..COUNT {
            let event = rig.event();
            assert!(
                matches!(event, Event::Sent { result: Ok(()), .. }),
                "{event:?}"
            );
        }
        for client in &mut clients {
            client.read_exact(&mut [0; 5]).unwrap();
        }
        // Those that were there before have all been closed.
        drop(std::mem::replace(&mut held, clients));
    }
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_close_is_seen_while_others_wait_for_bytes() {
    let mut rig = Rig::new(&config());
    // An older operation that does not end (liburing #1192).
    let (idle, _silent) = rig.session();
    rig.engine.arm_recv(idle);
    for mode in [CloseMode::Orderly, CloseMode::Abort] {
        let (key, mut client) = rig.session();
        rig.engine.arm_recv(key);
        rig.engine.submit().unwrap();
        rig.engine.close(key, mode);
        assert!(matches!(rig.event(), Event::Closed { key: of } if of == key));
        let outcome = client.read(&mut [0; 8]).map_err(|error| error.kind());
        let expected = match mode {
            CloseMode::Orderly => Ok(0),
            CloseMode::Abort => Err(ErrorKind::ConnectionReset),
        };
        assert_eq!(outcome, expected);
    }
    assert_eq!(rig.drain(), Drained::Clean);
}

#[test]
fn a_peer_is_known_until_its_connection_moves() {
    let mut rig = Rig::new(&config());
    let (key, client) = rig.session();
    let peer = client.local_addr().unwrap();
    assert_eq!(rig.engine.peer_address(key).unwrap(), peer);
    rig.engine.arm_recv(key);
    let error = rig.engine.peer_address(key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(rig.drain(), Drained::Clean);
}
