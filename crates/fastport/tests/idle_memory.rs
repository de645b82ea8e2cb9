//! What an idle session takes of the heap, after traffic, with every time limit on, and what one
//! that has ended leaves: counted by the allocator, so that a field which every session has to
//! carry is noticed.

use fastport::{Dispatch, EngineKind, Handler, Packet, Server, ServerBuilder, Session};
use fastport_testkit::alloc_counter::{CountingAllocator, live_bytes};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
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

fn echo(stream: &mut (impl Read + Write)) {
    let mut frame = [0xAB; 64];
    frame[..4].copy_from_slice(&[0, 64, 0, 2]);
    stream.write_all(&frame).unwrap();
    let mut answer = [0; 64];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, frame);
}

/// A server of one thread.
fn one_worker(engine: EngineKind) -> ServerBuilder {
    Server::builder()
        .listen("127.0.0.1:0")
        .engine(engine)
        .workers(1)
        .dispatch(Dispatch::Inline)
        .idle_timeout(Duration::from_secs(60))
        .handler(RawEcho)
}

fn idle_sessions_are_small(engine: EngineKind, bytes_max: usize) {
    let server = one_worker(engine).start().unwrap();
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

/// Sessions that are gone have left nothing, long before any of their time limits is over.
fn ended_sessions_leave_nothing(engine: EngineKind) {
    const CONNECTIONS: usize = 3000;
    // Of lists that keep some room.
    const BYTES_MAX: usize = 32 * 1024;
    let server = one_worker(engine).start().unwrap();
    let come_and_go = |_| {
        let mut stream = TcpStream::connect(server.local_address()).unwrap();
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).unwrap();
        echo(&mut stream);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    };
    (0..CONNECTIONS / 10).for_each(come_and_go);
    let before = live_bytes();
    (0..CONNECTIONS).for_each(come_and_go);
    let left = live_bytes().saturating_sub(before);
    assert!(
        left <= BYTES_MAX,
        "{engine}: {left} bytes of heap are left of {CONNECTIONS} sessions that ended"
    );
    server.stop(Duration::from_secs(5));
}

/// What TLS adds to that: rustls' state of the connection and what was agreed on, but no buffer.
#[cfg(all(unix, feature = "tls-ring"))]
mod tls {
    use super::{EARLIER, echo, live_bytes};
    use fastport::tls::provider;
    use fastport::tls::rustls::client::Resumption;
    use fastport::tls::rustls::pki_types::ServerName;
    use fastport::tls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    };
    use fastport::{EngineKind, TlsServer};
    use fastport_testkit::certificates::Authority;
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    const NAME: &str = "server.test";
    const SESSIONS: usize = 25;

    /// A connection that has echoed. The client's half of TLS is dropped: it is in this process
    /// as well.
    fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> TcpStream {
        let socket = TcpStream::connect(to).unwrap();
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let client = ClientConnection::new(config.clone(), name).unwrap();
        let mut stream = StreamOwned::new(client, socket);
        echo(&mut stream);
        stream.into_parts().1
    }

    pub(super) fn idle_sessions_are_small(engine: EngineKind, bytes_max: usize) {
        let authority = Authority::new("the authority", provider().unwrap());
        let identity = authority.issue(&[NAME]);
        let config = ServerConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        let server = super::one_worker(engine)
            .tls(TlsServer::new(without_sessions(config)))
            .start()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        let address = server.local_address();
        let mut streams: Vec<_> = (0..EARLIER).map(|_| connect(address, &config)).collect();
        streams.reserve_exact(SESSIONS);
        let before = live_bytes();
        streams.extend((0..SESSIONS).map(|_| connect(address, &config)));
        let each = (live_bytes() - before) / SESSIONS;
        assert!(
            each <= bytes_max,
            "{engine}: {each} bytes of heap for each idle session with TLS, {bytes_max} at most"
        );
        server.stop(Duration::from_secs(5));
    }

    /// Nothing kept of them for a client that comes back: as with tickets.
    fn without_sessions(mut config: ServerConfig) -> ServerConfig {
        config.session_storage = Arc::new(fastport::tls::rustls::server::NoServerSessionStorage {});
        config
    }
}

/// One test, so that nothing else of the process allocates meanwhile.
#[test]
fn sessions_take_little_and_leave_nothing() {
    #[cfg(target_os = "linux")]
    if EngineKind::choose(Some(EngineKind::IoUring)).is_ok() {
        idle_sessions_are_small(EngineKind::IoUring, 470);
        ended_sessions_leave_nothing(EngineKind::IoUring);
        #[cfg(feature = "tls-ring")]
        tls::idle_sessions_are_small(EngineKind::IoUring, 4400);
    }
    #[cfg(unix)]
    {
        idle_sessions_are_small(EngineKind::Poll, 490);
        ended_sessions_leave_nothing(EngineKind::Poll);
    }
    #[cfg(all(unix, feature = "tls-ring"))]
    tls::idle_sessions_are_small(EngineKind::Poll, 4400);
    #[cfg(windows)]
    {
        idle_sessions_are_small(EngineKind::Iocp, 610);
        ended_sessions_leave_nothing(EngineKind::Iocp);
    }
}
