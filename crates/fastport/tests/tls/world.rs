//! Who vouches for whom, servers with TLS, and peers of both kinds.

use crate::harness::{Host, ID, LIMIT, Recorder, Seen, Setup, frame};
use fastport::tls::provider;
use fastport::tls::rustls::pki_types::ServerName;
use fastport::tls::rustls::server::WebPkiClientVerifier;
use fastport::tls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion, version,
};
use fastport::{
    CloseReason, Handler, IoService, Packet, Server, ServiceConfig, Session, TlsClient, TlsServer,
};
use fastport_testkit::certificates::{Authority, Identity};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the servers of the cases are called.
pub(crate) const NAME: &str = "server.test";

/// The time that the limits of the cases are held against.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Blocks until `what` holds, which it must within [`LIMIT`].
pub(crate) fn until(what: impl Fn() -> bool) {
    let began = now();
    while !what() {
        assert!(began.elapsed() < LIMIT, "it never came to that");
        std::thread::yield_now();
    }
}

/// One authority that all trust, and another.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) stranger: Authority,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::new("the authority", provider().unwrap()),
            stranger: Authority::new("another authority", provider().unwrap()),
        }
    }

    /// A server's configuration that asks clients for nothing.
    pub(crate) fn server_config(identity: Identity) -> ServerConfig {
        ServerConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .unwrap()
    }

    /// A server that asks clients for nothing.
    pub(crate) fn server(&self) -> TlsServer {
        TlsServer::new(Self::server_config(self.authority.issue(&[NAME])))
    }

    /// A server that wants a certificate of the authority's.
    pub(crate) fn strict_server(&self) -> TlsServer {
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots(&self.authority)),
            provider().unwrap(),
        );
        let identity = self.authority.issue(&[NAME]);
        let config = ServerConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        TlsServer::new(config)
    }

    /// A client that trusts the authority and shows nothing.
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::new(self.client_config(), NAME).unwrap()
    }

    /// A client that shows a certificate.
    pub(crate) fn client_as(&self, identity: Identity) -> TlsClient {
        let config = ClientConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&self.authority))
            .with_client_auth_cert(identity.chain, identity.key)
            .unwrap();
        TlsClient::new(config, NAME).unwrap()
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        self.client_config_of(&[&version::TLS13, &version::TLS12])
    }

    pub(crate) fn client_config_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        ClientConfig::builder_with_provider(provider().unwrap())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots(&self.authority))
            .with_no_client_auth()
    }

    /// A client on a blocking socket.
    pub(crate) fn peer(&self, to: SocketAddr) -> TlsPeer {
        TlsPeer::with(self.client_config(), to)
    }
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    roots
}

/// A server with TLS that echoes every packet.
pub(crate) fn echo(setup: Setup, tls: &TlsServer) -> Host {
    host(
        setup,
        tls,
        |_| {},
        |session, packet| {
            let _ = session.forward(&packet);
        },
    )
}

/// A server with TLS and changed settings whose handler runs `act` for each packet.
pub(crate) fn host(
    setup: Setup,
    tls: &TlsServer,
    change: impl FnOnce(&mut ServiceConfig),
    act: impl Fn(&Session, Packet<'_>) + Send + Sync + 'static,
) -> Host {
    let (recorder, sees) = Recorder::new(act);
    Host {
        server: serve(setup, tls, change, recorder),
        sees,
    }
}

pub(crate) fn serve(
    setup: Setup,
    tls: &TlsServer,
    change: impl FnOnce(&mut ServiceConfig),
    handler: impl Handler,
) -> Server {
    Server::builder()
        .listen("127.0.0.1:0")
        .config(|config| {
            setup.config(config);
            change(config);
        })
        .tls(tls.clone())
        .handler(handler)
        .start()
        .expect("a server")
}

/// A session of this library's client.
pub(crate) struct Dialled {
    pub(crate) session: Session,
    sees: Receiver<Seen>,
    /// Ends the worker with the case.
    _service: IoService,
}

impl Dialled {
    pub(crate) fn send(&self, payload: &[u8]) {
        let _ = self.session.send_bytes(ID, payload).expect("a send");
    }

    /// The payload of the next packet.
    pub(crate) fn receive(&self) -> Vec<u8> {
        loop {
            match self.sees.recv_timeout(LIMIT).expect("nothing came") {
                Seen::Packet(_, _, payload) => return payload,
                Seen::Disconnected(_, reason) => panic!("the session ended: {reason}"),
                _ => {}
            }
        }
    }

    /// Why the session ended; whatever came before is dropped.
    pub(crate) fn reason(&self) -> CloseReason {
        loop {
            let seen = self.sees.recv_timeout(LIMIT).expect("it did not end");
            if let Seen::Disconnected(_, reason) = seen {
                return reason;
            }
        }
    }
}

/// Connects by this library's client.
pub(crate) fn try_dial(
    setup: Setup,
    to: SocketAddr,
    tls: &TlsClient,
    change: impl FnOnce(&mut ServiceConfig),
) -> Result<Dialled, CloseReason> {
    let mut config = ServiceConfig::default();
    setup.config(&mut config);
    change(&mut config);
    let service = IoService::start(config).expect("a service");
    let (seen, sees) = channel();
    let recorder = Recorder {
        seen: Mutex::new(seen),
        act: Box::new(|_, _| {}),
    };
    let (done, outcome) = channel();
    service
        .connect_tls(to, Arc::new(recorder), tls, move |result| {
            let _ = done.send(result);
        })
        .expect("a service that runs");
    let session = outcome.recv_timeout(LIMIT).expect("nobody was told")?;
    Ok(Dialled {
        session,
        sees,
        _service: service,
    })
}

pub(crate) fn dial(setup: Setup, to: SocketAddr, tls: &TlsClient) -> Dialled {
    try_dial(setup, to, tls, |_| {}).expect("a session")
}

/// How a peer's stream ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum TlsEnd {
    /// With TLS' own end.
    Closed,
    /// Without it.
    Cut,
}

/// A client of rustls' blocking kind.
pub(crate) struct TlsPeer {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsPeer {
    /// Ends TLS, and not the connection.
    pub(crate) fn end_tls(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().unwrap();
    }

    pub(crate) fn with(config: ClientConfig, to: SocketAddr) -> Self {
        Self::over(config, TcpStream::connect(to).expect("a connection"))
    }

    pub(crate) fn over(config: ClientConfig, socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.set_write_timeout(Some(LIMIT)).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        Self {
            stream: StreamOwned::new(connection, socket),
        }
    }

    pub(crate) fn send(&mut self, payload: &[u8]) {
        self.stream.write_all(&frame(ID, payload)).expect("a write");
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).expect("a header");
        let size = usize::from(u16::from_be_bytes([header[0], header[1]]));
        let mut payload = vec![0; size - 4];
        self.stream.read_exact(&mut payload).expect("a payload");
        payload
    }

    /// Reads until the stream ends: what came, and how it ended.
    pub(crate) fn drain(&mut self) -> (Vec<u8>, TlsEnd) {
        let mut read = Vec::new();
        let mut part = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return (read, TlsEnd::Closed),
                Ok(bytes) => read.extend_from_slice(&part[..bytes]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEof
                            | ErrorKind::ConnectionReset
                            | ErrorKind::InvalidData
                    ) =>
                {
                    return (read, TlsEnd::Cut);
                }
                Err(error) => panic!("the stream neither went on nor ended: {error}"),
            }
        }
    }
}
