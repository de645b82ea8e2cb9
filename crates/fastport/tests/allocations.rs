//! No allocation and no lock per message in steady state: inline raw echo, counted by the allocator
//! and by the locks.
//!
//! The whole process is counted, the client of the test included, so it uses one socket and one
//! buffer, and the tests of this file take turns.

use fastport::simulation::lock_counts;
use fastport::{Dispatch, EngineKind, Handler, Packet, PacketId, Server, Session};
use fastport_testkit::alloc_counter::{CountingAllocator, allocations};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
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

/// Looks for a contention that was made: some seconds of them.
const LOOKS_MAX: u32 = 10_000_000;

/// Held by the test that counts.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn messages_are_free(engine: EngineKind) {
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
        let (before, locks) = (allocations(), lock_counts());
        exchange(&mut stream, bytes, burst, 500);
        let counted = allocations() - before;
        // None was even taken, so none can have been contended.
        assert_eq!(lock_counts(), locks, "{engine}: {burst} x {bytes} bytes");
        // The three buffers of the client's side; a timer bucket may grow once.
        let allowed = 3 + 2;
        assert!(
            counted <= allowed,
            "{engine}: {counted} allocations in 500 rounds of {burst} x {bytes} bytes"
        );
    }
    server.stop(Duration::from_secs(5));
}

#[test]
fn no_allocation_and_no_lock_per_message() {
    let _turn = turn();
    #[cfg(target_os = "linux")]
    if EngineKind::choose(Some(EngineKind::IoUring)).is_ok() {
        messages_are_free(EngineKind::IoUring);
    }
    #[cfg(windows)]
    messages_are_free(EngineKind::Iocp);
    #[cfg(unix)]
    messages_are_free(EngineKind::Poll);
}

/// Tells the test of its session.
struct Teller(Mutex<Sender<Session>>);

impl Handler for Teller {
    fn on_accepted(&self, session: &Session) {
        self.0.lock().unwrap().send(session.clone()).unwrap();
    }

    fn on_packet(&self, _session: &Session, _packet: Packet<'_>) {}
}

/// What the count is worth: two threads send to one session, and the second finds the first inside.
#[test]
fn a_contended_lock_is_counted() {
    let _turn = turn();
    let (tell, told) = channel();
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .dispatch(Dispatch::Inline)
        .handler(Teller(Mutex::new(tell)))
        .start()
        .unwrap();
    let stream = TcpStream::connect(server.local_address()).unwrap();
    let session = told.recv_timeout(Duration::from_secs(10)).unwrap();
    let (inside, is_inside) = channel();
    let (leave, may_leave): (_, Receiver<()>) = channel();
    let before = lock_counts().contended;
    thread::scope(|scope| {
        let first = session.clone();
        scope.spawn(move || {
            first.send_with(PacketId::RAW_ECHO, 1, |_| {
                inside.send(()).unwrap();
                // Ends when the other end goes, also when the test has failed.
                let _ = may_leave.recv();
            })
        });
        is_inside.recv_timeout(Duration::from_secs(10)).unwrap();
        scope.spawn(move || session.send_bytes(PacketId::RAW_ECHO, b"2"));
        let counted = (0..LOOKS_MAX).any(|_| {
            thread::yield_now();
            lock_counts().contended > before
        });
        drop(leave);
        assert!(counted);
    });
    drop(stream);
    server.stop(Duration::from_secs(5));
}
