//! What sessions that have ended leave on the heap once their service has stopped: nothing, to the
//! byte, counted by the allocator.
//!
//! A program of its own, since the allocator is the process's.

use fastport::{Dispatch, EngineKind, Handler, Packet, Server, Session};
use fastport_testkit::alloc_counter::{CountingAllocator, live_bytes};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SESSIONS: usize = 300;
const LIMIT: Duration = Duration::from_secs(60);
const FRAME: [u8; 8] = [0, 8, 0, 2, 1, 2, 3, 4];

struct RawEcho;

impl Handler for RawEcho {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        // The session may be over already.
        let _ = session.forward(&packet);
        if session.received_packets() == 2 {
            session.disconnect();
        }
    }
}

/// Lets a session end in one of four ways.
fn live(server: &Server, way: usize) {
    let mut peer = TcpStream::connect(server.local_address()).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    peer.write_all(&FRAME).unwrap();
    let mut answer = FRAME;
    peer.read_exact(&mut answer).unwrap();
    let rest: &[u8] = match way % 4 {
        // Closed at once.
        0 => return,
        1 => &[],
        // A frame that is cut.
        2 => &FRAME[..5],
        // The server ends it.
        _ => &FRAME,
    };
    peer.write_all(rest).unwrap();
    // The server may have been first.
    let _ = peer.shutdown(Shutdown::Write);
    let _ = peer.read_to_end(&mut Vec::new());
}

/// Heap that is in use when a service has come and gone.
fn heap_after_a_service(engine: EngineKind, dispatch: Dispatch) -> usize {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .engine(engine)
        .workers(2)
        .dispatch(dispatch)
        .handler(RawEcho)
        .start()
        .unwrap();
    for way in 0..SESSIONS {
        live(&server, way);
    }
    let report = server.stop(LIMIT);
    assert_eq!(report.leaked_operations, 0);
    assert_eq!(report.stats.accepted, SESSIONS as u64);
    live_bytes()
}

/// One test, so that nothing else of the process allocates meanwhile.
#[test]
fn ended_sessions_leave_nothing() {
    for engine in [EngineKind::IoUring, EngineKind::Iocp, EngineKind::Poll] {
        if EngineKind::choose(Some(engine)).is_err() {
            continue;
        }
        for dispatch in [Dispatch::Inline, Dispatch::Pool { workers: 2 }] {
            // What is made once for the process is made by the first.
            let before = heap_after_a_service(engine, dispatch);
            let after = heap_after_a_service(engine, dispatch);
            assert_eq!(after, before, "{engine}, {dispatch:?}");
        }
    }
}
