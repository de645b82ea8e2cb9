//! No allocation per message in steady state: inline raw echo, counted by the allocator.
//!
//! The whole process is counted, the client of the test included, so it uses one socket and one
//! buffer.

use fastport::{Dispatch, EngineKind, Handler, Packet, Server, Session};
use fastport_testkit::alloc_counter::{CountingAllocator, allocations};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

struct RawEcho;

impl Handler for RawEcho {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let _ = session.forward(&packet);
    }
}

/// Sends `burst` frames of `bytes` bytes at once and reads them back, `rounds` times.
fn exchange(stream: &mut TcpStream, bytes: usize, burst: usize, rounds: usize) {
    let mut frame = vec![0xAB; bytes];
    frame[..2].copy_from_slice(&u16::try_from(bytes).unwrap().to_be_bytes());
    frame[2..4].copy_from_slice(&[0, 2]);
    let sent = frame.repeat(burst);
    let mut received = vec![0; sent.len()];
    for _ in 0..rounds {
        stream.write_all(&sent).unwrap();
        stream.read_exact(&mut received).unwrap();
        assert!(received == sent);
    }
}

fn messages_are_free_of_allocations(engine: EngineKind) {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .engine(engine)
        .workers(1)
        .dispatch(Dispatch::Inline)
        .handler(RawEcho)
        .start()
        .unwrap();
    let mut stream = TcpStream::connect(server.local_address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for (bytes, burst) in [(64, 1), (64, 64), (1500, 7), (16_384, 1), (65_535, 2)] {
        exchange(&mut stream, bytes, burst, 300);
        let before = allocations();
        exchange(&mut stream, bytes, burst, 500);
        let counted = allocations() - before;
        // The three buffers of the client's side; a timer bucket may grow once.
        let allowed = 3 + 2;
        assert!(
            counted <= allowed,
            "{engine}: {counted} allocations in 500 rounds of {burst} x {bytes} bytes"
        );
    }
    server.stop(Duration::from_secs(5));
}

/// One test, so that nothing else of the process allocates meanwhile.
#[test]
fn no_allocation_per_message() {
    #[cfg(target_os = "linux")]
    if EngineKind::choose(Some(EngineKind::IoUring)).is_ok() {
        messages_are_free_of_allocations(EngineKind::IoUring);
    }
    #[cfg(windows)]
    messages_are_free_of_allocations(EngineKind::Iocp);
    #[cfg(unix)]
    messages_are_free_of_allocations(EngineKind::Poll);
}
