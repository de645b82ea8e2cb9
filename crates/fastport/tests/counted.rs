//! What a batch of messages costs in turns and sends, and how connections spread over workers:
//! counted and not timed.
//!
//! The worker is held in a handler while the clients write, so that all of it is there when it goes
//! on: what it then does is the cost of a busy server, however fast the machine is.

use fastport::{Dispatch, EngineKind, Handler, Packet, PacketId, Server, Session, StatsSnapshot};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const ID: PacketId = PacketId::RAW_ECHO;
const FRAME_BYTES: usize = 64;

/// Answers packet by packet, by the plain call; stops at a packet that says so.
struct Answerer {
    held: Sender<()>,
    release: Mutex<Receiver<()>>,
}

impl Handler for Answerer {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if packet.payload() == b"hold" {
            self.held.send(()).unwrap();
            let _ = self.release.lock().unwrap().recv_timeout(PATIENCE);
        } else {
            let _ = session.send_bytes(packet.id(), packet.payload());
        }
    }
}

struct Rig {
    server: Server,
    held: Receiver<()>,
    release: Sender<()>,
    holder: TcpStream,
    clients: Vec<TcpStream>,
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).unwrap();
    [&size.to_be_bytes()[..], &ID.number().to_be_bytes(), payload].concat()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.local_address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Rig {
    fn new(engine: EngineKind, sessions: usize) -> Self {
        let (held, is_held) = channel();
        let (release, released) = channel();
        let server = Server::builder()
            .listen("127.0.0.1:0")
            .engine(engine)
            .workers(1)
            .dispatch(Dispatch::Inline)
            .handler(Answerer {
                held,
                release: Mutex::new(released),
            })
            .start()
            .unwrap();
        let holder = connect(&server);
        let clients = (0..sessions).map(|_| connect(&server)).collect();
        Self {
            server,
            held: is_held,
            release,
            holder,
            clients,
        }
    }

    /// Each client sends `burst` frames while the worker is held, and gets its answers. What the
    /// worker did for it.
    fn round(&mut self, burst: usize) -> (StatsSnapshot, StatsSnapshot) {
        let sent = frame(&[7; FRAME_BYTES - 4]).repeat(burst);
        let mut received = vec![0; sent.len()];
        self.holder.write_all(&frame(b"hold")).unwrap();
        self.held.recv_timeout(PATIENCE).expect("the worker stops");
        let before = self.server.stats();
        for client in &mut self.clients {
            client.write_all(&sent).unwrap();
        }
        self.release.send(()).unwrap();
        for client in &mut self.clients {
            client.read_exact(&mut received).unwrap();
            assert!(received == sent);
        }
        (before, self.server.stats())
    }
}

/// Sends one batch a session, and turns so many messages at least.
fn costs(engine: EngineKind, sessions: usize, burst: usize, messages_per_turn: usize) {
    let mut rig = Rig::new(engine, sessions);
    // The first round accepts the sessions; it is not counted.
    rig.round(burst);
    for _ in 0..5 {
        let (before, after) = rig.round(burst);
        let messages = (sessions * burst) as u64;
        assert_eq!(
            after.sends - before.sends,
            sessions as u64,
            "{engine}: sends"
        );
        let turns = after.turns - before.turns + after.submits - before.submits;
        assert!(
            turns * messages_per_turn as u64 <= messages,
            "{engine}: {turns} turns for {messages} messages"
        );
    }
    rig.server.stop(PATIENCE);
}

/// Runs `test` on each engine of this system.
fn on_every_engine(test: impl Fn(EngineKind)) {
    for engine in [EngineKind::IoUring, EngineKind::Iocp, EngineKind::Poll] {
        if EngineKind::choose(Some(engine)).is_ok() {
            test(engine);
        }
    }
}

/// Whether messages are ten or five hundred a turn: a turn is one system call on io_uring.
#[test]
fn a_turn_serves_at_least_ten_sessions_with_a_message_each() {
    on_every_engine(|engine| costs(engine, 400, 1, 10));
}

#[test]
fn a_turn_serves_at_least_five_hundred_pipelined_messages_with_a_send_a_session() {
    on_every_engine(|engine| costs(engine, 100, 64, 500));
}

/// What is for everyone is a send a session, however many messages it is by then, and no turn does
/// all of it: what else comes has its turn between.
#[test]
fn broadcasts_are_one_send_a_session_over_several_turns() {
    on_every_engine(|engine| {
        let sessions = 600;
        let mut rig = Rig::new(engine, sessions);
        rig.round(1);
        rig.holder.write_all(&frame(b"hold")).unwrap();
        rig.held.recv_timeout(PATIENCE).expect("the worker stops");
        let before = rig.server.stats();
        for message in [b"1", b"2", b"3"] {
            let everyone = rig.server.service().everyone();
            everyone.broadcast_bytes(ID, message).unwrap();
        }
        rig.release.send(()).unwrap();
        let expected = [frame(b"1"), frame(b"2"), frame(b"3")].concat();
        let mut received = vec![0; expected.len()];
        for client in rig.clients.iter_mut().chain([&mut rig.holder]) {
            client.read_exact(&mut received).unwrap();
            assert!(received == expected);
        }
        let after = rig.server.stats();
        // The holder is one of everyone.
        assert_eq!(after.sends - before.sends, sessions as u64 + 1, "{engine}");
        // Who is released ends a turn, the second takes two more.
        let turns = after.turns - before.turns;
        assert!(turns >= 2, "{engine}: {turns} turns");
        rig.server.stop(PATIENCE);
    });
}

/// Within 5 % of even, with a thousand sessions on two workers.
#[test]
fn connections_spread_evenly_over_workers() {
    const SESSIONS: usize = 1000;
    // Both ends are here.
    #[cfg(unix)]
    rlimit::increase_nofile_limit(4096).unwrap();
    on_every_engine(|engine| {
        let server = Server::builder()
            .listen("127.0.0.1:0")
            .engine(engine)
            .workers(2)
            .on_packet(ID, |session, packet| {
                let _ = session.forward(&packet);
            })
            .start()
            .unwrap();
        let mut clients: Vec<_> = (0..SESSIONS).map(|_| connect(&server)).collect();
        let sent = frame(b"here");
        for client in &mut clients {
            client.write_all(&sent).unwrap();
        }
        // Whoever has an answer is on its worker.
        let mut received = vec![0; sent.len()];
        for client in &mut clients {
            client.read_exact(&mut received).unwrap();
        }
        let workers = server.service().monitor().workers();
        let counts: Vec<_> = workers.iter().map(|worker| worker.sessions).collect();
        assert_eq!(counts.iter().sum::<usize>(), SESSIONS, "{engine}");
        let even = SESSIONS / counts.len();
        let close = |count: &usize| count.abs_diff(even) * 20 <= even;
        assert!(
            counts.len() == 2 && counts.iter().all(close),
            "{engine}: {counts:?}"
        );
        drop(clients);
        server.stop(PATIENCE);
    });
}
