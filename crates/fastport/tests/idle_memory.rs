//! What an idle session takes of the heap, after traffic, with every time limit on: counted by the
//! allocator, so that a field which every session has to carry is noticed.

use fastport::{Dispatch, EngineKind, Handler, Packet, Server, Session};
use fastport_testkit::alloc_counter::{CountingAllocator, live_bytes};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Few enough for a limit of 1,024 descriptors, both ends counted.
const SESSIONS: usize = 400;
/// Connections that were there before: what is taken once for all is not counted.
const EARLIER: usize = 2;

struct RawEcho;

impl Handler for RawEcho {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let _ = session.forward(&packet);
    }
}

fn echo(stream: &mut TcpStream) {
    let mut frame = [0xAB; 64];
    frame[..4].copy_from_slice(&[0, 64, 0, 2]);
    stream.write_all(&frame).unwrap();
    let mut answer = [0; 64];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, frame);
}

fn idle_sessions_are_small(engine: EngineKind, bytes_max: usize) {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .engine(engine)
        .workers(1)
        .dispatch(Dispatch::Inline)
        .idle_timeout(Duration::from_secs(60))
        .handler(RawEcho)
        .start()
        .unwrap();
    let connect = |_| {
        let stream = TcpStream::connect(server.local_address()).unwrap();
        let limit = Some(Duration::from_secs(10));
        stream.set_read_timeout(limit).unwrap();
        stream
    };
    let mut streams: Vec<_> = (0..EARLIER).map(connect).collect();
    streams.reserve_exact(SESSIONS);
    streams.iter_mut().for_each(echo);
    let before = live_bytes();
    streams.extend((0..SESSIONS).map(connect));
    streams[EARLIER..].iter_mut().for_each(echo);
    let each = (live_bytes() - before) / SESSIONS;
    assert!(
        each <= bytes_max,
        "{engine}: {each} bytes of heap for each idle session, at most {bytes_max} wanted"
    );
    server.stop(Duration::from_secs(5));
}

/// One test, so that nothing else of the process allocates meanwhile.
#[test]
fn an_idle_session_is_small() {
    #[cfg(target_os = "linux")]
    if EngineKind::choose(Some(EngineKind::IoUring)).is_ok() {
        idle_sessions_are_small(EngineKind::IoUring, 470);
    }
    #[cfg(unix)]
    idle_sessions_are_small(EngineKind::Poll, 490);
    #[cfg(windows)]
    idle_sessions_are_small(EngineKind::Iocp, 610);
}
