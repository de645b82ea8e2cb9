//! Direct descriptors: a place is nobody else's until everything of its connection is over.

use super::*;

fn config() -> EngineConfig {
    EngineConfig {
        direct_descriptors: 100,
        ..small()
    }
}

#[test]
fn a_half_close_does_not_reach_the_next_connection_of_its_place() {
    let mut rig = Rig::new(&config());
    for _ in 0..100 {
        let (key, mut client) = rig.session();
        rig.engine.arm_recv(key);
        rig.engine.submit().unwrap();
        // A thread of the kernel's carries it out, when it comes to it.
        rig.engine.shutdown_write(key);
        rig.close(key);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        let (next, mut client) = rig.session();
        assert_eq!(next.index(), key.index(), "the place is used again");
        rig.engine.arm_recv(next);
        rig.engine.send(next, batch(b"alive"));
        assert!(matches!(rig.event(), Event::Sent { result: Ok(()), .. }));
        client.read_exact(&mut [0; 5]).unwrap();
        rig.close(next);
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
