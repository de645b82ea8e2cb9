//! A server that records what its handler sees, and peers on plain sockets.

use fastport::simulation::{start_server, start_service};
use fastport::{
    ClientState, CloseReason, Dispatch, EngineKind, Error, Handler, IoService, Packet, PacketId,
    ReceiveForm, ReconnectConfig, ResumingClient, Server, ServerBuilder, ServiceConfig, Session,
    SessionId,
};
use fastport_engine::Engine;
use socket2::{Domain, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long anything may take before a case fails. `cargo xtask mutants --limits` takes limits out
/// and waits for the cases to fail: it builds them with a short one.
pub(crate) const LIMIT: Duration = match option_env!("FASTPORT_SHORT_LIMIT") {
    Some(_) => Duration::from_secs(8),
    None => Duration::from_secs(60),
};
/// The packet id that the cases use.
pub(crate) const ID: PacketId = PacketId::RAW_ECHO;

/// What a case runs on.
#[derive(Copy, Clone)]
pub(crate) struct Setup {
    pub(crate) engine: EngineKind,
    pub(crate) dispatch: Dispatch,
    pub(crate) receive: ReceiveForm,
    pub(crate) direct_descriptors: u32,
    starts: Starts,
    seed: u64,
}

/// What starts services and servers on the engine.
#[derive(Copy, Clone)]
struct Starts {
    service: fn(ServiceConfig, u64) -> Result<IoService, Error>,
    server: fn(ServerBuilder, u64) -> Result<Server, Error>,
}

impl Setup {
    pub(crate) fn inline(engine: &str) -> Self {
        Self::new(engine, Dispatch::Inline)
    }

    pub(crate) fn pool(engine: &str) -> Self {
        Self::new(engine, Dispatch::Pool { workers: 4 })
    }

    fn new(engine: &str, dispatch: Dispatch) -> Self {
        Self {
            engine: engine.parse().unwrap(),
            dispatch,
            receive: ReceiveForm::default(),
            direct_descriptors: 0,
            starts: Starts {
                service: |config, _| IoService::start(config),
                server: |builder, _| builder.start(),
            },
            seed: 0,
        }
    }

    /// Connections are direct descriptors, fewer than some cases have: both kinds stand side by
    /// side.
    #[cfg(target_os = "linux")]
    pub(crate) fn direct_descriptors(mut self) -> Self {
        self.direct_descriptors = 50;
        self
    }

    /// With benign faults above the engine, which is `E`; they are decided by `seed`, to which
    /// `FASTPORT_FAULT_SEED` is added.
    pub(crate) fn faulty<E: Engine>(mut self, seed: u64) -> Self {
        let more = std::env::var("FASTPORT_FAULT_SEED").ok();
        let more: u64 = more.map_or(0, |text| text.parse().expect("a number"));
        self.seed = seed + more;
        self.starts = Starts {
            service: |config, seed| start_service(config, faulty::opener::<E>(seed)),
            server: |builder, seed| start_server(builder, faulty::opener::<E>(seed)),
        };
        self
    }

    /// No receive buffer is ever the kernel's.
    #[cfg(windows)]
    pub(crate) fn direct(mut self) -> Self {
        self.receive = ReceiveForm::Direct;
        self
    }

    /// Bytes are received by overlapped operations.
    #[cfg(windows)]
    pub(crate) fn overlapped(mut self) -> Self {
        self.receive = ReceiveForm::Overlapped;
        self
    }

    pub(crate) fn config(self, config: &mut ServiceConfig) {
        config.engine = Some(self.engine);
        config.dispatch = self.dispatch;
        config.engine_config.receive_form = self.receive;
        config.engine_config.direct_descriptors = self.direct_descriptors;
        config.workers = 1;
        // What a case is not about must not end its sessions on a machine that is busy.
        config.session.write_stall_timeout = LIMIT;
        config.session.flush_timeout = LIMIT;
        config.session.frame_timeout = LIMIT;
        config.session.connect_timeout = LIMIT;
    }

    /// A server whose handler echoes every packet.
    pub(crate) fn echo(self) -> Host {
        self.host(
            |_| {},
            |session, packet| {
                let _ = session.forward(&packet);
            },
        )
    }

    /// A server with changed settings whose handler runs `act` for each packet.
    pub(crate) fn host(
        self,
        change: impl FnOnce(&mut ServiceConfig),
        act: impl Fn(&Session, Packet<'_>) + Send + Sync + 'static,
    ) -> Host {
        let (recorder, sees) = Recorder::new(act);
        Host {
            server: self.serve(change, recorder),
            sees,
        }
    }

    pub(crate) fn serve(
        self,
        change: impl FnOnce(&mut ServiceConfig),
        handler: impl Handler,
    ) -> Server {
        let builder = Server::builder()
            .listen("127.0.0.1:0")
            .config(|config| {
                self.config(config);
                change(config);
            })
            .handler(handler);
        self.start_server(builder).expect("a server")
    }

    pub(crate) fn start_server(self, builder: ServerBuilder) -> Result<Server, Error> {
        (self.starts.server)(builder, self.seed)
    }

    pub(crate) fn start_service(self, config: ServiceConfig) -> IoService {
        (self.starts.service)(config, self.seed).expect("a service")
    }
}

/// Engines with benign faults above them.
mod faulty {
    use fastport_engine::{Engine, EngineConfig, EngineError};
    use fastport_testkit::FaultyEngine;
    use fastport_testkit::faulty_engine::faults::{Faults, Record};

    /// What makes the workers' engines.
    pub(super) fn opener<E: Engine>(
        seed: u64,
    ) -> impl Fn(usize, &EngineConfig) -> Result<FaultyEngine<E>, EngineError> + Clone + Send {
        move |worker, config| {
            let inner = E::open(config)?;
            let seed = seed + 1000 * worker as u64;
            let (faults, record) = (Faults::benign(), Record::default());
            Ok(FaultyEngine::new(inner, faults, seed, record))
        }
    }
}

/// What a handler saw.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Seen {
    Accepted(Session),
    Connected(SessionId),
    Packet(SessionId, PacketId, Vec<u8>),
    Writable(SessionId),
    Disconnected(SessionId, CloseReason),
}

type Act = Box<dyn Fn(&Session, Packet<'_>) + Send + Sync>;

/// A handler that tells the case what it sees, then acts on packets.
pub(crate) struct Recorder {
    pub(crate) seen: Mutex<Sender<Seen>>,
    pub(crate) act: Act,
}

impl Recorder {
    /// One, and where it tells what it sees.
    pub(crate) fn new(
        act: impl Fn(&Session, Packet<'_>) + Send + Sync + 'static,
    ) -> (Self, Receiver<Seen>) {
        let (seen, sees) = channel();
        let recorder = Self {
            seen: Mutex::new(seen),
            act: Box::new(act),
        };
        (recorder, sees)
    }

    fn note(&self, seen: Seen) {
        // The case may have ended.
        let _ = self.seen.lock().unwrap().send(seen);
    }
}

impl Handler for Recorder {
    fn on_accepted(&self, session: &Session) {
        self.note(Seen::Accepted(session.clone()));
    }

    fn on_connected(&self, session: &Session) {
        self.note(Seen::Connected(session.id()));
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        self.note(Seen::Packet(
            session.id(),
            packet.id(),
            packet.payload().to_vec(),
        ));
        (self.act)(session, packet);
    }

    fn on_writable(&self, session: &Session) {
        self.note(Seen::Writable(session.id()));
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        self.note(Seen::Disconnected(session.id(), reason));
    }
}

/// A server and what its handler saw.
pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) sees: Receiver<Seen>,
}

impl Host {
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_address()
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address())
    }

    pub(crate) fn next(&self) -> Seen {
        self.sees
            .recv_timeout(LIMIT)
            .expect("the handler saw nothing more")
    }

    /// The next accepted session.
    pub(crate) fn accepted(&self) -> Session {
        loop {
            if let Seen::Accepted(session) = self.next() {
                return session;
            }
        }
    }

    /// The payload of the next packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        loop {
            if let Seen::Packet(_, _, payload) = self.next() {
                return payload;
            }
        }
    }

    /// Why the next session ended, and the packets that were delivered before.
    pub(crate) fn ended(&self) -> (CloseReason, Vec<Vec<u8>>) {
        let mut packets = Vec::new();
        loop {
            match self.next() {
                Seen::Disconnected(_, reason) => return (reason, packets),
                Seen::Packet(_, _, payload) => packets.push(payload),
                _ => {}
            }
        }
    }

    pub(crate) fn reason(&self) -> CloseReason {
        self.ended().0
    }
}

/// How a peer's stream ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// A client on a plain socket.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::of(TcpStream::connect(to).expect("a connection"))
    }

    /// Connects from 127.0.0.`host`.
    pub(crate) fn connect_from(host: u8, to: SocketAddr) -> Self {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let from = SocketAddr::from(([127, 0, 0, host], 0));
        socket.bind(&from.into()).expect("an address of ours");
        socket.connect(&to.into()).expect("a connection");
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Self { stream }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a write");
    }

    /// Whether `bytes` come back: not when the stream has ended.
    pub(crate) fn echoes(&mut self, bytes: &[u8]) -> bool {
        let mut back = vec![0; bytes.len()];
        self.stream.write_all(bytes).is_ok()
            && self.stream.read_exact(&mut back).is_ok()
            && back == bytes
    }

    pub(crate) fn send(&mut self, payload: &[u8]) {
        self.write(&frame(ID, payload));
    }

    pub(crate) fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        self.stream.read_exact(&mut read).expect("a read");
        read
    }

    /// The payload of the next frame.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let header = self.read(4);
        let size = usize::from(u16::from_be_bytes([header[0], header[1]]));
        self.read(size - 4)
    }

    /// Reads until the stream ends: what came, and how it ended.
    pub(crate) fn drain(&mut self) -> (Vec<u8>, End) {
        let mut read = Vec::new();
        let mut part = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return (read, End::Fin),
                Ok(bytes) => read.extend_from_slice(&part[..bytes]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (read, End::Reset);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the stream neither went on nor ended: {error}"),
            }
        }
    }

    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// As [`Peer::finish`], of a stream that the server may have reset.
    pub(crate) fn finish_if_there(&self) {
        // It fails when there is nothing to finish.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

pub(crate) fn frame(id: PacketId, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).unwrap();
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend_from_slice(&id.number().to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Bytes that differ by position and by `seed`.
pub(crate) fn pattern(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| (at.wrapping_mul(31) ^ seed.wrapping_mul(131) ^ (at >> 8)) as u8)
        .collect()
}

/// Pseudo-random numbers (xorshift64*), so that a case is the same each time.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// A client that tells what it receives, and how it stands.
pub(crate) fn resuming_client(
    setup: Setup,
    server: &Server,
    change: impl FnOnce(&mut ReconnectConfig),
) -> (ResumingClient, Receiver<Vec<u8>>, Receiver<ClientState>) {
    let mut config = ReconnectConfig {
        pause_first: Duration::from_millis(2),
        pause_max: Duration::from_millis(20),
        ..ReconnectConfig::default()
    };
    setup.config(&mut config.service);
    change(&mut config);
    let (packets, receives) = channel();
    let (states, stands) = channel();
    let (packets, states) = (Mutex::new(packets), Mutex::new(states));
    let client = ResumingClient::start(
        server.local_address().to_string(),
        config,
        move |_, packet| {
            let _ = packets.lock().unwrap().send(packet.payload().to_vec());
        },
        move |state| {
            let _ = states.lock().unwrap().send(state.clone());
        },
    );
    (client.unwrap(), receives, stands)
}
