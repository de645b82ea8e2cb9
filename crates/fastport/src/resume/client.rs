//! The client's side of resumable sessions: it connects, connects again with back-off and full
//! jitter, and goes on where it was.
//!
//! A thread of its own makes the connections, since resolving a name blocks; packets are handled on
//! the I/O worker.

use crate::config::{Dispatch, ServiceConfig};
use crate::lock::{Condvar, Mutex};
use crate::resume::endpoint::{Endpoint, is_survived};
use crate::resume::host::RESUME_REFUSED;
use crate::server::resolve;
use crate::session::handle::{shared_frame, shared_frame_of};
use crate::worker::secure::ClientTls;
use crate::{
    CloseReason, Error, Handler, IoService, Packet, PacketId, SendError, Session, TlsFailure,
};
use fastport_protocol::bytes::Bytes;
use fastport_protocol::session::{Handled, Hello, Welcome};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a client comes back.
#[derive(Clone, Debug)]
pub struct ReconnectConfig {
    /// The longest pause before the second attempt; it doubles with each. Each pause is a random
    /// part of it, so that clients which lost one server do not come back as one. Default 200 ms.
    pub pause_first: Duration,
    /// The longest pause. Default 30 s.
    pub pause_max: Duration,
    /// Attempts in a row before the client gives up; `None`, the default, is without end.
    pub attempts_max: Option<u32>,
    /// Bytes that are kept for sending again. Default 64 KiB.
    pub replay_bytes_max: usize,
    /// Settings of the client's own worker and its sessions.
    pub service: ServiceConfig,
    /// The connections have TLS; `None`, the default, is plain.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::TlsClient>,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            pause_first: Duration::from_millis(200),
            pause_max: Duration::from_secs(30),
            attempts_max: None,
            replay_bytes_max: 64 * 1024,
            service: ServiceConfig {
                workers: 1,
                dispatch: Dispatch::Inline,
                sessions_max: 8,
                ..ServiceConfig::default()
            },
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ReconnectConfig {
    fn tls(&self) -> Option<ClientTls> {
        #[cfg(feature = "tls")]
        return self.tls.clone();
        #[cfg(not(feature = "tls"))]
        None
    }
}

/// How a client stands.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClientState {
    /// It makes a connection, for the `attempt`th time in a row, from 1.
    Connecting {
        /// Which attempt it is.
        attempt: u32,
    },
    /// It is connected.
    Connected {
        /// Whether an earlier connection's session goes on.
        resumed: bool,
    },
    /// It waits before the next attempt.
    Waiting {
        /// For how long.
        pause: Duration,
    },
    /// The session is over, and the client does nothing more: the server ended it, or no longer
    /// knows it, or the attempts are used up.
    Lost {
        /// How the last connection ended, or why there was none.
        reason: CloseReason,
    },
    /// It was closed here.
    Closed,
}

type OnPacket = Box<dyn Fn(&ResumingClient, Packet<'_>) + Send + Sync>;
type OnState = Box<dyn Fn(&ClientState) + Send + Sync>;

/// A client whose session outlives its connections. Clones name the same one; it lives until
/// [`ResumingClient::close`], or until the last clone outside its own threads is dropped and it is
/// lost. Any thread.
#[derive(Clone)]
pub struct ResumingClient {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    config: ReconnectConfig,
    name: String,
    service: IoService,
    progress: Mutex<Progress>,
    changed: Condvar,
    on_packet: OnPacket,
    on_state: OnState,
    token: OnceLock<Bytes>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the connecting thread waits for.
#[derive(Debug)]
struct Progress {
    state: ClientState,
    /// How the connection of the moment ended.
    ended: Option<CloseReason>,
    closing: bool,
}

impl ResumingClient {
    /// Begins to connect to `host:port`, and goes on until it is closed or lost. Returns at once;
    /// what is sent before there is a connection is kept.
    ///
    /// `on_packet` is called on the I/O worker, once for each packet and in order; `on_state` on
    /// either thread of the client. Both must not block for long.
    ///
    /// # Errors
    /// The client's own worker or thread.
    pub fn start(
        name: impl Into<String>,
        config: ReconnectConfig,
        on_packet: impl Fn(&Self, Packet<'_>) + Send + Sync + 'static,
        on_state: impl Fn(&ClientState) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let client = Self {
            shared: Arc::new(Shared {
                endpoint: Endpoint::new(config.replay_bytes_max),
                service: IoService::start(config.service.clone())?,
                config,
                name: name.into(),
                progress: Mutex::new(Progress {
                    state: ClientState::Connecting { attempt: 1 },
                    ended: None,
                    closing: false,
                }),
                changed: Condvar::new(),
                on_packet: Box::new(on_packet),
                on_state: Box::new(on_state),
                token: OnceLock::new(),
                thread: Mutex::new(None),
            }),
        };
        let thread_name = "fastport-reconnect".to_owned();
        let mine = client.clone();
        let thread = std::thread::Builder::new()
            .name(thread_name.clone())
            .spawn(move || mine.run())
            .map_err(|source| Error::Thread {
                name: thread_name,
                source,
            })?;
        *client.shared.thread.lock() = Some(thread);
        Ok(client)
    }

    /// Sends a message; keeps it until the server has handled it. Does not block.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] when the session is over, [`SendError::Overflow`] when
    /// [`ReconnectConfig::replay_bytes_max`] bytes are kept; nothing is sent or kept then.
    pub fn send<M: prost::Message>(&self, id: PacketId, message: &M) -> Result<(), SendError> {
        self.shared.endpoint.send(shared_frame(id, message)?)
    }

    /// Sends a payload as it is.
    ///
    /// # Errors
    /// As [`ResumingClient::send`].
    pub fn send_bytes(&self, id: PacketId, payload: &[u8]) -> Result<(), SendError> {
        self.shared.endpoint.send(shared_frame_of(id, payload)?)
    }

    /// How the client stands now.
    #[must_use]
    pub fn state(&self) -> ClientState {
        self.shared.progress.lock().state.clone()
    }

    /// Bytes that are kept because the server has not told that it handled them.
    #[must_use]
    pub fn unhandled_bytes(&self) -> usize {
        self.shared.endpoint.unhandled_bytes()
    }

    /// The service that the connections are made by.
    #[must_use]
    pub fn service(&self) -> &IoService {
        &self.shared.service
    }

    /// Ends the session, tells the server so, and ends the client's threads. Blocks until what was
    /// sent is flushed or the flush time limit is over. Not from `on_packet` or `on_state`.
    pub fn close(&self) {
        self.shared.progress.lock().closing = true;
        self.shared.changed.notify_all();
        let thread = self.shared.thread.lock().take();
        if let Some(thread) = thread {
            // A panic of a callback has been reported by the panic hook.
            let _ = thread.join();
        }
    }

    fn run(&self) {
        let mut attempt = 1;
        loop {
            self.set(ClientState::Connecting { attempt });
            let reason = match self.connect() {
                Ok(session) => self.await_end(&session),
                Err(reason) => reason,
            };
            // A connection that was welcomed begins a new row of attempts.
            if matches!(self.state(), ClientState::Connected { .. }) {
                attempt = 0;
            }
            let used_up = self
                .shared
                .config
                .attempts_max
                .is_some_and(|max| attempt >= max);
            if self.shared.progress.lock().closing {
                self.finish(ClientState::Closed);
                return;
            }
            if used_up || !may_come_back(reason) {
                self.finish(ClientState::Lost { reason });
                return;
            }
            let pause = self.pause(attempt);
            attempt = attempt.saturating_add(1);
            self.set(ClientState::Waiting { pause });
            let mut progress = self.shared.progress.lock();
            if !progress.closing {
                self.shared.changed.wait_for(&mut progress, pause);
            }
        }
    }

    /// A random part of the pause that the attempt may have at most.
    fn pause(&self, attempt: u32) -> Duration {
        let config = &self.shared.config;
        let doubled = config
            .pause_first
            .saturating_mul(1 << attempt.min(20).saturating_sub(1));
        let longest = doubled.min(config.pause_max);
        let mut random = [0; 4];
        // Without random numbers the pause is whole.
        let part = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_ne_bytes(random));
        longest.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }

    fn connect(&self) -> Result<Session, CloseReason> {
        let failed = CloseReason::ConnectFailed { os_code: None };
        let address = resolve(&self.shared.name).map_err(|_| failed)?;
        self.shared.progress.lock().ended = None;
        let (made, makes) = std::sync::mpsc::channel();
        let handler = Arc::new(Connection {
            client: self.clone(),
        });
        let tls = self.shared.config.tls();
        let service = &self.shared.service;
        let asked = service.connect_with(address, handler, tls, move |outcome| {
            // Nobody waits for it when the client is closed meanwhile.
            let _ = made.send(outcome);
        });
        asked.map_err(|_| CloseReason::Stopping)?;
        makes.recv().unwrap_or(Err(CloseReason::Stopping))
    }

    /// Blocks until the connection has ended; ends it when the client is closed. How it ended.
    fn await_end(&self, session: &Session) -> CloseReason {
        let mut progress = self.shared.progress.lock();
        let mut told = false;
        loop {
            if let Some(reason) = progress.ended {
                return reason;
            }
            if progress.closing && !told {
                told = true;
                session.kick(CloseReason::Requested.code().into(), "the client closed");
            }
            self.shared.changed.wait(&mut progress);
        }
    }

    fn set(&self, state: ClientState) {
        self.shared.progress.lock().state = state.clone();
        (self.shared.on_state)(&state);
    }

    fn finish(&self, state: ClientState) {
        self.shared.endpoint.end();
        self.shared.service.stop(Duration::ZERO);
        self.set(state);
    }
}

/// Whether it makes sense to connect again.
fn may_come_back(reason: CloseReason) -> bool {
    is_survived(reason)
        || matches!(
            reason,
            CloseReason::ConnectFailed { .. }
                | CloseReason::ConnectTimeout
                // The server refused it without a word that says so, or stops: another may start.
                | CloseReason::Requested
                | CloseReason::Tls(TlsFailure::Timeout | TlsFailure::Ended)
        )
        || matches!(reason, CloseReason::ClosedByPeer { code }
            if code < 1000 && code != RESUME_REFUSED)
}

impl std::fmt::Debug for ResumingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResumingClient")
            .field("server", &self.shared.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The handler of one connection of the client.
struct Connection {
    client: ResumingClient,
}

impl Connection {
    fn on_welcome(&self, session: &Session, welcome: &Welcome) {
        let shared = &self.client.shared;
        let known = shared.token.get_or_init(|| welcome.token.clone());
        let mut inbound = shared.endpoint.inbound.lock();
        let goes_on = *known == welcome.token
            && shared
                .endpoint
                .attach(&mut inbound, session, welcome.received, |_| {});
        drop(inbound);
        if goes_on {
            self.client.set(ClientState::Connected {
                resumed: welcome.resumed,
            });
        } else {
            session.kick(RESUME_REFUSED, "a welcome that can not be");
        }
    }
}

impl Handler for Connection {
    fn on_connected(&self, session: &Session) {
        let shared = &self.client.shared;
        let hello = Hello {
            token: shared.token.get().cloned().unwrap_or_default(),
            received: shared.endpoint.inbound.lock().received,
        };
        // A connection that has ended already is told by its end.
        let _ = session.send(PacketId::RESUME_HELLO, &hello);
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let endpoint = &self.client.shared.endpoint;
        match packet.id() {
            PacketId::RESUME_WELCOME => match packet.message::<Welcome>() {
                Ok(welcome) => self.on_welcome(session, &welcome),
                Err(_) => session.reject_undecodable(packet.id()),
            },
            PacketId::RESUME_HANDLED => match packet.message::<Handled>() {
                Ok(handled) if endpoint.forget(handled.received) => {}
                Ok(_) => session.kick(RESUME_REFUSED, "a count that can not be"),
                Err(_) => session.reject_undecodable(packet.id()),
            },
            _ => {
                // The lock is held until the handler is done.
                if let Some(_inbound) = endpoint.count(session, packet.frame().len()) {
                    (self.client.shared.on_packet)(&self.client, packet);
                }
            }
        }
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let shared = &self.client.shared;
        let mut inbound = shared.endpoint.inbound.lock();
        shared.endpoint.detach(&mut inbound, session);
        drop(inbound);
        shared.progress.lock().ended = Some(reason);
        shared.changed.notify_all();
    }
}
