//! A client: one outbound session, requests answered by their `request_id`, blocking or async.
//!
//! The async face needs no runtime: the futures store their waker and the I/O worker wakes it. The
//! blocking face waits on the same answers.

mod answer;
mod request;

use crate::config::{Dispatch, ServiceConfig, SessionConfig};
use crate::server::resolve;
use crate::worker::secure::ClientTls;
use crate::{CloseReason, Error, Handler, IoService, Packet, SendError, Session};
use crate::{SendStatus, client::answer::Answer};
use answer::{NoAnswer, Pending};
use fastport_engine::EngineKind;
use fastport_protocol::commons::Header;
use fastport_protocol::{Headed, Identified};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use request::Handover;
pub use request::{Connecting, Request};

/// How long [`Client::request`] waits unless told otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

pub use crate::RequestError as ClientError;

type OnPacket = Box<dyn Fn(&Session, Packet<'_>) + Send + Sync>;

/// A connected client. Dropping it closes the session. A client with a worker of its own blocks for
/// that until what was sent is flushed and the server has closed as well, at most for the session's
/// flush and linger time limits, by default 2 s each.
///
/// ```no_run
/// use fastport::Client;
/// use fastport::protocol::tests::{EchoRequest, EchoResponse};
///
/// let client = Client::connect("127.0.0.1:6628")?;
/// let request = EchoRequest { data_str: "hello".into(), ..Default::default() };
/// let response: EchoResponse = client.request(request)?;
/// assert_eq!(response.data_str, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    session: Session,
    pending: Arc<Pending>,
    next_request: AtomicU64,
    request_timeout: Duration,
    /// Ends with the last client that uses it.
    service: Arc<IoService>,
}

impl Client {
    /// Connects to `host:port`. Blocks while the name is resolved and the connection made.
    ///
    /// # Errors
    /// The name, the connection, or the client's own worker.
    pub fn connect(name: &str) -> Result<Self, Error> {
        Self::builder().connect(name)
    }

    /// Begins to describe a client.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Sends a request and blocks until its answer comes, for at most the client's time limit. Not
    /// from a handler that runs inline on the same service: the answer could not be received.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn request<Req, Resp>(&self, request: Req) -> Result<Resp, ClientError>
    where
        Req: Identified + Headed,
        Resp: prost::Message + Default,
    {
        self.request_async(request)?.wait(self.request_timeout)
    }

    /// Sends a request now; the future is its answer. It has no time limit of its own: see
    /// [`Client::request_async_within`], or use [`Request::wait`]. Dropping it forgets the request.
    ///
    /// The header is filled in: an id that is unique in this client, and the time.
    ///
    /// # Errors
    /// When the request could not be queued.
    pub fn request_async<Req, Resp>(&self, request: Req) -> Result<Request<Resp>, ClientError>
    where
        Req: Identified + Headed,
        Resp: prost::Message + Default,
    {
        self.begin_request(request, None)
    }

    /// As [`Client::request_async`], with a time limit of its own, whatever the executor: when
    /// `limit` is over, from now on, the future is a [`ClientError::Timeout`]. The worker's timers
    /// keep it, 50 ms exact.
    ///
    /// # Errors
    /// As [`Client::request_async`].
    pub fn request_async_within<Req, Resp>(
        &self,
        request: Req,
        limit: Duration,
    ) -> Result<Request<Resp>, ClientError>
    where
        Req: Identified + Headed,
        Resp: prost::Message + Default,
    {
        self.begin_request(request, Some(limit))
    }

    fn begin_request<Req, Resp>(
        &self,
        mut request: Req,
        limit: Option<Duration>,
    ) -> Result<Request<Resp>, ClientError>
    where
        Req: Identified + Headed,
        Resp: prost::Message + Default,
    {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        request.set_header(Header {
            request_id: id,
            timestamp_ms: now_ms(),
        });
        let answer = self.pending.expect(id);
        let mut request_future = Request::new(self.pending.clone(), id, answer);
        // Before it is sent, so that the worker which is told of that files the deadline.
        if let Some(limit) = limit {
            request_future.limit(&self.session, limit)?;
        }
        // A request that fails to be sent is forgotten with its future.
        if self.session.send(Req::ID, &request)? == SendStatus::Dropped {
            return Err(SendError::Dropped.into());
        }
        Ok(request_future)
    }

    /// Sends a message that nobody waits for an answer to.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send<M: Identified>(&self, message: &M) -> Result<SendStatus, SendError> {
        self.session.send(M::ID, message)
    }

    /// The session, for everything else.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends the session; requests that wait fail. What was sent is flushed.
    pub fn close(&self) {
        self.session.disconnect();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
        // Nobody else uses the service: it would end with this client, and reset what is not sent.
        if let Some(service) = Arc::get_mut(&mut self.service) {
            let session = &service.config().session;
            let limit = session.flush_timeout + session.linger_timeout;
            service.stop(limit);
        }
    }
}

/// What a client is made from.
#[derive(Default)]
pub struct ClientBuilder {
    config: ServiceConfig,
    service: Option<Arc<IoService>>,
    request_timeout: Option<Duration>,
    on_packet: Option<OnPacket>,
    tls: Option<ClientTls>,
}

impl ClientBuilder {
    /// Uses the workers of a service instead of one of its own.
    #[must_use]
    pub fn service(mut self, service: Arc<IoService>) -> Self {
        self.service = Some(service);
        self
    }

    /// The engine of the client's own worker.
    #[must_use]
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.config.engine = Some(engine);
        self
    }

    /// Limits and times of the session, when the client has a worker of its own.
    #[must_use]
    pub fn session_config(mut self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        change(&mut self.config.session);
        self
    }

    /// Connects with TLS; the client is there when the handshake is done. When that fails, it is in
    /// the error.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::TlsClient) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long [`Client::request`] waits; default 5 s.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = Some(limit);
        self
    }

    /// Called on the I/O worker for each packet that answers no request.
    #[must_use]
    pub fn on_packet(
        mut self,
        handle: impl Fn(&Session, Packet<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_packet = Some(Box::new(handle));
        self
    }

    /// Has a handler's `on_packet` called for each packet that answers no request, in place of a
    /// closure: a [`Router`](crate::Router) that answers the server's requests, for example.
    #[must_use]
    pub fn handler(self, handler: impl Handler) -> Self {
        self.on_packet(move |session, packet| handler.on_packet(session, packet))
    }

    /// Connects to `host:port`. Blocks while the name is resolved and the connection made.
    ///
    /// # Errors
    /// The name, the connection, or the client's own worker.
    pub fn connect(self, name: &str) -> Result<Client, Error> {
        self.connect_async(resolve(name)?)?.wait()
    }

    /// Starts to connect; the future is the client. It has the session's connect time limit.
    ///
    /// # Errors
    /// The client's own worker.
    pub fn connect_async(self, to: SocketAddr) -> Result<Connecting, Error> {
        let service = match self.service {
            Some(service) => service,
            None => Arc::new(IoService::start(own_service(self.config))?),
        };
        let pending = Arc::new(Pending::default());
        let handler = ClientHandler {
            pending: pending.clone(),
            on_packet: self.on_packet,
        };
        let made = Arc::new(Answer::default());
        let handover = Arc::new(Handover::default());
        let (announce, place) = (made.clone(), handover.clone());
        service.connect_with(to, Arc::new(handler), self.tls, move |outcome| {
            let closed = outcome.as_ref().err().copied();
            if let Ok(made) = outcome {
                place.put(made);
            }
            let closed = closed.map(NoAnswer::Closed);
            announce.complete(closed.map_or(Ok(Vec::new()), Err));
        })?;
        let request_timeout = self.request_timeout.unwrap_or(REQUEST_TIMEOUT);
        Ok(Connecting::new(to, made, handover, move |session| Client {
            session,
            pending,
            next_request: AtomicU64::new(1),
            request_timeout,
            service,
        }))
    }
}

/// One worker, handlers inline: a client's own handler only hands answers over.
fn own_service(config: ServiceConfig) -> ServiceConfig {
    ServiceConfig {
        workers: 1,
        dispatch: Dispatch::Inline,
        sessions_max: 1,
        ..config
    }
}

struct ClientHandler {
    pending: Arc<Pending>,
    on_packet: Option<OnPacket>,
}

impl Handler for ClientHandler {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if self.pending.answer(packet.payload()) {
            return;
        }
        match &self.on_packet {
            Some(handle) => handle(session, packet),
            None => session.note_unhandled(packet.id()),
        }
    }

    fn on_disconnected(&self, _session: &Session, reason: CloseReason) {
        self.pending.fail(reason);
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
