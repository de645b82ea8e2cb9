//! A server in a few lines: settings, handlers, start.

use crate::config::{Dispatch, SessionConfig};
use crate::net::router::Router;
use crate::stats::snapshot::StatsSnapshot;
use crate::worker::secure::ServerTls;
use crate::{
    CloseReason, ConfigError, Error, Handler, IoService, Packet, ServiceConfig, Session, StopReport,
};
use fastport_engine::EngineKind;
use fastport_protocol::{Identified, PacketId};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// A running server: an [`IoService`] with a listener. Dropping it resets what is left.
///
/// ```
/// use fastport::protocol::tests::{EchoRequest, EchoResponse};
/// use fastport::{PacketId, Server};
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .on(|session, request: EchoRequest| {
///         let (header, data) = (request.header, request.data);
///         let answer = EchoResponse { header, data, ..Default::default() };
///         let _ = session.send(PacketId::ECHO, &answer);
///     })
///     .start()?;
/// println!("listening on {}", server.local_address());
/// server.stop(Duration::from_secs(1));
/// # Ok::<(), fastport::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    service: IoService,
    address: SocketAddr,
}

impl Server {
    /// Begins to describe a server.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The service behind the server: sessions, statistics, more listeners, connectors.
    #[must_use]
    pub fn service(&self) -> &IoService {
        &self.service
    }

    /// Totals since the start.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.service.stats()
    }

    /// Blocks until another thread has stopped the server, or a worker has failed.
    ///
    /// # Errors
    /// The failure.
    pub fn wait(&self) -> Result<(), Error> {
        self.service.wait()
    }

    /// Drains and ends the server; see [`IoService::stop`].
    pub fn stop(&self, drain: Duration) -> StopReport {
        self.service.stop(drain)
    }
}

/// What a server is made from. Every setting has a default; wrong ones are errors of
/// [`ServerBuilder::start`].
#[derive(Default)]
pub struct ServerBuilder {
    listen: Option<String>,
    config: ServiceConfig,
    router: Router,
    handler: Option<Arc<dyn Handler>>,
    tls: Option<ServerTls>,
}

impl ServerBuilder {
    /// Where to listen: an address or a name with a port; port 0 lets the system choose. Default
    /// `127.0.0.1:6628`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// The engine; by default the best that this machine permits.
    #[must_use]
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.config.engine = Some(engine);
        self
    }

    /// I/O workers, 1 to 1,024; by default one per core.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// How handlers are run; by default on a pool with one event worker per core.
    #[must_use]
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.config.dispatch = dispatch;
        self
    }

    /// Sessions at most; connections above it are closed at once. Default 10,000.
    #[must_use]
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.config.sessions_max = sessions;
        self
    }

    /// A session that receives nothing for so long is closed; zero turns it off. Default 60 s.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.config.session.idle_timeout = limit;
        self
    }

    /// Changes limits and times of the sessions.
    #[must_use]
    pub fn session_config(mut self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        change(&mut self.config.session);
        self
    }

    /// Changes any setting.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Has the server speak TLS, and nothing else; see [`IoService::listen_tls`]. A clone that the
    /// caller keeps changes the certificate later on.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::TlsServer) -> Self {
        self.tls = Some(tls);
        self
    }

    /// One handler for everything; the closures of this builder are not used then.
    #[must_use]
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Handles a message by its type: decoded before, and a payload that does not decode closes the
    /// session.
    #[must_use]
    pub fn on<M: Identified + 'static>(
        mut self,
        handle: impl Fn(&Session, M) + Send + Sync + 'static,
    ) -> Self {
        self.router = self.router.on(handle);
        self
    }

    /// Handles a packet id, undecoded.
    #[must_use]
    pub fn on_packet(
        mut self,
        id: PacketId,
        handle: impl Fn(&Session, Packet<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.router = self.router.on_packet(id, handle);
        self
    }

    /// Called first for each session.
    #[must_use]
    pub fn on_accepted(mut self, handle: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.router = self.router.on_accepted(handle);
        self
    }

    /// Called last for each session.
    #[must_use]
    pub fn on_disconnected(
        mut self,
        handle: impl Fn(&Session, CloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.router = self.router.on_disconnected(handle);
        self
    }

    /// Starts the server. Blocks until it listens.
    ///
    /// # Errors
    /// A setting out of range, an address that can not be listened on, an engine that is not
    /// permitted.
    pub fn start(self) -> Result<Server, Error> {
        self.start_by(IoService::start)
    }

    /// Starts the server on the service that `start` makes.
    pub(crate) fn start_by(
        self,
        start: impl FnOnce(ServiceConfig) -> Result<IoService, Error>,
    ) -> Result<Server, Error> {
        let handler = match self.handler {
            Some(handler) => handler,
            None => Arc::new(self.router.build()?),
        };
        let address = resolve(self.listen.as_deref().unwrap_or(DEFAULT_ADDRESS))?;
        let service = start(self.config)?;
        let address = service.listen_with(address, handler, self.tls)?;
        Ok(Server { service, address })
    }
}

/// Where a server listens unless told otherwise: the port is the wire format's.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:6628";

/// The first address of a name. Blocks while the system resolves it.
///
/// # Errors
/// When the name has no address or is not `host:port`.
pub fn resolve(name: &str) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Resolve {
        name: name.to_owned(),
        source,
    };
    let mut addresses = name.to_socket_addrs().map_err(failed)?;
    addresses.next().ok_or_else(|| {
        Error::Config(ConfigError::new(
            "listen",
            name,
            "a name that has an address",
        ))
    })
}
