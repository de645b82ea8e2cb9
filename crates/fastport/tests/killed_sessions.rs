//! Sessions that are killed in the middle of everything, by either side, under an allocator that
//! poisons what is freed: no operation completes into memory that is gone, and each session ends
//! once.
//!
//! A program of its own, since the allocator is the process's.

use fastport::{
    CloseReason, Dispatch, EngineKind, Handler, Packet, PacketId, ReceiveForm, Server, Session,
    SessionId,
};
use fastport_testkit::poison_alloc;
use socket2::{Domain, Socket, Type};
use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

// A sanitizer has an allocator of its own, and sees more when freed memory is given back to it.
#[cfg(not(sanitizer))]
#[global_allocator]
static ALLOCATOR: poison_alloc::PoisoningAllocator = poison_alloc::PoisoningAllocator;

const ROUNDS: usize = 50;
/// Of each other form of receiving, which differs in nothing but how a receive is posted.
const ROUNDS_OF_A_FORM: usize = 15;
const SESSIONS: usize = 200;
const LIMIT: Duration = Duration::from_secs(60);

/// What the handler saw of a session.
enum Seen {
    Accepted(Session),
    /// Its peer does not read, so a send is outstanding, and so is the receive.
    Blocked,
    Disconnected(SessionId),
}

/// Answers every packet many times over.
struct Flooder {
    seen: Mutex<Sender<Seen>>,
    answer: Vec<u8>,
}

impl Flooder {
    fn note(&self, seen: Seen) {
        // Those of a round that is over are of no interest.
        let _ = self.seen.lock().unwrap().send(seen);
    }
}

impl Handler for Flooder {
    fn on_accepted(&self, session: &Session) {
        self.note(Seen::Accepted(session.clone()));
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        // More than the kernel takes for a peer that does not read.
        for _ in 0..8 {
            if session.send_bytes(packet.id(), &self.answer).is_err() {
                return;
            }
        }
        if session.received_packets() == 1 {
            self.note(Seen::Blocked);
        }
    }

    fn on_disconnected(&self, session: &Session, _reason: CloseReason) {
        self.note(Seen::Disconnected(session.id()));
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).unwrap();
    let id = PacketId::RAW_ECHO.number();
    [&size.to_be_bytes()[..], &id.to_be_bytes(), payload].concat()
}

/// A peer that has sent packets, the last of them cut, and reads nothing.
fn peer(address: SocketAddr, request: &[u8]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut peer = TcpStream::from(socket);
    peer.set_nonblocking(true).unwrap();
    match peer.write(request) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    peer
}

/// Kills each session in one of four ways. The peer, when it is to go on.
fn kill(index: usize, session: &Session, peer: TcpStream) -> Option<TcpStream> {
    match index % 4 {
        0 => {}
        1 => {
            let peer = Socket::from(peer);
            peer.set_linger(Some(Duration::ZERO)).unwrap();
        }
        2 => session.disconnect(),
        _ => {
            session.disconnect();
            return Some(peer);
        }
    }
    None
}

/// Which sessions have no end yet, and how they were killed.
fn describe_living(sessions: &[Session], ends: &HashMap<SessionId, u32>) -> String {
    let living = sessions.iter().enumerate();
    let living = living.filter(|(_, session)| !ends.contains_key(&session.id()));
    let lines = living.map(|(index, session)| {
        let (way, reason) = (index % 4, session.close_reason());
        format!(
            "way {way}, reason {reason:?}, {} bytes queued, {} received",
            session.queued_bytes(),
            session.received_bytes(),
        )
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Returns how many strangers connected: another program of this machine may take the address for
/// that of a server it had a moment ago.
fn round(server: &Server, sees: &Receiver<Seen>, request: &[u8]) -> usize {
    let mut peers: HashMap<SocketAddr, TcpStream> = HashMap::new();
    for _ in 0..SESSIONS {
        let peer = peer(server.local_address(), request);
        peers.insert(peer.local_addr().unwrap(), peer);
    }
    let mut ends: HashMap<SessionId, u32> = HashMap::new();
    let mut sessions = Vec::new();
    let mut blocked = 0;
    let mut strangers = HashSet::new();
    while sessions.len() < SESSIONS || blocked < SESSIONS {
        match sees.recv_timeout(LIMIT).expect("sessions in time") {
            Seen::Accepted(session) if peers.contains_key(&session.peer_address()) => {
                sessions.push(session);
            }
            Seen::Accepted(session) => {
                strangers.insert(session.id());
                session.disconnect();
            }
            Seen::Blocked => blocked += 1,
            Seen::Disconnected(id) => *ends.entry(id).or_default() += 1,
        }
    }
    let mut left = Vec::new();
    for (index, session) in sessions.iter().enumerate() {
        let peer = peers.remove(&session.peer_address()).unwrap();
        left.extend(kill(index, session, peer));
    }
    while ends.len() < SESSIONS + strangers.len() {
        match sees.recv_timeout(LIMIT) {
            Ok(Seen::Disconnected(id)) => *ends.entry(id).or_default() += 1,
            Ok(_) => {}
            Err(_) => panic!("no end in time: {}", describe_living(&sessions, &ends)),
        }
    }
    assert!(ends.values().all(|times| *times == 1), "{ends:?}");
    assert_eq!(
        poison_alloc::damaged_blocks(),
        0,
        "memory was written to after its end"
    );
    strangers.len()
}

fn nothing_late_touches_a_killed_session(
    engine: EngineKind,
    receive_form: ReceiveForm,
    rounds: usize,
) {
    let (seen, sees) = channel();
    let handler = Flooder {
        seen: Mutex::new(seen),
        answer: vec![7; 30_000],
    };
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .config(|config| {
            config.engine = Some(engine);
            config.workers = 2;
            config.dispatch = Dispatch::Inline;
            config.engine_config.receive_form = receive_form;
            config.session.flush_timeout = Duration::from_millis(1);
            config.session.linger_timeout = Duration::from_millis(1);
            if cfg!(windows) {
                // Wine now and then never ends a send whose peer has gone.
                config.session.write_stall_timeout = Duration::from_millis(500);
            }
            config.session.idle_timeout = Duration::ZERO;
            config.session.socket.send_buffer = Some(16 * 1024);
        })
        .handler(handler)
        .start()
        .unwrap();
    let mut request = frame(&[1; 5_000]).repeat(20);
    request.truncate(request.len() - 77);
    let mut accepted = rounds * SESSIONS;
    for _ in 0..rounds {
        accepted += round(&server, &sees, &request);
    }
    let report = server.stop(LIMIT);
    assert_eq!(report.leaked_operations, 0);
    assert_eq!(report.stats.accepted, accepted as u64);
    assert_eq!(
        poison_alloc::damaged_blocks(),
        0,
        "memory was written to after its end"
    );
}

#[test]
fn by_every_engine() {
    let engines = [EngineKind::IoUring, EngineKind::Iocp, EngineKind::Poll];
    for engine in engines {
        if EngineKind::choose(Some(engine)).is_err() {
            continue;
        }
        nothing_late_touches_a_killed_session(engine, ReceiveForm::default(), ROUNDS);
        if engine == EngineKind::Iocp {
            nothing_late_touches_a_killed_session(engine, ReceiveForm::Direct, ROUNDS_OF_A_FORM);
            nothing_late_touches_a_killed_session(
                engine,
                ReceiveForm::Overlapped,
                ROUNDS_OF_A_FORM,
            );
        }
    }
}
