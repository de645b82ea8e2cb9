//! `fastport client`: pings and echoes with their round trips; a prompt on a terminal.

use crate::arguments::ClientArguments;
use crate::clock::{Clock, unix_ns};
use crate::failure::Failure;
use crate::quantity::show_ns;
use crate::tls::ClientTls;
use crate::{address, logging, terminal};
use fastport::protocol::Headed;
use fastport::protocol::commons::{Header, ResultCode};
use fastport::protocol::prost::Message;
use fastport::protocol::tests::{
    EchoRequest, EchoResponse, ErrorResponse, PingRequest, PingResponse,
};
use fastport::{
    CloseReason, Dispatch, Error, Handler, Identified, IoService, Packet, PacketId, ServiceConfig,
    Session,
};
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Pings and echoes without `--count`.
const DEFAULT_COUNT: usize = 4;

/// Text without `--message`.
const DEFAULT_MESSAGE: &str = "hello";

/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the client.
///
/// # Errors
/// When no connection can be made, or not everything came back.
pub(crate) fn run(arguments: &ClientArguments, log: Option<&str>) -> Result<(), Failure> {
    let address = address::resolve(&arguments.connect)?;
    let tls = ClientTls::read(&arguments.tls, &arguments.connect)?;
    let _log = logging::start(log, "warn")?;
    let mut peer = Peer::connect(address, arguments.timeout, &tls)?;
    terminal::say(format_args!("connected to {address}"));
    let asked = arguments.count.is_some() || arguments.message.is_some();
    let result = if !asked && stdin().is_terminal() {
        interactive(&mut peer)
    } else {
        let message = arguments.message.as_deref().unwrap_or(DEFAULT_MESSAGE);
        count(&mut peer, arguments.count.unwrap_or(DEFAULT_COUNT), message)
    };
    peer.close();
    result
}

/// So many pings, then so many echoes. A server that leaves the first ping unanswered is one of the
/// user's own; it is judged by its echoes.
fn count(peer: &mut Peer, count: usize, message: &str) -> Result<(), Failure> {
    let (mut came_back, mut asked) = (0, 0);
    for index in 1..=count {
        let pong = peer.ping();
        let silent = index == 1 && matches!(pong, Err(Missing::TimedOut(_)));
        let came = show(&format!("ping {index}"), pong);
        if silent {
            terminal::say("it seems to have no handler for PingRequest; asking for echoes");
            break;
        }
        asked += 1;
        came_back += usize::from(came);
    }
    for index in 1..=count {
        came_back += usize::from(show(
            &format!("echo {index} {message:?}"),
            peer.echo(message),
        ));
    }
    asked += count;
    terminal::say(format_args!("{came_back} of {asked} came back"));
    if came_back == asked {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// Echoes each line that is typed; an empty one pings. Ends with the input.
fn interactive(peer: &mut Peer) -> Result<(), Failure> {
    terminal::say("type a line to echo it, an empty one to ping; end with Ctrl-D");
    let mut lines = stdin().lock().lines();
    loop {
        let mut stdout = stdout();
        let _ = write!(stdout, "> ").and_then(|()| stdout.flush());
        let Some(line) = lines.next() else {
            return Ok(());
        };
        let line = line.map_err(|error| Failure::while_doing("cannot read the input", error))?;
        let came_back = if line.is_empty() {
            show("ping", peer.ping())
        } else {
            show(&format!("echo {line:?}"), peer.echo(&line))
        };
        if !came_back && !peer.session.is_connected() {
            return Err(Failure::Told);
        }
    }
}

/// Shows a round trip or why there was none. True when it came back.
fn show(what: &str, round_trip: Result<u64, Missing>) -> bool {
    match &round_trip {
        Ok(ns) => terminal::say(format_args!("{what}: {}", show_ns(*ns as f64))),
        Err(missing) => terminal::say(format_args!("{what}: {missing}")),
    }
    round_trip.is_ok()
}

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("connection lost: {0}")]
    Closed(CloseReason),
    #[error("cannot send: {0}")]
    Unsent(#[from] fastport::SendError),
    #[error("the server refused it: {0}")]
    Refused(String),
    #[error("the answer is another one than the request's")]
    Different,
}

/// A connected server.
struct Peer {
    service: IoService,
    session: Session,
    news: Receiver<News>,
    clock: Clock,
    timeout: Duration,
    request_id: u64,
}

/// What the I/O worker tells.
enum News {
    /// A packet and when it came.
    Packet {
        id: PacketId,
        payload: Vec<u8>,
        at_ns: u64,
    },
    /// The session has ended.
    Closed(CloseReason),
}

/// Passes what comes on to the thread that asked.
struct Forward {
    clock: Clock,
    news: Sender<News>,
}

impl Handler for Forward {
    fn on_packet(&self, _session: &Session, packet: Packet<'_>) {
        let at_ns = self.clock.now_ns();
        let payload = packet.payload().to_vec();
        // The client is ending when nobody listens.
        let _ = self.news.send(News::Packet {
            id: packet.id(),
            payload,
            at_ns,
        });
    }

    fn on_disconnected(&self, _session: &Session, reason: CloseReason) {
        let _ = self.news.send(News::Closed(reason));
    }
}

impl Peer {
    fn connect(address: SocketAddr, timeout: Duration, tls: &ClientTls) -> Result<Self, Failure> {
        let mut config = ServiceConfig {
            workers: 1,
            dispatch: Dispatch::Inline,
            sessions_max: 1,
            ..ServiceConfig::default()
        };
        config.session.connect_timeout = timeout;
        config.protection.tls_handshake_timeout = timeout;
        // Someone who thinks about the next line is not idle.
        config.session.idle_timeout = Duration::ZERO;
        let service = IoService::start(config)?;
        let clock = Clock::start();
        let (sender, news) = channel();
        let (done, connected) = channel();
        let handler = Arc::new(Forward {
            clock,
            news: sender,
        });
        tls.connect(&service, address, handler, move |result| {
            let _ = done.send(result);
        })?;
        let session = connected
            .recv()
            .map_err(|_| Error::Stopped)?
            .map_err(|reason| Error::Connect { address, reason })?;
        Ok(Self {
            service,
            session,
            news,
            clock,
            timeout,
            request_id: 0,
        })
    }

    fn ping(&mut self) -> Result<u64, Missing> {
        let header = self.next_header();
        let request = PingRequest {
            header,
            payload: String::new(),
        };
        let (response, ns) = self.ask::<_, PingResponse>(&request)?;
        if response.result == ResultCode::Ok as i32 {
            Ok(ns)
        } else {
            Err(Missing::Different)
        }
    }

    fn echo(&mut self, text: &str) -> Result<u64, Missing> {
        let header = self.next_header();
        let request = EchoRequest {
            header,
            data_str: text.into(),
            ..EchoRequest::default()
        };
        let (response, ns) = self.ask::<_, EchoResponse>(&request)?;
        let answers = response.result == ResultCode::Ok as i32 && response.data_str == text;
        if answers {
            Ok(ns)
        } else {
            Err(Missing::Different)
        }
    }

    /// Sends a request and waits for its answer. Returns it and the round trip in nanoseconds.
    fn ask<R, A>(&mut self, request: &R) -> Result<(A, u64), Missing>
    where
        R: Identified + Headed,
        A: Identified + Headed,
    {
        let sent_ns = self.clock.now_ns();
        let _status = self.session.send(R::ID, request)?;
        loop {
            let waited = Duration::from_nanos(self.clock.now_ns() - sent_ns);
            let left = self.timeout.saturating_sub(waited);
            let (id, payload, at_ns) = match self.news.recv_timeout(left) {
                Ok(News::Packet { id, payload, at_ns }) => (id, payload, at_ns),
                Ok(News::Closed(reason)) => return Err(Missing::Closed(reason)),
                Err(RecvTimeoutError::Timeout) => return Err(Missing::TimedOut(self.timeout)),
                // The handler lives as long as the session.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Missing::Closed(CloseReason::Stopping));
                }
            };
            // An answer that came too late for its own request is not this one's.
            if id == A::ID {
                let answer = A::decode(&payload[..]).map_err(|_| Missing::Different)?;
                if answer.header() == request.header() {
                    return Ok((answer, at_ns.saturating_sub(sent_ns)));
                }
            } else if id == PacketId::ERROR_RESPONSE {
                let refusal =
                    ErrorResponse::decode(&payload[..]).map_err(|_| Missing::Different)?;
                if refusal.header() == request.header() {
                    return Err(Missing::Refused(refusal.message));
                }
            }
        }
    }

    fn next_header(&mut self) -> Option<Header> {
        self.request_id += 1;
        Some(Header {
            request_id: self.request_id,
            timestamp_ms: unix_ns() / 1_000_000,
        })
    }

    fn close(self) {
        self.session.disconnect();
        self.service.stop(CLOSE_TIMEOUT);
    }
}
